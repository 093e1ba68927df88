"""Connections: what each packet of one is, who may begin one, translation and marks. That Open vSwitch says the same
is tests/integration's part."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from openflow import oxm
from openflow.actions import TRANSLATE, Copy, Ct, Nat, NatRange, SetField
from openflow.fields import Zone
from openflow.match import CT_BITS
from openflow.simulate import Conntrack, slots
from openflow.simulate import packet as packets
from openflow.simulate.conntrack import Memory
from openflow.simulate.packet import ACK, FIN, PSH, RST, SYN
from openflow.tables import Table

A, B, ROUTER = "10.10.0.5", "10.10.0.6", "192.0.2.77"
NEXT = Table.CONNTRACK_STATE
LOOK = Ct(Zone.IPV4, NEXT, nat=TRANSLATE)
COMMIT = Ct(Zone.IPV4, NEXT, commit=True)
TCP, UDP, ECHO = packets.tcp(A, B, 80), packets.udp(A, B, 53), packets.echo(A, B)
SYN_ACK = SYN | ACK


def address(text):
    return ip_address(text)


class Pass:
    """What conntrack makes of one packet: in several actions, if there are."""

    def __init__(self, conntrack, packet, *actions):
        self.fields = packet.fields(3)
        self.memory = Memory(packet.flags, packet.icmp_id, packet.about)
        for action in actions:
            conntrack.track(self.fields, self.memory, action)
        self.packet = packet.after(self.fields, self.memory.about)

    @property
    def state(self):
        return "|".join(name for name, bit in CT_BITS.items() if self.memory.state & bit)

    @property
    def ends(self):
        return str(self.packet.src), self.packet.sport, str(self.packet.dst), self.packet.dport


def states(conntrack, *turns):
    """The state of each packet in turn, as Weft's pipeline sees it: looked up, and committed if it is new."""
    found = []
    for packet, flags in turns:
        packet = replace(packet, flags=flags)
        found.append(Pass(conntrack, packet, LOOK).state)
        if "new" in found[-1]:
            Pass(conntrack, packet, COMMIT)
    return found


def test_a_tcp_connection_is_established_when_it_is_answered():
    back = TCP.answer()
    assert states(Conntrack(), (TCP, SYN), (TCP, SYN), (back, SYN_ACK), (TCP, ACK), (back, ACK | PSH)) == [
        "new|trk", "new|trk", "est|rpl|trk", "est|trk", "est|rpl|trk",
    ]  # fmt: skip


def test_a_tcp_connection_may_be_met_in_its_middle():
    assert states(Conntrack(), (TCP, ACK), (TCP.answer(), ACK), (TCP, ACK)) == ["new|trk", "est|rpl|trk", "est|trk"]


@pytest.mark.parametrize("flags", [SYN_ACK, 0, SYN | FIN, SYN | RST, FIN, PSH, SYN | PSH])
def test_flags_with_which_no_connection_begins(flags):
    conntrack = Conntrack()
    assert states(conntrack, (TCP, flags)) == ["inv|trk"]
    assert not conntrack.known


@pytest.mark.parametrize("flags", [0, SYN | FIN, SYN | RST, FIN, RST | PSH])
def test_flags_that_are_impossible_in_a_connection_too(flags):
    assert states(Conntrack(), (TCP, SYN), (TCP.answer(), SYN_ACK), (TCP, flags), (TCP, ACK)) == [
        "new|trk", "est|rpl|trk", "inv|trk", "est|trk",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [((0, FIN | ACK), (1, FIN | ACK), (0, ACK)), ((0, RST | ACK),), ((1, RST),)])
def test_after_its_end_a_connection_begins_again(ending):
    ends = TCP, TCP.answer()
    conntrack = Conntrack()
    turns = [(TCP, SYN), (ends[1], SYN_ACK), (TCP, ACK), *((ends[side], flags) for side, flags in ending)]
    assert states(conntrack, *turns)[-1].startswith("est")
    assert states(conntrack, (TCP, ACK)) == ["est|trk"]
    assert states(conntrack, (TCP, SYN), (ends[1], SYN_ACK)) == ["new|trk", "est|rpl|trk"]
    assert len(conntrack.known) == 2


def test_it_may_begin_again_from_the_other_side():
    back = replace(TCP.answer())
    conntrack = Conntrack()
    states(conntrack, (TCP, SYN), (back, SYN_ACK), (TCP, RST))
    assert states(conntrack, (back, SYN), (TCP, SYN_ACK)) == ["new|trk", "est|rpl|trk"]


@pytest.mark.parametrize(
    "packet", [UDP, ECHO, packets.sctp(A, B, 9), packets.ip(A, B, 89), packets.echo("fd00::1", "fd00::2")]
)
def test_other_protocols_are_established_when_they_are_answered(packet):
    conntrack = Conntrack()
    actions = [replace(action, zone=Zone.IPV4) for action in (LOOK, COMMIT)]
    for _ in range(3):
        assert Pass(conntrack, packet, *actions).state == "new|trk"
    assert Pass(conntrack, packet.answer(), actions[0]).state == "est|rpl|trk"
    assert Pass(conntrack, packet, actions[0]).state == "est|trk"


def test_a_connection_that_is_not_committed_is_not_remembered():
    conntrack = Conntrack()
    assert [Pass(conntrack, UDP, LOOK).state for _ in range(2)] == ["new|trk"] * 2
    assert Pass(conntrack, UDP.answer(), LOOK).state == "new|trk"


def test_in_icmp_only_questions_begin():
    assert Pass(Conntrack(), ECHO.answer(), LOOK).state == "inv|trk"
    assert Pass(Conntrack(), replace(ECHO, sport=13), LOOK).state == "new|trk"
    assert Pass(Conntrack(), replace(ECHO, sport=9), LOOK).state == "inv|trk"


def test_echoes_are_told_apart_by_their_identifiers():
    conntrack = Conntrack()
    Pass(conntrack, ECHO, COMMIT)
    assert Pass(conntrack, replace(ECHO.answer(), icmp_id=2), LOOK).state == "inv|trk"
    assert Pass(conntrack, ECHO.answer(), LOOK).state == "est|rpl|trk"


def test_sctp_associations_of_two_hosts_are_one_connection():
    conntrack = Conntrack()
    Pass(conntrack, packets.sctp(A, B, 9), COMMIT)
    assert Pass(conntrack, packets.sctp(B, A, 1234, sport=77), LOOK).state == "est|rpl|trk"


@pytest.mark.parametrize("about", [TCP, UDP, ECHO], ids=["tcp", "udp", "icmp"])
def test_errors_are_related_to_what_they_quote(about):
    conntrack = Conntrack()
    error = packets.unreachable(about, ROUTER)
    assert Pass(conntrack, error, LOOK).state == "inv|trk"
    Pass(conntrack, about, COMMIT)
    assert Pass(conntrack, error, LOOK).state == "rel|rpl|trk"
    assert Pass(conntrack, packets.unreachable(about.answer()), LOOK).state == "rel|trk"
    assert Pass(conntrack, about, LOOK).state == "new|trk"  # an error is no answer


def test_an_error_has_to_go_to_whom_it_quotes():
    conntrack = Conntrack()
    Pass(conntrack, UDP, COMMIT)
    astray = replace(packets.unreachable(UDP), dst=address(ROUTER))
    assert Pass(conntrack, astray, LOOK).state == "inv|trk"
    assert Pass(conntrack, replace(astray, about=None), LOOK).state == "inv|trk"


def test_zones_know_nothing_of_each_other():
    conntrack = Conntrack()
    Pass(conntrack, UDP, COMMIT)
    assert Pass(conntrack, UDP.answer(), replace(LOOK, zone=Zone.IPV6)).state == "new|trk"
    through = Pass(conntrack, UDP.answer(), LOOK, replace(LOOK, zone=Zone.IPV6))
    assert (through.state, through.memory.zone) == ("new|trk", Zone.IPV6)


def test_marks_and_labels_stay_with_the_connection():
    conntrack = Conntrack()
    one = (SetField(oxm.CT_MARK, 5, 7), SetField(oxm.CT_LABEL, 9 << 64, 0xFF << 64))
    two = (SetField(oxm.CT_MARK, 0, 1), SetField(oxm.CT_LABEL, 3, 3))
    assert Pass(conntrack, UDP, LOOK, replace(COMMIT, sets=one)).memory.mark == 5
    back = Pass(conntrack, UDP.answer(), LOOK).memory
    assert (back.mark, back.label) == (5, 9 << 64)
    Pass(conntrack, UDP, LOOK, replace(COMMIT, sets=two))
    back = Pass(conntrack, UDP.answer(), LOOK).memory
    assert (back.mark, back.label) == (4, 9 << 64 | 3)
    assert Pass(conntrack, packets.udp(A, B, 54), LOOK).memory.mark == 0
    Pass(conntrack, UDP, LOOK, replace(COMMIT, sets=(Copy(oxm.IPV4_SRC, oxm.CT_LABEL, 32),)))
    assert Pass(conntrack, UDP.answer(), LOOK).memory.label == 9 << 64 | int(address(A))


def test_force_turns_a_connection_round_and_forgets_its_marks():
    conntrack = Conntrack()
    Pass(conntrack, UDP, replace(COMMIT, sets=(SetField(oxm.CT_MARK, 5, 7),)))
    back = UDP.answer()
    assert Pass(conntrack, UDP, replace(COMMIT, force=True)).memory.mark == 5  # it goes that way already
    assert Pass(conntrack, back, COMMIT).state == "est|rpl|trk"
    turned = Pass(conntrack, back, replace(COMMIT, force=True))
    assert (turned.state, turned.memory.mark) == ("new|trk", 0)
    assert Pass(conntrack, UDP, LOOK).state == "est|rpl|trk"


def test_a_second_pass_in_one_zone_finds_what_the_first_one_did():
    conntrack = Conntrack()
    Pass(conntrack, UDP, COMMIT)
    plain = Ct(Zone.IPV4, NEXT)
    assert Pass(conntrack, UDP.answer(), plain, plain).state == "est|rpl|trk"
    assert Pass(conntrack, UDP, COMMIT, COMMIT, plain).state == "est|trk"


def nat(kind, first, last=None, ports=None):
    return replace(COMMIT, nat=Nat(**{kind: NatRange(address(first), last and address(last), ports)}))


@pytest.mark.parametrize(
    ("action", "out"),
    [
        (nat("dst", "10.10.0.99", ports=(8080, 8080)), (A, 40000, "10.10.0.99", 8080)),
        (nat("dst", "10.10.0.99"), (A, 40000, "10.10.0.99", 53)),
        (nat("src", "198.51.100.1"), ("198.51.100.1", 40000, B, 53)),
        (nat("src", "198.51.100.1", ports=(7, 9)), ("198.51.100.1", 7, B, 53)),
    ],
)
def test_a_connection_is_translated_there_and_back(action, out):
    conntrack = Conntrack()
    there = Pass(conntrack, UDP, LOOK, action)
    assert there.ends == out
    assert there.state == ("new|trk|dnat" if action.nat.dst else "new|trk|snat")
    back = Pass(conntrack, there.packet.answer(), LOOK)
    assert back.ends == (B, 53, A, 40000)
    assert back.state == ("est|rpl|trk|snat" if action.nat.dst else "est|rpl|trk|dnat")
    again = Pass(conntrack, UDP, LOOK)
    assert again.ends == out
    assert again.state.startswith("est|trk")


def test_without_being_asked_to_conntrack_translates_nothing():
    conntrack = Conntrack()
    Pass(conntrack, UDP, nat("dst", "10.10.0.99"))
    assert Pass(conntrack, UDP, Ct(Zone.IPV4, NEXT)).ends == (A, 40000, B, 53)


def test_a_translated_packet_is_known_by_both_of_its_faces():
    conntrack = Conntrack()
    marked = replace(COMMIT, sets=(SetField(oxm.CT_MARK, 5, 7),))
    twice = Pass(conntrack, UDP, LOOK, nat("dst", "10.10.0.99"), marked)
    assert twice.ends == (A, 40000, "10.10.0.99", 53)
    assert len({id(known) for same in conntrack.known.values() for known in same}) == 1
    assert Pass(conntrack, UDP, LOOK).memory.mark == 5


def test_an_error_about_a_translated_packet_is_translated_inside_and_out():
    conntrack = Conntrack()
    there = Pass(conntrack, UDP, LOOK, nat("dst", "10.10.0.99", ports=(8080, 8080)))
    back = Pass(conntrack, packets.unreachable(there.packet, ROUTER), LOOK)
    assert back.state == "rel|rpl|trk|snat"
    assert (str(back.packet.src), str(back.packet.dst)) == (B, A)
    quoted = back.packet.about
    assert (str(quoted.src), quoted.sport, str(quoted.dst), quoted.dport) == (A, 40000, B, 53)


def test_a_source_that_is_taken_moves_to_another_port_or_address():
    conntrack = Conntrack()

    def sources(action, port, sport):
        guests = (packets.udp(f"10.10.0.{n}", B, port, sport) for n in range(4))
        return [Pass(conntrack, guest, action).ends[:2] for guest in guests]

    one, two = nat("src", "198.51.100.1"), nat("src", "198.51.100.8", "198.51.100.9", (7, 8))
    assert sources(one, 53, 40000) == [("198.51.100.1", 40000 + n) for n in range(4)]
    assert sources(one, 54, 510) == [("198.51.100.1", port) for port in (510, 511, 1, 2)]
    assert sources(one, 55, 1023) == [("198.51.100.1", port) for port in (1023, 600, 601, 602)]
    assert sources(two, 56, 40000) == [(f"198.51.100.{host}", port) for host in (8, 9) for port in (7, 8)]


def test_when_every_port_is_taken_nothing_is_committed():
    conntrack = Conntrack()
    one = nat("src", "198.51.100.1", ports=(7, 7))
    assert Pass(conntrack, UDP, one).ends[0] == "198.51.100.1"
    other = Pass(conntrack, packets.udp("10.10.0.9", B, 53), one)
    assert (other.ends[0], other.state) == ("10.10.0.9", "new|trk")
    assert Pass(conntrack, packets.udp("10.10.0.9", B, 53), LOOK).state == "new|trk"


def test_two_services_on_one_backend_keep_their_clients_apart():
    conntrack = Conntrack()
    to = nat("dst", "10.10.0.99", ports=(8080, 8080))
    one, two = (Pass(conntrack, packets.udp(A, service, 53), to) for service in ("10.96.0.1", "10.96.0.2"))
    assert (one.ends[1], two.ends[1]) == (40000, 40001)
    assert [Pass(conntrack, each.packet.answer(), LOOK).ends[:2] for each in (one, two)] == [
        ("10.96.0.1", 53), ("10.96.0.2", 53),
    ]  # fmt: skip
    assert Pass(conntrack, two.packet.answer(), LOOK).ends[3] == 40000


def test_protocols_without_ports_are_translated_by_address_only():
    conntrack = Conntrack()
    there = Pass(conntrack, ECHO, nat("src", "198.51.100.1", ports=(7, 9)))
    assert there.ends == ("198.51.100.1", 8, B, 0)
    assert str(Pass(conntrack, there.packet.answer(), LOOK).packet.dst) == A


def test_of_two_connections_that_look_alike_the_newest_counts():
    conntrack = Conntrack()
    Pass(conntrack, UDP, nat("src", "198.51.100.1"))
    back = UDP.answer()
    Pass(conntrack, back, COMMIT)
    assert Pass(conntrack, UDP, Ct(Zone.IPV4, NEXT)).state == "est|rpl|trk"
    assert Pass(conntrack, UDP, replace(COMMIT, force=True)).state == "new|trk"
    assert Pass(conntrack, packets.udp(B, "198.51.100.1", 40000, sport=53), LOOK).state == "est|rpl|trk|dnat"


def test_force_leaves_a_translated_connection_alone():
    conntrack = Conntrack()
    there = Pass(conntrack, UDP, nat("src", "198.51.100.1"))
    assert Pass(conntrack, there.packet.answer(), replace(COMMIT, force=True)).state == "est|rpl|trk"


def test_a_copy_lives_its_own_life():
    conntrack = Conntrack()
    Pass(conntrack, UDP, COMMIT)
    twin = conntrack.copy()
    assert Pass(twin, UDP.answer(), replace(COMMIT, sets=(SetField(oxm.CT_MARK, 1, 1),))).state == "est|rpl|trk"
    assert Pass(conntrack, UDP, LOOK).state == "new|trk"
    assert Pass(conntrack, UDP, LOOK).memory.mark == 0
    assert Pass(twin, UDP, LOOK).state == "est|trk"
    assert twin.known.keys() == conntrack.known.keys()
    Pass(twin, packets.udp(A, B, 99), COMMIT)
    assert len(conntrack.known) == 2


def test_a_packet_that_talks_to_itself():
    conntrack = Conntrack()
    same = packets.udp(A, A, 53, sport=53)
    assert Pass(conntrack, same, COMMIT).state == "new|trk"
    assert Pass(conntrack, same, LOOK).state == "new|trk"


def test_conntrack_looks_at_the_fields_as_they_are_now():
    conntrack = Conntrack()
    Pass(conntrack, UDP, COMMIT)
    moved = Memory(UDP.flags, 0, None)
    fields = UDP.answer().fields(3)
    fields[slots.TP_SRC] = 54
    conntrack.track(fields, moved, LOOK)
    assert not moved.state & CT_BITS["est"]
