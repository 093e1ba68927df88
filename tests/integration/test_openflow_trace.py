"""What the features do to a packet, asked from a real Open vSwitch with ofproto/trace.

The bridge is node alpha of `openflow.example`: pods web and db, another node beta.
"""

import pytest
from openflow_bridge import example_switch

from openflow import example
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.tables import Table

WEB, DB = example.WEB, example.DB
TUNNEL, GATEWAY = example.BETA.port, example.ALPHA.port
BETA_IP = example.BETA.tunnel_ip
REMOTE = {4: "10.10.1.7", 6: "fd10:0:0:1::7"}
OUTSIDE = {4: "203.0.113.9", 6: "2001:db8::9"}
FREE = {4: "10.10.0.77", 6: "fd10::77"}
OWN_GATEWAY = {4: "10.10.0.1", 6: "fd10::1"}
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
REPLY = "trk,est,rpl"


@pytest.fixture(scope="module")
def switch(tmp_path_factory):
    with example_switch(tmp_path_factory.mktemp("of")) as made:
        assert made.connection.add(example.flows()) == []
        yield made


def address(pod, family):
    return str(next(ip for ip in pod.ips if ip.version == family))


def ip_packet(family, source, destination, ttl=64):
    if family == 4:
        return f"tcp,nw_src={source},nw_dst={destination},nw_ttl={ttl},tcp_dst=80"
    return f"tcp6,ipv6_src={source},ipv6_dst={destination},nw_ttl={ttl},tcp_dst=80"


def from_pod(pod, packet, mac=None):
    return f"in_port={int(pod.port)},dl_src={mac or pod.mac},dl_dst={ROUTER_MAC},{packet}"


def from_tunnel(packet, outer=BETA_IP, vni=1):
    macs = f"dl_src={ROUTER_MAC},dl_dst={ROUTER_MAC}"
    return f"in_port={int(TUNNEL)},tun_id={vni},tun_src={outer},tun_dst=192.0.2.1,{macs},{packet}"


def from_gateway(packet, mac=GATEWAY_MAC):
    return f"in_port={int(GATEWAY)},dl_src={mac},dl_dst={ROUTER_MAC},{packet}"


def arp(pod, op=1, mac=None, sha=None, spa=None, tpa="10.10.0.1"):
    return (
        f"in_port={int(pod.port)},dl_src={mac or pod.mac},dl_dst=ff:ff:ff:ff:ff:ff,arp,arp_op={op},"
        f"arp_sha={sha or pod.mac},arp_spa={spa or address(pod, 4)},arp_tpa={tpa}"
    )


@FAMILIES
def test_pod_to_pod_on_one_node_is_routed(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), address(DB, family))))
    assert out.ports == (DB.port,)
    assert out.has(dl_src=ROUTER_MAC, dl_dst=DB.mac, nw_ttl=63)
    assert "ct(commit" in out.text
    assert out.tables == tuple(range(len(Table)))


@FAMILIES
def test_a_reply_skips_services_and_policy(switch, family):
    out = switch.trace(from_pod(DB, ip_packet(family, address(DB, family), address(WEB, family))), REPLY)
    assert out.ports == (WEB.port,)
    assert out.has(dl_src=ROUTER_MAC, dl_dst=WEB.mac, nw_ttl=63)
    assert "ct(commit" not in out.text
    assert not {Table.SERVICE, Table.EGRESS_POLICY, Table.INGRESS_POLICY} & set(out.tables)


@FAMILIES
def test_a_packet_to_oneself_does_not_come_back(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), address(WEB, family))))
    assert out.dropped


@FAMILIES
def test_an_invalid_packet_is_dropped(switch, family):
    packet = from_pod(WEB, ip_packet(family, address(WEB, family), address(DB, family)))
    assert switch.trace(packet, "trk,inv").dropped


@FAMILIES
def test_a_packet_at_the_end_of_its_life_is_dropped(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), address(DB, family), ttl=1)))
    assert out.dropped


@FAMILIES
def test_a_forged_source_mac_is_dropped(switch, family):
    packet = ip_packet(family, address(WEB, family), address(DB, family))
    for forged in (DB.mac, ROUTER_MAC, GATEWAY_MAC):
        out = switch.trace(from_pod(WEB, packet, mac=forged))
        assert out.dropped
        assert out.tables[-1] == Table.SPOOF_GUARD


@FAMILIES
def test_a_forged_source_address_is_dropped(switch, family):
    for forged in (address(DB, family), REMOTE[family], OUTSIDE[family], OWN_GATEWAY[family], FREE[family]):
        out = switch.trace(from_pod(WEB, ip_packet(family, forged, address(DB, family))))
        assert out.dropped
        assert out.tables[-1] == Table.SPOOF_GUARD


def test_unspecified_and_link_local_sources_are_dropped(switch):
    for forged in ("::", "fe80::5"):
        assert switch.trace(from_pod(WEB, ip_packet(6, forged, address(DB, 6)))).dropped
    assert switch.trace(from_pod(WEB, ip_packet(4, "0.0.0.0", "255.255.255.255"))).dropped


@FAMILIES
def test_pod_to_another_node_goes_through_the_tunnel(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), REMOTE[family])))
    assert out.ports[0] == TUNNEL
    assert out.has(tun_dst=BETA_IP, dl_src=ROUTER_MAC, dl_dst=ROUTER_MAC, nw_ttl=63)
    assert f"tunneling to {BETA_IP} via br-phy" in out.text
    assert "set_field:0x1->tun_id" in out.text


@FAMILIES
def test_from_the_tunnel_to_a_pod(switch, family):
    out = switch.trace(from_tunnel(ip_packet(family, REMOTE[family], address(WEB, family), ttl=63)))
    assert out.ports == (WEB.port,)
    assert out.has(dl_src=ROUTER_MAC, dl_dst=WEB.mac, nw_ttl=62)


@FAMILIES
def test_from_the_tunnel_to_the_node(switch, family):
    out = switch.trace(from_tunnel(ip_packet(family, REMOTE[family], OWN_GATEWAY[family])))
    assert out.ports == (GATEWAY,)


@FAMILIES
@pytest.mark.parametrize("outer", ["192.0.2.9", "192.0.2.1", "0.0.0.0"])
def test_from_the_tunnel_with_a_wrong_outer_source_is_dropped(switch, family, outer):
    out = switch.trace(from_tunnel(ip_packet(family, REMOTE[family], address(WEB, family)), outer=outer))
    assert out.dropped
    assert out.tables[-1] == Table.SPOOF_GUARD


@FAMILIES
def test_from_the_tunnel_with_an_inner_source_outside_that_nodes_range_is_dropped(switch, family):
    for inner in (address(DB, family), OUTSIDE[family], OWN_GATEWAY[family]):
        out = switch.trace(from_tunnel(ip_packet(family, inner, address(WEB, family))))
        assert out.dropped
        assert out.tables[-1] == Table.SPOOF_GUARD


@FAMILIES
def test_from_the_tunnel_with_another_network_identifier_is_dropped(switch, family):
    out = switch.trace(from_tunnel(ip_packet(family, REMOTE[family], address(WEB, family)), vni=2))
    assert out.dropped


@FAMILIES
def test_what_comes_by_tunnel_is_never_passed_on(switch, family):
    for destination in (OUTSIDE[family], REMOTE[family], FREE[family]):
        out = switch.trace(from_tunnel(ip_packet(family, REMOTE[family], destination)))
        assert out.dropped
        assert out.tables[-1] == Table.ROUTE  # before Commit: nothing of it is remembered


@FAMILIES
def test_an_own_address_that_no_pod_has_is_dropped(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), FREE[family])))
    assert out.dropped
    assert out.tables[-1] == Table.ROUTE


@FAMILIES
def test_an_outside_address_goes_to_the_gateway(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), OUTSIDE[family])))
    assert out.ports == (GATEWAY,)
    assert out.has(dl_src=ROUTER_MAC, dl_dst=GATEWAY_MAC, nw_ttl=64)


@FAMILIES
def test_the_nodes_own_address_is_behind_the_gateway(switch, family):
    out = switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), OWN_GATEWAY[family])))
    assert out.ports == (GATEWAY,)
    assert out.has(dl_dst=GATEWAY_MAC)


@FAMILIES
def test_gateway_to_pod_is_delivered_and_remembered(switch, family):
    for source in (OWN_GATEWAY[family], OUTSIDE[family]):
        out = switch.trace(from_gateway(ip_packet(family, source, address(WEB, family))))
        assert out.ports == (WEB.port,)
        assert out.has(dl_src=ROUTER_MAC, dl_dst=WEB.mac, nw_ttl=63)
        assert "set_field:0x2/0x2->ct_mark" in out.text


@FAMILIES
def test_the_gateway_reaches_pods_of_other_nodes(switch, family):
    out = switch.trace(from_gateway(ip_packet(family, OWN_GATEWAY[family], REMOTE[family])))
    assert out.ports[0] == TUNNEL


@FAMILIES
def test_through_the_gateway_nobody_is_another_nodes_pod(switch, family):
    assert switch.trace(from_gateway(ip_packet(family, REMOTE[family], address(WEB, family)))).dropped


@FAMILIES
def test_the_gateway_sends_with_its_own_mac_only(switch, family):
    packet = ip_packet(family, OWN_GATEWAY[family], address(WEB, family))
    assert switch.trace(from_gateway(packet, mac=DB.mac)).dropped


@pytest.mark.parametrize(
    ("family", "destination"),
    [(4, "224.0.0.251"), (4, "239.1.2.3"), (4, "255.255.255.255"), (4, "169.254.169.254"),
     (6, "ff02::1"), (6, "ff05::2"), (6, "fe80::1")],
)  # fmt: skip
def test_multicast_broadcast_and_link_local_are_dropped(switch, family, destination):
    assert switch.trace(from_pod(WEB, ip_packet(family, address(WEB, family), destination))).dropped
    assert switch.trace(from_gateway(ip_packet(family, OWN_GATEWAY[family], destination))).dropped


@pytest.mark.parametrize("asked", ["10.10.0.1", "10.10.0.6", "10.10.0.0", "203.0.113.9"])
def test_an_arp_request_is_answered_with_the_router_mac(switch, asked):
    out = switch.trace(arp(WEB, tpa=asked))
    assert out.ports == (WEB.port,)
    assert out.has(dl_src=ROUTER_MAC, dl_dst=WEB.mac, arp_op=2)
    assert out.has(arp_sha=ROUTER_MAC, arp_spa=asked, arp_tha=WEB.mac, arp_tpa=address(WEB, 4))


def test_the_gateway_is_answered_too(switch):
    request = f"arp,arp_op=1,arp_sha={GATEWAY_MAC},arp_spa=10.10.0.1,arp_tpa=10.10.0.5"
    out = switch.trace(from_gateway(request))
    assert out.ports == (GATEWAY,)
    assert out.has(arp_op=2, arp_sha=ROUTER_MAC, arp_spa="10.10.0.5")


@pytest.mark.parametrize(
    "forged",
    [{"spa": "10.10.0.6"}, {"sha": DB.mac}, {"mac": DB.mac}, {"spa": "10.10.0.1", "op": 2}, {"spa": "0.0.0.0"}],
    ids=["address", "hardware address", "source MAC", "answer for the gateway", "probe"],
)
def test_forged_arp_is_dropped(switch, forged):
    assert switch.trace(arp(WEB, **forged)).dropped


def test_gratuitous_arp_and_answers_nobody_asked_for_are_dropped(switch):
    own = address(WEB, 4)
    for packet in (arp(WEB, tpa=own), arp(WEB, op=2, tpa=own), arp(WEB, op=2, tpa="10.10.0.6"), arp(WEB, op=3)):
        assert switch.trace(packet).dropped


@pytest.mark.parametrize("kind", range(133, 138))
def test_neighbour_discovery_is_dropped_whatever_its_source(switch, kind):
    for source in (address(WEB, 6), "fe80::5", "::"):
        for destination in ("ff02::1:ff00:6", address(DB, 6)):
            packet = f"icmp6,ipv6_src={source},ipv6_dst={destination},icmpv6_type={kind},nw_ttl=255"
            assert switch.trace(from_pod(WEB, packet)).dropped
    packet = f"icmp6,ipv6_src=fd10::1,ipv6_dst={address(WEB, 6)},icmpv6_type={kind},nw_ttl=255"
    assert switch.trace(from_gateway(packet)).dropped


def test_echo_is_not_taken_for_neighbour_discovery(switch):
    packet = f"icmp6,ipv6_src={address(WEB, 6)},ipv6_dst={address(DB, 6)},icmpv6_type=128,nw_ttl=64"
    assert switch.trace(from_pod(WEB, packet)).ports == (DB.port,)


def test_what_is_neither_ip_nor_arp_is_dropped(switch):
    for kind in ("dl_type=0x88cc", "dl_type=0x8847", "dl_type=0x8863"):
        for packet in (from_pod(WEB, kind), from_gateway(kind), from_tunnel(kind)):
            assert switch.trace(packet).dropped


def test_a_vlan_tag_does_not_get_around_the_guard(switch):
    forged = ip_packet(4, address(DB, 4), REMOTE[4])
    assert switch.trace(from_pod(WEB, f"dl_vlan=7,{forged}")).dropped


@FAMILIES
def test_a_port_that_is_not_a_pods_is_dropped_at_the_door(switch, family):
    packet = ip_packet(family, address(WEB, family), address(DB, family))
    out = switch.trace(f"in_port=99,dl_src={WEB.mac},dl_dst={ROUTER_MAC},{packet}")
    assert out.dropped
    assert out.tables == (Table.CLASSIFY,)
