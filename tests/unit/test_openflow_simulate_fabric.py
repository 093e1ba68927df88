"""Who reaches whom in a cluster of two nodes, asked of the flows that the features make."""

from dataclasses import replace
from ipaddress import ip_address

import fabric_fixture
import pytest
from fabric_fixture import OUTSIDE, TUNNEL, fabric

from openflow.actions import DEC_TTL, IN_PORT, Ct, Output, load, set_tunnel
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.fields import OfPort, Src, Verdict, Zone
from openflow.flow import Feature, Flow, cookie
from openflow.match import IPV4, ct_state, in_port, match, where
from openflow.net import network
from openflow.simulate import Fabric, Find, Guest, Host, Outer, Place, Reason, Switch, Told, Tunnel
from openflow.simulate import packet as packets
from openflow.simulate.conntrack import EST, INV, RPL, TRK
from openflow.tables import Table

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
PAIRS = [("shop/web", "shop/db"), ("shop/web", "shop/api"), ("shop/job", "shop/web"), ("shop/api", "shop/job")]
TRAFFIC = [{"tcp": 80}, {"udp": 53}, {"sctp": 99}, {"icmp": 7}, {}]


@pytest.fixture(scope="module")
def cluster():
    return fabric()


@pytest.fixture
def sim(cluster):
    return cluster.fresh()


def address(sim, name, family):
    return str(next(ip for ip in sim.end(name).ips if ip.version == family))


@FAMILIES
@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("traffic", TRAFFIC, ids=str)
def test_pods_talk_to_each_other(sim, source, target, traffic, family):
    exchange = sim.connect(source, target, family=family, **traffic)
    assert exchange.ok, exchange.why
    assert exchange.forward.to == (target,)
    assert exchange.reply.to == (source,)


def test_on_one_node_a_packet_passes_every_table_in_order(sim):
    trace = sim.send("shop/web", "shop/db", tcp=80)
    assert trace.tables == tuple(range(len(Table)))
    assert {step.node for step in trace.steps} == {"alpha"}
    got = trace.packet
    assert (got.eth_src, got.eth_dst, got.ttl) == (ROUTER_MAC, sim.end("shop/db").mac, 63)


def test_between_nodes_it_passes_two_routers(sim):
    trace = sim.send("shop/web", "shop/api", tcp=80)
    assert [node for node, _ in dict.fromkeys((step.node, 0) for step in trace.steps)] == ["alpha", "beta"]
    assert trace.packet.ttl == 62
    assert trace.packet.outer == Outer(1, ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    assert trace.deliveries[0].node == "beta"


@FAMILIES
def test_the_outside_is_behind_the_gateway(sim, family):
    exchange = sim.connect("shop/web", OUTSIDE[family], tcp=443)
    assert exchange.ok
    assert exchange.forward.to == ("node/alpha",)
    assert exchange.forward.packet.eth_dst == GATEWAY_MAC


@FAMILIES
@pytest.mark.parametrize("target", ["shop/web", "shop/api"])
def test_the_node_reaches_pods_and_is_answered(sim, target, family):
    assert sim.connect("node/alpha", target, tcp=80, family=family).ok


@FAMILIES
def test_an_outside_client_that_the_host_lets_in_is_answered_by_the_host(sim, family):
    exchange = sim.connect("node/alpha", "shop/web", tcp=80, from_ip=OUTSIDE[family])
    assert exchange.ok
    assert str(exchange.reply.packet.dst) == OUTSIDE[family]


def test_what_the_host_translated_goes_back_to_the_host_although_it_is_for_a_pod(sim):
    client = address(sim, "shop/db", 4)
    exchange = sim.connect("node/alpha", "shop/web", tcp=80, from_ip=client)
    assert exchange.reply.to == ("node/alpha",)


@FAMILIES
def test_forged_addresses_end_in_the_guard(sim, family):
    for forged in (address(sim, "shop/db", family), address(sim, "shop/api", family), OUTSIDE[family]):
        trace = sim.send("shop/web", "shop/db", tcp=80, from_ip=forged)
        assert not trace.delivered
        assert (trace.drop.table, trace.drop.reason) == (Table.SPOOF_GUARD, Reason.MISS)


def test_a_forged_mac_ends_in_the_guard(sim):
    packet = replace(packets.tcp("10.10.0.5", "10.10.0.6", 80), eth_src=sim.end("shop/db").mac)
    assert sim.inject(sim.place("shop/web"), packet).drop.table == Table.SPOOF_GUARD


def test_the_tunnel_is_believed_for_its_own_pods_only(sim):
    honest = replace(packets.tcp("10.10.1.5", "10.10.0.5", 80), eth_src=ROUTER_MAC)
    beta, alpha, liar = (ip_address(f"192.0.2.{n}") for n in (2, 1, 9))
    for outer, arrives in (
        (Outer(1, beta, alpha), True),
        (Outer(1, liar, alpha), False),
        (Outer(2, beta, alpha), False),
    ):
        trace = sim.inject(Place("alpha", TUNNEL), replace(honest, outer=outer))
        assert trace.delivered is arrives
    trace = sim.inject(
        Place("alpha", TUNNEL), replace(honest, src=ip_address("10.10.0.6"), outer=Outer(1, beta, alpha))
    )
    assert trace.drop.table == Table.SPOOF_GUARD


def test_arp_is_answered_by_the_router_whatever_is_asked(sim):
    web = sim.end("shop/web")
    trace = sim.inject(sim.place("shop/web"), packets.arp_request(web.mac, web.ips[0], "10.10.0.6"))
    assert trace.to == ("shop/web",)
    got = trace.packet
    assert (got.proto, got.arp_sha, got.arp_tha, str(got.src), got.dst) == (
        2,
        ROUTER_MAC,
        web.mac,
        "10.10.0.6",
        web.ips[0],
    )
    assert (got.eth_src, got.eth_dst) == (ROUTER_MAC, web.mac)


def test_an_error_about_a_known_connection_finds_its_sender(sim):
    forward = sim.send("shop/web", "shop/api", udp=53)
    api = sim.end("shop/api")
    error = replace(packets.unreachable(forward.packet), eth_src=api.mac, eth_dst=ROUTER_MAC)
    assert sim.inject(sim.place("shop/api"), error).to == ("shop/web",)
    assert sim.fresh().inject(sim.place("shop/api"), error).drop.table == Table.CONNTRACK_STATE


def test_an_answer_that_nobody_asked_for_is_no_reply(sim):
    stray = replace(packets.tcp("10.10.0.6", "10.10.0.5", 40000, sport=80), flags=packets.SYN | packets.ACK)
    trace = sim.inject(sim.place("shop/db"), replace(stray, eth_src=sim.end("shop/db").mac))
    assert (trace.drop.table, trace.drop.reason) == (Table.CONNTRACK_STATE, Reason.DROPPED)


def test_a_connection_that_is_cut_loses_its_replies_too():
    cut = Ct(Zone.IPV4, commit=True, sets=(load(Verdict.BLOCKED),))
    deny = Flow(Table.EGRESS_POLICY, 100, match(IPV4, where(Src.POD), ct_state(est=True, rpl=False)), (cut,), 5)
    sim = fabric(alpha=[deny])
    first = sim.connect("shop/web", "shop/db", tcp=80)
    assert first.ok
    answer = replace(first.forward.packet.answer(), eth_src=sim.end("shop/db").mac, eth_dst=ROUTER_MAC)
    assert sim.inject(sim.place("shop/db"), answer).delivered
    assert sim.send("shop/web", "shop/db", tcp=80).drop.flow == deny
    assert sim.inject(sim.place("shop/db"), answer).drop.table == Table.CONNTRACK_STATE


def test_conntrack_can_be_told_what_to_find(sim):
    def table(*finds):
        packet = replace(packets.tcp("10.10.0.5", "10.10.0.6", 80), eth_src=sim.end("shop/web").mac)
        trace = sim.inject(sim.place("shop/web"), packet, Told(finds))
        return trace.to or trace.drop.table

    assert table() == ("shop/db",)
    assert table(Find(INV | TRK)) == Table.CONNTRACK_STATE
    assert table(Find(EST | RPL | TRK)) == ("shop/db",)
    assert table(Find(EST | RPL | TRK, mark=1)) == Table.CONNTRACK_STATE
    assert table(Find(EST | RPL | TRK, mark=2)) == ("node/alpha",)
    assert not any(conntrack.known for conntrack in sim.conntracks.values())


def test_questions_to_a_copy_leave_no_trace(sim):
    assert sim.connect("shop/web", "shop/db", tcp=80).ok
    before = {node: len(conntrack.known) for node, conntrack in sim.conntracks.items()}
    assert sim.copy().connect("shop/web", "shop/db", tcp=81).ok
    assert {node: len(conntrack.known) for node, conntrack in sim.conntracks.items()} == before
    assert sim.copy().send("shop/web", "shop/db", tcp=80).flow_in(Table.COMMIT).priority == 0
    assert sim.fresh().send("shop/web", "shop/db", tcp=80).flow_in(Table.COMMIT).priority > 0


def test_the_end_is_told_in_one_line(sim):
    assert sim.send("shop/web", "shop/api", tcp=80).why == "delivered to shop/api on beta"
    assert sim.send("shop/web", "10.10.0.77", tcp=80).why == (
        "dropped on alpha in Route: the flow drops it: [ip_dst=10.10.0.0/24] drop (node/alpha)"
    )
    assert sim.send("shop/web", "shop/db", tcp=80, from_ip="10.10.0.9").why == (
        "dropped on alpha in SpoofGuard: no flow matches"
    )
    exchange = sim.connect("shop/web", "shop/db", udp=5)
    assert exchange.why == "delivered to shop/db on alpha; answer delivered to shop/web on alpha"
    assert sim.connect("shop/web", "10.10.0.77").why.startswith("dropped on alpha in Route")


def test_the_whole_way_is_told_by_name(sim):
    lines = str(sim.send("shop/web", "shop/db", tcp=80)).splitlines()
    assert lines[0] == "alpha: Classify 40000 [in_port=web] Src:=POD, →SpoofGuard (pod/shop/web)"
    assert len(lines) == len(Table) + 1
    assert "SpoofGuard no match" in str(sim.send("shop/web", "shop/db", tcp=80, from_ip="10.10.0.9"))


def test_a_packet_that_nobody_got_cannot_be_looked_at(sim):
    trace = sim.send("shop/web", "10.10.0.77")
    with pytest.raises(LookupError, match="nobody got the packet: dropped on alpha in Route"):
        trace.packet  # noqa: B018


def test_a_packet_at_the_end_of_its_life(sim):
    packet = replace(packets.tcp("10.10.0.5", "10.10.0.6", 80), ttl=1, eth_src=sim.end("shop/web").mac)
    drop = sim.inject(sim.place("shop/web"), packet).drop
    assert (drop.table, drop.reason) == (Table.ROUTE, Reason.EXPIRED)


def test_a_node_without_the_others_drops_what_is_for_them():
    alone = Fabric.of([fabric_fixture.switch("alpha")])
    drop = alone.send("shop/web", "10.10.1.5", tcp=80).drop
    assert (drop.table, drop.reason) == (Table.OUTPUT, Reason.NO_NODE)


def test_a_port_that_is_not_there(sim):
    flow = Flow(Table.CLASSIFY, 60000, match(in_port(OfPort(3))), (Output(99),), 5)
    drop = fabric(alpha=[flow]).send("shop/web", "shop/db").drop
    assert (drop.flow, drop.reason) == (flow, Reason.NO_PORT)


def test_a_packet_for_its_own_sender_does_not_come_back(sim):
    drop = sim.send("shop/web", address(sim, "shop/web", 4)).drop
    assert (drop.table, drop.reason) == (Table.OUTPUT, Reason.CAME_FROM)


def test_a_packet_that_goes_in_circles_is_given_up():
    def back_to(place, port):
        far = set_tunnel(network(f"192.0.2.{place}/32"), 1)
        out = IN_PORT if port == TUNNEL else Output(TUNNEL)
        return Flow(Table.CLASSIFY, 60000, match(in_port(OfPort(port))), (*far, out), 5)

    circle = fabric(alpha=[back_to(2, 3), back_to(2, TUNNEL)], beta=[back_to(1, TUNNEL)])
    trace = circle.send("shop/web", "shop/db")
    assert trace.drop.reason is Reason.ROUND
    assert {step.node for step in trace.steps} == {"alpha", "beta"}


def test_names_and_tunnel_addresses_are_unique():
    guest = Guest("a/b", ROUTER_MAC, ())
    with pytest.raises(ValueError, match="a/b is there twice"):
        Fabric.of([Switch("alpha", (), {3: guest}), Switch("beta", (), {3: guest})])
    far = Tunnel((ip_address("192.0.2.1"),))
    with pytest.raises(ValueError, match=r"192\.0\.2\.1 is there twice"):
        Fabric.of([Switch("alpha", (), {1: far}), Switch("beta", (), {1: far})])
    with pytest.raises(ValueError, match="alpha is there twice"):
        Fabric.of([Switch("alpha", (), {}), Switch("alpha", (), {})])


def test_questions_that_cannot_be_asked_say_why(sim):
    with pytest.raises(LookupError, match="no pod or host is called 'shop/nobody'"):
        sim.send("shop/nobody", "shop/web")
    with pytest.raises(ValueError, match="not all of them"):
        sim.send("shop/web", "shop/db", tcp=1, udp=2)
    with pytest.raises(ValueError, match="shop/nobody"):
        sim.send("shop/web", "shop/nobody")
    alone = Fabric.of(
        [Switch("alpha", (), {3: Guest("a/b", ROUTER_MAC, (ip_address("10.0.0.1"),)), 2: Host("h", ())})]
    )
    with pytest.raises(ValueError, match="a/b has no IPv6 address"):
        alone.send("a/b", "2001:db8::1")


def test_owners_are_known_by_their_cookies(sim):
    flow = sim.send("shop/web", "shop/db", tcp=80).flow_in(Table.ROUTE, "alpha")
    assert flow.cookie == cookie(Feature.POD, "pod/shop/db")
    assert sim.send("shop/web", "shop/db", tcp=80).flow_in(Table.ROUTE, "beta") is None


def test_dec_ttl_applies_to_ip_only(sim):
    flow = Flow(Table.CLASSIFY, 60000, (), (DEC_TTL, Output(4)), 5)
    web = sim.end("shop/web")
    request = packets.arp_request(web.mac, web.ips[0], "10.10.0.6")
    assert fabric(alpha=[flow]).inject(Place("alpha", 3), request).to == ("shop/db",)
