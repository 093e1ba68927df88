"""Laws of conntrack: translation is undone on the way back, answers find their questions, and copies are apart."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from openflow.actions import TRANSLATE, Ct, Nat, NatRange
from openflow.fields import Zone
from openflow.match import CT_BITS
from openflow.simulate import Conntrack, Packet
from openflow.simulate import packet as packets
from openflow.simulate.conntrack import EST, NEW, RPL, Memory
from openflow.simulate.packet import ACK, SYN
from openflow.tables import Table

NEXT = Table.CONNTRACK_STATE
LOOK = Ct(Zone.IPV4, NEXT, nat=TRANSLATE)
hosts = st.integers(1, 3)
ports = st.sampled_from((99, 700, 40000, 40001))


@st.composite
def connections(draw) -> Packet:
    """First packets of few hosts and ports, so that they collide once they are translated."""
    number = draw(st.sampled_from((IPv4Address, IPv6Address)))
    base = int(number("10.0.0.0" if number is IPv4Address else "fd00::"))
    source, target = number(base + draw(hosts)), number(base + 16 + draw(hosts))
    kind = draw(st.sampled_from(("tcp", "udp", "echo")))
    if kind == "echo":
        return packets.echo(source, target, draw(hosts))
    return getattr(packets, kind)(source, target, draw(st.sampled_from((80, 81))), draw(ports))


@st.composite
def translations(draw) -> tuple[bool, int, int, tuple[int, int] | None]:
    """Source or destination, the first address, how many more, and ports."""
    bounds = draw(st.none() | st.tuples(st.integers(1, 3), st.integers(3, 5)))
    return draw(st.booleans()), draw(st.integers(1, 2)), draw(st.integers(0, 1)), bounds


def nat(packet: Packet, chosen) -> Nat:
    source, first, more, bounds = chosen
    base = "198.51.100.0" if packet.src.version == 4 else "2001:db8::"
    start = type(packet.src)(int(type(packet.src)(base)) + first)
    to = NatRange(start, start + more if more else None, bounds)
    return Nat(src=to) if source else Nat(dst=to)


def track(conntrack: Conntrack, packet: Packet, *actions: Ct) -> tuple[Packet, int]:
    fields, memory = packet.fields(1), Memory(packet.flags, packet.icmp_id, packet.about)
    for action in actions:
        conntrack.track(fields, memory, action)
    return packet.after(fields, memory.about), memory.state


def commit(packet: Packet, chosen=None) -> Ct:
    return Ct(Zone.IPV4, NEXT, commit=True, nat=None if chosen is None else nat(packet, chosen))


def ends(packet: Packet):
    return packet.src, packet.sport, packet.dst, packet.dport


@given(st.lists(st.tuples(connections(), st.none() | translations()), min_size=1, max_size=12))
def test_every_answer_comes_back_to_its_question_translated_back(begun):
    conntrack = Conntrack()
    for packet, chosen in begun:
        there, state = track(conntrack, packet, LOOK)
        if state & NEW and state & EST == 0:
            there, _ = track(conntrack, packet, LOOK, commit(packet, chosen))
        if chosen is not None and ends(there) == ends(packet):
            continue  # every address and port was taken: the packet stayed as it was, and nothing is remembered
        again, _ = track(conntrack, packet, LOOK)
        assert ends(again) == ends(there)
        answer, state = track(conntrack.copy(), there.answer(), LOOK)
        assert ends(answer) == ends(packet.answer())
        assert state & EST
        assert state & RPL


@given(st.lists(st.tuples(connections(), translations()), min_size=1, max_size=12))
def test_no_two_connections_have_the_same_answer(begun):
    conntrack = Conntrack()
    for packet, chosen in begun:
        track(conntrack, packet, LOOK, commit(packet, chosen))
    known = {id(each): each for same in conntrack.known.values() for each in same}.values()
    backs = [each.back for each in known if each.translates]
    assert len(backs) == len(set(backs))


@given(st.lists(connections(), min_size=1, max_size=6), st.lists(st.integers(0, 63), max_size=12))
def test_the_same_packets_find_the_same_and_a_copy_changes_nothing(begun, flags):
    one, two = Conntrack(), Conntrack()
    for place, bits in enumerate(flags):
        packet = replace(begun[place % len(begun)], flags=bits)
        packet = packet if place % 3 else replace(packet.answer(), flags=bits)
        track(one.copy(), packet, commit(packet))
        assert track(one, packet, LOOK, commit(packet)) == track(two, packet, LOOK, commit(packet))


@given(connections(), st.lists(st.integers(0, 63), max_size=10))
def test_states_never_contradict_themselves(packet, flags):
    conntrack = Conntrack()
    for place, bits in enumerate(flags):
        turn = replace(packet.answer() if place % 2 else packet, flags=bits)
        _, state = track(conntrack, turn, LOOK, commit(turn))
        names = {name for name, bit in CT_BITS.items() if state & bit}
        assert "trk" in names
        assert not names >= {"new", "est"}
        assert not names & {"new", "est"} if "inv" in names else names & {"new", "est", "rel"}


@given(connections())
def test_a_handshake_is_established_whatever_came_before(packet):
    conntrack = Conntrack()
    turns = (replace(packet, flags=SYN), replace(packet.answer(), flags=SYN | ACK), replace(packet, flags=ACK))
    states = [track(conntrack, turn, LOOK, commit(turn))[1] for turn in turns]
    assert [bool(state & EST) for state in states] == [False, True, True]
    assert [bool(state & RPL) for state in states] == [False, True, False]
