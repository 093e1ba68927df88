"""Which flow a packet meets: priorities, masks, registers and conjunctions."""

import pytest

from openflow import oxm
from openflow.actions import Conjunction, Output
from openflow.codec import Encoded
from openflow.decode import decode
from openflow.fields import Dst, DstIdentity, OfPort, OutPort, Src, SrcIdentity
from openflow.flow import Flow
from openflow.match import IPV4, IPV6, Term, arp, exact, in_port, ip_dst, ip_src, match, where
from openflow.net import network
from openflow.oxm import BY_NAME
from openflow.simulate import SimulationError, Tables
from openflow.simulate import packet as packets
from openflow.simulate.lookup import FlowTable
from openflow.simulate.slots import place_of

PACKET = packets.tcp("10.10.0.5", "10.10.0.6", 80)
TCP = (IPV4, exact(oxm.IP_PROTO, 6))


def flow(priority, *terms, actions=(), cookie=None):
    return Flow(0, priority, match(*terms), tuple(actions), priority if cookie is None else cookie)


def part(priority, *terms, of, cookie=None):
    return flow(priority, *terms, actions=[Conjunction(*each) for each in of], cookie=cookie)


def conj_id(number):
    return exact(oxm.CONJ_ID, number)


def tcp_dst(value, mask=0xFFFF):
    return (*TCP, Term(BY_NAME["tcp_dst"], value, mask))


def found(flows, packet=PACKET, port=3, **registers):
    """The cookie of the flow that handles the packet."""
    fields = packet.fields(port)
    for name, value in registers.items():
        slot, shift = place_of(BY_NAME[name])
        fields[slot] |= value << shift
    before = [*fields]
    entry = FlowTable(flows).lookup(fields)
    assert fields == before
    return None if entry is None else entry.flow.cookie


def test_an_empty_table_has_no_flow_for_anybody():
    assert found([]) is None
    assert found([flow(5, IPV6)]) is None


def test_the_highest_priority_decides():
    flows = [flow(5), flow(9, IPV4), flow(7, *TCP), flow(8, IPV6)]
    assert found(flows) == 9
    assert found(flows, packets.udp("fd00::1", "fd00::2", 80)) == 8
    assert found([*flows, flow(9, *TCP, cookie=1)]) in (9, 1)


def test_prefixes_and_masks():
    flows = [flow(n, ip_dst(network(net))) for n, net in ((1, "0.0.0.0/0"), (2, "10.0.0.0/8"), (3, "10.10.0.0/24"))]
    assert found(flows) == 3
    assert found(flows, packets.tcp("10.10.0.5", "10.99.0.1", 80)) == 2
    assert found(flows, packets.tcp("10.10.0.5", "192.0.2.1", 80)) == 1
    odd = [flow(1, IPV4, Term(oxm.IPV4_DST, 0x06, 0xFF))]
    assert found(odd) == 1
    assert found(odd, packets.tcp("10.10.0.5", "10.10.0.7", 80)) is None


def test_port_masks_are_of_their_protocol():
    flows = [flow(1, tcp_dst(0x50, 0xFFF0))]
    assert [found(flows, packets.tcp("10.0.0.1", "10.0.0.2", port)) for port in (79, 80, 95, 96)] == [
        None,
        1,
        1,
        None,
    ]
    assert found(flows, packets.udp("10.0.0.1", "10.0.0.2", 80)) is None
    assert found(flows, packets.tcp("fd00::1", "fd00::2", 80)) is None


def test_addresses_of_arp_are_not_those_of_ip():
    request = packets.arp_request("0e:00:00:00:00:05", "10.10.0.5", "10.10.0.6")
    flows = [flow(1, arp(spa=0x0A0A0005, op=1)), flow(2, ip_src(network("10.10.0.5/32")))]
    assert found(flows, request) == 1
    assert found(flows) == 2


def test_registers_by_halves_and_bits():
    flows = [flow(1, where(Src.POD)), flow(2, where(Src.POD), where(Dst.TUNNEL)), flow(3, where(OutPort(7)))]
    assert found(flows, reg0=0x1) == 1
    assert found(flows, reg0=0x21) == 2
    assert found(flows, reg0=0x22) is None
    assert found(flows, reg1=7) == 3
    assert found([flow(1, where(SrcIdentity(5 << 40)))], xreg1=5 << 40) == 1
    assert found([flow(1, Term(BY_NAME["reg2"], 5, 7))], reg2=0xD) == 1


def test_the_port_it_came_by():
    flows = [flow(1, in_port(OfPort(3))), flow(2, in_port(OfPort(4)))]
    assert (found(flows, port=3), found(flows, port=4), found(flows, port=5)) == (1, 2, None)


def test_a_conjunction_needs_every_clause():
    source, target = where(SrcIdentity(7)), where(DstIdentity(9))
    flows = [
        part(50, source, of=[(1, 1, 3)]),
        part(50, target, of=[(1, 2, 3)]),
        part(50, tcp_dst(80), of=[(1, 3, 3)]),
        flow(50, conj_id(1), cookie=1),
        flow(10, cookie=10),
    ]
    assert found(flows, xreg1=7, xreg2=9) == 1
    assert found(flows, xreg1=7, xreg2=8) == 10
    assert found(flows, packets.tcp("10.10.0.5", "10.10.0.6", 81), xreg1=7, xreg2=9) == 10
    assert found(flows[:-1], xreg1=7) is None


def test_flows_of_one_clause_may_overlap_and_belong_to_many_conjunctions():
    flows = [
        part(50, ip_src(network("10.0.0.0/8")), of=[(1, 1, 2), (2, 1, 2)]),
        part(50, ip_src(network("10.10.0.0/16")), of=[(1, 1, 2)]),
        part(50, ip_dst(network("10.10.0.6/32")), of=[(2, 2, 2)]),
        flow(50, conj_id(1), cookie=1),
        flow(50, conj_id(2), cookie=2),
    ]
    assert found(flows) == 2


def test_conjunctions_do_not_mix_priorities():
    low, high = part(40, where(SrcIdentity(7)), of=[(1, 1, 2)]), part(50, tcp_dst(80), of=[(1, 2, 2)])
    flows = [low, high, flow(50, conj_id(1), cookie=1), flow(10, cookie=10)]
    assert found(flows, xreg1=7) == 10


def test_a_plain_flow_of_the_same_or_a_higher_priority_wins():
    parts = [part(50, where(SrcIdentity(7)), of=[(1, 1, 2)]), part(50, tcp_dst(80), of=[(1, 2, 2)])]
    parts.append(flow(50, conj_id(1), cookie=1))
    assert found([*parts, flow(49, IPV4)], xreg1=7) == 1
    assert found([*parts, flow(50, IPV4, cookie=5)], xreg1=7) == 5
    assert found([*parts, flow(51, IPV4)], xreg1=7) == 51


def test_below_an_open_conjunction_the_same_bits_are_matched_again():
    flows = [
        part(50, where(SrcIdentity(7)), of=[(1, 1, 2)]),
        part(40, where(SrcIdentity(7)), of=[(2, 1, 2)]),
        flow(30, where(SrcIdentity(7))),
        part(40, tcp_dst(80), of=[(2, 2, 2)]),
        flow(40, conj_id(2), cookie=2),
        flow(20, IPV4),
    ]
    assert found(flows, xreg1=7) == 2
    assert found(flows, packets.tcp("10.10.0.5", "10.10.0.6", 81), xreg1=7) == 30
    assert found(flows, xreg1=8) == 20


def test_a_conjunction_without_its_result_falls_to_what_else_matches():
    parts = [part(50, where(SrcIdentity(7)), of=[(1, 1, 2)]), part(50, tcp_dst(80), of=[(1, 2, 2)])]
    assert found(parts, xreg1=7) is None
    assert found([*parts, flow(10, IPV4)], xreg1=7) == 10


def test_as_open_vswitch_has_it_one_flow_is_not_enough_for_two_clauses():
    both = part(50, IPV4, of=[(1, 1, 2), (1, 2, 2)])
    result = flow(50, conj_id(1), cookie=1)
    assert found([both, result]) is None
    # With another part beside it, whatever that is of, it is.
    assert found([both, part(50, tcp_dst(80), of=[(9, 1, 2)]), result]) == 1
    three = [part(50, IPV4, of=[(1, 1, 3), (1, 2, 3)]), part(50, tcp_dst(80), of=[(1, 3, 3)])]
    assert found([*three, result]) is None
    assert found([*three, part(50, where(Src.POD), of=[(9, 1, 2)]), result], reg0=1) == 1


def test_the_clauses_of_a_conjunction_are_counted_by_its_first_flow():
    flows = [part(50, IPV4, of=[(1, 1, 2)]), part(50, tcp_dst(80), of=[(1, 2, 2)]), flow(50, conj_id(1), cookie=1)]
    assert found([*flows, part(50, *TCP, of=[(1, 3, 3)])]) == 1


def test_without_a_conjunction_nothing_has_its_id():
    assert found([flow(1, conj_id(0)), flow(2, conj_id(5))]) == 1


def test_a_field_that_weft_does_not_know_cannot_be_simulated():
    foreign = decode(Encoded(bytes.fromhex("000001 80000510 0000000000000001 00000000000000ff"), bytes(8)))
    with pytest.raises(SimulationError, match="0x80000510: packets have no such field"):
        Tables([foreign])


def test_tables_of_many_shapes_are_still_sorted_by_priority():
    flows = [flow(n, where(SrcIdentity(n)), actions=[Output(1)]) for n in range(1, 2000)]
    flows += [flow(3000, ip_dst(network("10.10.0.6/32"))), flow(2500, tcp_dst(80))]
    assert found(flows, xreg1=1999) == 3000
    assert found(flows, packets.tcp("10.10.0.5", "10.10.0.7", 80), xreg1=5) == 2500
    assert found(flows, packets.tcp("10.10.0.5", "10.10.0.7", 81), xreg1=5) == 5
