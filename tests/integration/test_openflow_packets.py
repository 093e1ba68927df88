"""Real packets through the real datapath: what a trace cannot ask, because it takes a connection's memory."""

from contextlib import ExitStack
from itertools import count

import pytest
from openflow_bridge import DB as DB_DEVICE
from openflow_bridge import WEB as WEB_DEVICE
from openflow_bridge import example_switch
from openflow_frames import Datagram, Port, arp_request

from openflow import codec, example
from openflow.actions import Ct, load
from openflow.codec import Change
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.features.base import COOKIE
from openflow.fields import Src, Verdict, Zone
from openflow.flow import flow
from openflow.match import IPV4, ct_state, where
from openflow.tables import Table

WEB, DB = example.WEB, example.DB
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
_numbers = count(2000)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """The bridge with its flows, and its devices up."""
    with example_switch(tmp_path_factory.mktemp("of")) as made:
        for device in (WEB_DEVICE, DB_DEVICE, example.GATEWAY_PORT):
            made.ovs.ip("link", "set", device, "up")
        assert made.connection.add(example.flows()) == []
        yield made


@pytest.fixture
def ports(node):
    """Ends of web, db and the gateway."""
    with ExitStack() as undo:
        devices = (WEB_DEVICE, DB_DEVICE, example.GATEWAY_PORT)
        yield tuple(undo.enter_context(Port(node.ovs.netns, device)) for device in devices)


def address(pod, family):
    return str(next(ip for ip in pod.ips if ip.version == family))


def outside(family):
    return "203.0.113.9" if family == 4 else "2001:db8::9"


def datagram(mac, source, destination, **values):
    number = next(_numbers)
    wanted = {"sport": number, "dport": 53, "payload": f"weft {number}".encode()} | values
    return Datagram(mac, ROUTER_MAC, source, destination, **wanted)


def answer(mac, received):
    """What a server sends back."""
    return datagram(mac, received.dst, received.src, sport=received.dport, dport=received.sport)


@FAMILIES
def test_question_and_answer_between_pods(ports, family):
    web, db, _ = ports
    asked = datagram(WEB.mac, address(WEB, family), address(DB, family))
    web.send(asked.frame())
    got = db.datagram(asked.payload)
    assert (got.src_mac, got.dst_mac, got.src, got.dst, got.ttl) == (ROUTER_MAC, DB.mac, asked.src, asked.dst, 63)
    answered = answer(DB.mac, got)
    db.send(answered.frame())
    back = web.datagram(answered.payload)
    assert (back.src_mac, back.dst_mac, back.src, back.ttl) == (ROUTER_MAC, WEB.mac, asked.dst, 63)


@FAMILIES
def test_question_and_answer_with_the_outside(ports, family):
    web, _, gateway = ports
    asked = datagram(WEB.mac, address(WEB, family), outside(family))
    web.send(asked.frame())
    got = gateway.datagram(asked.payload)
    assert (got.src_mac, got.dst_mac, got.src) == (ROUTER_MAC, GATEWAY_MAC, asked.src)
    answered = answer(GATEWAY_MAC, got)
    gateway.send(answered.frame())
    assert web.datagram(answered.payload).dst_mac == WEB.mac


@FAMILIES
def test_the_answer_to_a_connection_from_the_gateway_goes_back_there(ports, family):
    # As kube-proxy makes it: db asked for a service, the host translated the destination to web and sent it back.
    web, db, gateway = ports
    asked = datagram(GATEWAY_MAC, address(DB, family), address(WEB, family))
    gateway.send(asked.frame())
    answered = answer(WEB.mac, web.datagram(asked.payload))
    web.send(answered.frame())
    got = gateway.datagram(answered.payload)
    assert (got.src_mac, got.dst_mac, got.dst) == (ROUTER_MAC, GATEWAY_MAC, address(DB, family))
    assert db.datagram(answered.payload, seconds=0.2) is None


@FAMILIES
def test_forged_packets_reach_nobody(ports, family):
    web, db, gateway = ports
    forged = [
        datagram(WEB.mac, outside(family), address(DB, family)),
        datagram(DB.mac, address(WEB, family), address(DB, family)),
        datagram(WEB.mac, address(DB, family), outside(family)),
    ]
    for packet in forged:
        web.send(packet.frame())
    true = datagram(WEB.mac, address(WEB, family), address(DB, family))
    web.send(true.frame())
    # The true one came last: when it is there, the others would be.
    arrived = [Datagram.of(frame) for frame in db.frames(0.5)]
    assert [one.payload for one in arrived if one] == [true.payload]
    assert not [frame for frame in gateway.frames(0.2) if Datagram.of(frame) and Datagram.of(frame).dport == 53]


def test_arp_is_answered_by_the_router_for_every_address(ports):
    web, db, _ = ports
    web.send(arp_request(WEB.mac, address(WEB, 4), "10.10.0.6"))
    (reply,) = [frame for frame in web.frames(0.5) if frame[12:14] == b"\x08\x06"]
    router = bytes.fromhex(ROUTER_MAC.replace(":", ""))
    own = bytes.fromhex(WEB.mac.replace(":", ""))
    assert reply[:12] == own + router
    assert reply[20:42] == b"\x00\x02" + router + bytes([10, 10, 0, 6]) + own + bytes([10, 10, 0, 5])
    assert not [frame for frame in db.frames(0.2) if frame[12:14] == b"\x08\x06"]


def test_forged_and_gratuitous_arp_get_no_answer(ports):
    web, _, _ = ports
    web.send(arp_request(WEB.mac, "10.10.0.6", "10.10.0.1"))
    web.send(arp_request(DB.mac, address(WEB, 4), "10.10.0.1"))
    web.send(arp_request(WEB.mac, address(WEB, 4), address(WEB, 4)))
    assert not [frame for frame in web.frames(0.5) if frame[12:14] == b"\x08\x06"]


def test_replies_of_a_connection_that_was_cut_are_dropped(node, ports):
    web, db, _ = ports
    asked = datagram(WEB.mac, address(WEB, 4), address(DB, 4))
    web.send(asked.frame())
    got = db.datagram(asked.payload)
    # What a policy edit will do: mark the connection when its next packet in the forward direction is denied.
    cut = Ct(Zone.IPV4, commit=True, sets=(load(Verdict.BLOCKED),))
    deny = flow(
        Table.EGRESS_POLICY, 100, (IPV4, where(Src.POD), ct_state(est=True, rpl=False)), (cut,), cookie=COOKIE
    )
    first = answer(DB.mac, got)
    db.send(first.frame())
    assert web.datagram(first.payload)
    node.connection.add([deny])
    try:
        web.send(asked.frame())
        assert db.datagram(asked.payload, seconds=0.5) is None
    finally:
        node.connection.apply(Change(delete=(codec.encode(deny).key,)))
    second = answer(DB.mac, got)
    db.send(second.frame())
    assert web.datagram(second.payload, seconds=0.5) is None
