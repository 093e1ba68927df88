"""What actions do to a packet, and where it ends."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from openflow import oxm
from openflow.actions import (
    CT_CLEAR,
    DEC_TTL,
    DELIVER,
    IN_PORT,
    Conjunction,
    Copy,
    Ct,
    Goto,
    Group,
    Meter,
    Nat,
    NatRange,
    Output,
    OutputReg,
    RawAction,
    SetField,
    load,
    out_port,
)
from openflow.codec import EXPIRES
from openflow.decode import RawInstruction
from openflow.fields import Dst, OfPort, Slice, Src, SrcIdentity, Zone
from openflow.flow import Flow
from openflow.groups import Bucket, GroupEntry, GroupKind
from openflow.match import IPV4, Term, ct_state, exact, match, where
from openflow.oxm import BY_NAME
from openflow.simulate import Fabric, Guest, Place, Reason, SimulationError, Switch, Tables
from openflow.simulate import packet as packets
from openflow.tables import Table

PACKET = packets.tcp("10.10.0.5", "10.10.0.6", 80)
IP6 = packets.udp("fd00::5", "fd00::6", 53)
ARP = packets.arp_request("0e:00:00:00:00:05", "10.10.0.5", "10.10.0.6")
PORTS = {number: Guest(f"port/{number}", "0e:00:00:00:00:01", ()) for number in (1, 2, 3, 4, 0xFFFFFFFE)}
WHOLE = 0xFFFFFFFF


def flow(table, *actions, terms=(), priority=5):
    return Flow(table, priority, match(*terms), actions, table + 1)


def run(*flows, packet=PACKET, groups=(), port=3):
    return Fabric.of([Switch("n", Tables(flows, groups), PORTS)]).inject(Place("n", port), packet)


def after(*actions, packet=PACKET):
    """The packet as it leaves by port 2 behind these actions."""
    return run(flow(0, *actions, Output(2)), packet=packet).packet


def ports(*actions, **given):
    return [delivery.port for delivery in run(flow(0, *actions), **given).deliveries]


def test_a_field_is_set_under_its_mask():
    target = oxm.IPV4_DST
    assert str(after(SetField(target, 0x01020304, WHOLE)).dst) == "1.2.3.4"
    assert str(after(SetField(target, 0x63, 0xFF)).dst) == "10.10.0.99"
    assert after(SetField(BY_NAME["tcp_dst"], 0x8000, 0x8000)).dport == 0x8050
    assert after(SetField(BY_NAME["nw_ttl"], 9, 255)).ttl == 9


def test_a_field_that_the_packet_has_not_stays_away():
    for action in (
        SetField(oxm.IPV4_DST, 1, WHOLE),
        SetField(BY_NAME["tcp_dst"], 1, 0xFFFF),
        Copy(oxm.IPV4_SRC, oxm.IPV4_DST),
    ):
        assert after(action, packet=IP6) == replace(after(packet=IP6))
    assert after(SetField(oxm.ARP_SPA, 1, WHOLE)).src == PACKET.src


def test_copies_between_fields_and_halves_of_registers():
    reg6, reg7 = BY_NAME["reg6"], BY_NAME["reg7"]
    assert after(Copy(oxm.IPV4_SRC, reg6), Copy(reg6, oxm.IPV4_DST)).dst == PACKET.src
    assert after(Copy(oxm.IPV4_SRC, reg7), Copy(reg7, reg6), Copy(reg6, oxm.IPV4_DST)).dst == PACKET.src
    swapped = after(Copy(oxm.ETH_SRC, oxm.ETH_DST))
    assert (swapped.eth_dst, swapped.eth_src) == (PACKET.eth_src, PACKET.eth_src)


def test_registers_are_read_by_later_tables():
    flows = [
        flow(0, load(Src.POD), load(Dst.TUNNEL), load(SrcIdentity(1 << 63)), Goto(Table(1))),
        flow(1, Output(2), terms=(where(Src.POD), where(Dst.TUNNEL), where(SrcIdentity(1 << 63)))),
    ]
    assert run(*flows).delivered


@pytest.mark.parametrize(("ttl", "left"), [(64, 63), (2, 1), (1, None), (0, None)])
@pytest.mark.parametrize("packet", [PACKET, IP6], ids=["ipv4", "ipv6"])
def test_ttl(packet, ttl, left):
    trace = run(flow(0, DEC_TTL, Output(2)), packet=replace(packet, ttl=ttl))
    if left is None:
        assert trace.drop.reason is Reason.EXPIRED
    else:
        assert trace.packet.ttl == left


def test_what_ends_a_packet_also_ends_its_goto():
    trace = run(flow(0, DEC_TTL, Goto(Table(1))), flow(1, Output(2)), packet=replace(PACKET, ttl=1))
    assert trace.tables == (0,)


def test_output():
    assert ports(Output(2), Output(4)) == [2, 4]
    assert ports(Output(3)) == []
    assert ports(IN_PORT) == [3]
    assert ports(Output(0xFFFFFFFE)) == [0xFFFFFFFE]
    assert ports(Output(77), Output(2)) == [2]
    assert ports(Output(0xFFFFFFFD)) == []


def test_each_output_sends_the_packet_as_it_is_then():
    trace = run(flow(0, Output(2), SetField(BY_NAME["nw_ttl"], 9, 255), Output(4)))
    assert [delivery.packet.ttl for delivery in trace.deliveries] == [64, 9]


def test_output_to_the_port_in_a_register():
    assert ports(out_port(OfPort(4)), DELIVER) == [4]
    assert ports(out_port(OfPort(3)), DELIVER) == []
    assert ports(out_port(OfPort(0x10004)), DELIVER) == []
    assert ports(out_port(OfPort(0xFFF8)), DELIVER) == [3]
    shifted = (SetField(BY_NAME["reg5"], 4 << 9, WHOLE), OutputReg(Slice(int, BY_NAME["reg5"], 9, 3)))
    assert ports(*shifted) == [4]


@pytest.mark.parametrize("port", [0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFC])
def test_what_depends_on_learning_is_refused(port):
    with pytest.raises(SimulationError, match="depends on what the switch has learned"):
        run(flow(0, Output(port)))


def test_why_a_packet_went_nowhere():
    assert run(packet=PACKET).drop.reason is Reason.MISS
    assert run(flow(0)).drop.reason is Reason.DROPPED
    assert run(flow(0, Goto(Table(4)))).drop.table == 4
    assert run(flow(0, Output(3))).drop.reason is Reason.CAME_FROM
    assert run(flow(0, Output(77))).drop.reason is Reason.NO_PORT
    assert run(flow(0, out_port(OfPort(1 << 20)), DELIVER)).drop.reason is Reason.NO_PORT
    assert run(flow(0, Group(5))).drop.reason is Reason.NO_GROUP
    # What went wrong on the way is not the end.
    assert run(flow(0, Output(3), Goto(Table(1)))).drop.reason is Reason.MISS


def test_what_has_no_effect_on_one_packet():
    assert ports(Meter(5), RawInstruction(EXPIRES), Output(2)) == [2]
    assert ports(Conjunction(1, 1, 2)) == []


def test_an_action_that_weft_does_not_know_is_refused_by_its_flow():
    raw = RawAction(bytes.fromhex("0011000881000000"))
    with pytest.raises(SimulationError, match=r"table 0, priority 5, cookie 0x1: .* the action 0011000881000000"):
        run(flow(0, raw))
    with pytest.raises(SimulationError, match="the action 0002001800000000"):
        run(flow(0, RawInstruction(bytes.fromhex("0002001800000000"))))
    assert run(flow(1, raw)).drop.reason is Reason.MISS  # nobody meets it


def test_conntrack_forks_and_leaves_the_original_untracked():
    flows = [
        flow(0, Ct(Zone.IPV4, Table(2)), load(Src.POD), Goto(Table(1))),
        flow(1, Output(2), terms=(ct_state(trk=False), where(Src.POD))),
        flow(2, Output(4), terms=(ct_state(trk=True, new=True), exact(oxm.CT_ZONE, Zone.IPV4))),
    ]
    trace = run(*flows)
    assert [delivery.port for delivery in trace.deliveries] == [4, 2]


def test_what_conntrack_found_can_be_forgotten():
    flows = [
        flow(0, Ct(Zone.IPV4, Table(1))),
        flow(1, CT_CLEAR, Goto(Table(2))),
        flow(2, Output(2), terms=(ct_state(trk=False),)),
    ]
    assert run(*flows).delivered


def test_a_packet_is_translated_even_where_the_tables_go_on_with_the_original():
    to = Nat(dst=NatRange(ip_address("10.10.0.99"), ports=(8080, 8080)))
    flows = [
        flow(0, Ct(Zone.IPV4, commit=True, nat=to), Goto(Table(1))),
        flow(1, Output(2), terms=(IPV4, exact(oxm.IPV4_DST, int(PACKET.dst)))),
    ]
    got = run(*flows).packet
    assert (str(got.dst), got.dport) == ("10.10.0.99", 8080)


def test_marks_are_read_behind_the_commit():
    marks = (SetField(oxm.CT_MARK, 2, 2), SetField(oxm.CT_LABEL, 7 << 64, 0xFF << 64))
    flows = [
        flow(0, Ct(Zone.IPV4, Table(1), commit=True, sets=marks)),
        flow(1, Output(2), terms=(Term(oxm.CT_MARK, 2, 3), Term(oxm.CT_LABEL, 7 << 64, oxm.CT_LABEL.full))),
    ]
    assert run(*flows).delivered


def test_conntrack_that_leads_back_is_given_up():
    trace = run(flow(0, Ct(Zone.IPV4, Table(0))))
    assert trace.drop.reason is Reason.ROUND


def test_every_bucket_of_a_copying_group_gets_the_packet_as_it_was():
    buckets = (Bucket(1, (SetField(BY_NAME["nw_ttl"], 9, 255), Output(2))), Bucket(2, (Output(4),)), Bucket(3, ()))
    group = GroupEntry(5, GroupKind.ALL, buckets)
    trace = run(flow(0, Group(5), Output(1)), groups=[group])
    assert [(delivery.port, delivery.packet.ttl) for delivery in trace.deliveries] == [(2, 9), (4, 64), (1, 64)]


def test_a_choosing_group_takes_one_bucket_and_stays_with_it():
    group = GroupEntry(
        5, GroupKind.SELECT, tuple(Bucket(n, (Output(n),), weight) for n, weight in ((1, 1), (2, 7), (4, 2)))
    )

    def chosen(sport):
        (port,) = ports(Group(5), packet=packets.tcp("10.10.0.5", "10.10.0.6", 80, sport), groups=[group])
        return port

    all_chosen = [chosen(sport) for sport in range(1, 400)]
    assert all_chosen == [chosen(sport) for sport in range(1, 400)]
    assert set(all_chosen) == {1, 2, 4}
    assert all_chosen.count(2) > all_chosen.count(4) > all_chosen.count(1)


def test_a_bucket_ends_where_its_packet_does():
    group = GroupEntry(5, GroupKind.ALL, (Bucket(1, (DEC_TTL, Output(2))), Bucket(2, (Output(4),))))
    assert ports(Group(5), groups=[group], packet=replace(PACKET, ttl=1)) == [4]


def test_a_group_without_buckets_drops():
    for kind in GroupKind:
        assert ports(Group(5), groups=[GroupEntry(5, kind, ())]) == []


def test_buckets_may_go_on_through_conntrack():
    commit = Ct(Zone.IPV4, Table(1), commit=True, nat=Nat(dst=NatRange(ip_address("10.10.0.99"))))
    group = GroupEntry(5, GroupKind.SELECT, (Bucket(1, (commit,)),))
    trace = run(flow(0, Group(5)), flow(1, Output(2)), groups=[group])
    assert str(trace.packet.dst) == "10.10.0.99"


def test_groups_that_use_each_other_are_given_up():
    groups = [GroupEntry(n, GroupKind.ALL, (Bucket(1, (Group(3 - n),)),)) for n in (1, 2)]
    assert run(flow(0, Group(1)), groups=groups).drop.reason is Reason.ROUND


def test_arp_is_answered_in_place():
    flows = [flow(0, SetField(oxm.ARP_OP, 2, 0xFFFF), Copy(oxm.ARP_SHA, oxm.ARP_THA), IN_PORT)]
    got = run(*flows, packet=ARP).packet
    assert (got.proto, got.arp_tha, got.ttl) == (2, ARP.arp_sha, ARP.ttl)
