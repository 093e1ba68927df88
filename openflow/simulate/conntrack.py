"""Connection tracking as Open vSwitch's userspace datapath does it (its lib/conntrack.c), without a clock: nothing
is forgotten unless it is replaced. Fragments and application helpers are left out.

`Conntrack` is mutable, because a frozen table would be copied for every connection of a sweep that makes thousands
of them. To ask a question without leaving a trace, ask a `copy()`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, islice
from typing import NamedTuple, Protocol

from openflow import oxm
from openflow.actions import Copy, Ct, Nat, NatRange, SetField
from openflow.match import CT_BITS
from openflow.oxm import CT_MARK
from openflow.simulate.connection import WITH_PORTS, Connection, Judged, Key, key_of, may_start, related_key
from openflow.simulate.packet import Packet
from openflow.simulate.slots import IP_DST, IP_SRC, TP_DST, TP_SRC, Fields, place_of

NEW, EST, REL, RPL, INV, TRK, SNAT, DNAT = CT_BITS.values()
"""Flags of ct_state (ovs-fields(7))."""

_LAST_PORT = 0xFFFF
_TRIES = 1 << 16


@dataclass(slots=True, eq=False)
class Memory:
    """What goes along with a packet beside its fields: what conntrack needs of it, and what it found."""

    flags: int
    icmp_id: int
    about: Packet | None
    state: int = 0
    zone: int = 0
    mark: int = 0
    label: int = 0
    original: Key | None = None
    connection: Connection | None = None
    reply: bool = False
    related: bool = False

    def copy(self) -> "Memory":
        # Once for each pass of each packet: `replace` takes ten times as long.
        return Memory(
            self.flags, self.icmp_id, self.about, self.state, self.zone, self.mark, self.label, self.original,
            self.connection, self.reply, self.related,
        )  # fmt: skip

    def forget(self) -> None:
        self.state, self.connection = 0, None


class Tracker(Protocol):
    """Whatever answers a `ct` action."""

    def track(self, fields: Fields, memory: Memory, action: Ct) -> None:
        """Judge the packet: fill in `memory`, and translate the addresses in `fields`."""


class Find(NamedTuple):
    """What a pass through conntrack is told to find: flags of ct_state, and the connection's mark and label."""

    state: int = NEW | TRK
    mark: int = 0
    label: int = 0


@dataclass(slots=True)
class Told:
    """Conntrack that finds what it is told, one find for each pass that has a table; after those, new connections."""

    finds: Sequence[Find] = ()
    passes: int = 0

    def track(self, fields: Fields, memory: Memory, action: Ct) -> None:
        if action.table is None:
            return
        find = self.finds[self.passes] if self.passes < len(self.finds) else Find()
        memory.state, memory.mark, memory.label = find
        memory.zone = action.zone
        self.passes += 1


@dataclass(slots=True)
class Conntrack:
    """The connections of one node, by both of their directions. Translation can make two connections look alike
    from one side: then the newest one counts."""

    known: dict[Key, list[Connection]] = field(default_factory=dict)

    def copy(self) -> "Conntrack":
        twins = {id(each): replace(each) for same in self.known.values() for each in same}
        return Conntrack({key: [twins[id(each)] for each in same] for key, same in self.known.items()})

    def track(self, fields: Fields, memory: Memory, action: Ct) -> None:
        connection = memory.connection
        if connection is None or connection.key.zone != action.zone or action.force:
            connection = self._first_pass(fields, memory, action)
        elif action.nat is not None:
            _translate(fields, memory, connection, action.zone)
        memory.zone = action.zone
        memory.mark, memory.label = (connection.mark, connection.label) if connection else (0, 0)
        if connection is not None:
            _assign(memory, connection, action, fields)
        # What one pass found is good for the next, but not once addresses may have been translated.
        memory.connection = connection if action.nat is None else None

    def _first_pass(self, fields: Fields, memory: Memory, action: Ct) -> Connection | None:
        if memory.zone != action.zone:
            memory.state = 0
        related = related_key(fields, memory.about, action.zone)
        key = related or key_of(fields, memory.icmp_id, action.zone)
        memory.related, memory.original, connection = related is not None, None, None
        if key is None:
            memory.state = INV
        else:
            connection = self._judge(fields, memory, action, key)
            memory.original = connection.key if connection else key
        memory.state |= TRK
        return connection

    def _judge(self, fields: Fields, memory: Memory, action: Ct, key: Key) -> Connection | None:
        connection = self._find(memory, key)
        # As it is, Open vSwitch does not turn a connection round whose addresses are translated.
        if connection is not None and memory.reply and action.force and not connection.translates:
            self._forget(connection)
            connection = None
        if connection is None:
            if memory.related:
                memory.state = INV
                return None
            return self._create(fields, memory, action, key)
        if self._update(memory, connection):
            self._forget(connection)
            return self._create(fields, memory, action, key)
        if action.nat is not None:
            _translate(fields, memory, connection, action.zone)
        return connection

    def _find(self, memory: Memory, key: Key) -> Connection | None:
        """The connection and, in `memory`, the packet's direction. A packet whose addresses were translated in
        this zone before is one that the other end of its connection could answer, so its reverse is known."""
        translated = bool(memory.state & (SNAT | DNAT))
        looked = key.reversed() if translated else key
        same = self.known.get(looked)
        if not same:
            memory.reply = False
            return None
        memory.reply = (looked == same[-1].key) is translated
        return same[-1]

    def _update(self, memory: Memory, connection: Connection) -> bool:
        """Add what the packet is to the connection; True if it is the first one of another in its place."""
        if memory.related:
            memory.state |= REL | (RPL if memory.reply else 0)
            return False
        judged = connection.judge(memory.flags, reply=memory.reply)
        if judged is Judged.VALID:
            memory.state = memory.state & ~NEW | EST | (RPL if memory.reply else 0)
        elif judged is Judged.UNANSWERED:
            memory.state |= NEW
        elif judged is Judged.INVALID:
            memory.state = INV
        return judged is Judged.AGAIN

    def _create(self, fields: Fields, memory: Memory, action: Ct, key: Key) -> Connection | None:
        memory.reply = False
        memory.state = NEW if may_start(key, memory.flags) else INV
        if memory.state == INV or not action.commit:
            return None
        to = action.nat.to if action.nat is not None else None
        if action.nat is None or to is None:
            connection = Connection(key, key.reversed())
        else:
            back = next((each for each in _backs(key, action.nat, to) if each not in self.known), None)
            if back is None:  # every address and port is taken
                return None
            connection = Connection(key, back, SNAT if action.nat.src else DNAT)
            _translate(fields, memory, connection, action.zone)
        for direction in {connection.key, connection.back}:
            self.known.setdefault(direction, []).append(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        for direction in {connection.key, connection.back}:
            self.known[direction].remove(connection)
            if not self.known[direction]:
                del self.known[direction]


def _assign(memory: Memory, connection: Connection, action: Ct, fields: Fields) -> None:
    """Run the assignments of a commit, on the connection and on what the packet knows of it."""
    for assignment in action.sets:
        value, mask = assigned(assignment, fields)
        if assignment.target is CT_MARK:
            connection.mark = memory.mark = memory.mark & ~mask | value
        else:
            connection.label = memory.label = memory.label & ~mask | value


def assigned(assignment: SetField | Copy, fields: Fields) -> tuple[int, int]:
    """What is written to a connection's mark or label, and its mask."""
    if isinstance(assignment, SetField):
        return assignment.value, assignment.mask
    (slot, shift), mask = place_of(assignment.source), (1 << assignment.width) - 1
    return fields[slot] >> shift & mask, mask


def _translate(fields: Fields, memory: Memory, connection: Connection, zone: int) -> None:
    """Give the packet the addresses that the far side of the translation knows; once a zone is enough."""
    if not connection.translates or (memory.state & (SNAT | DNAT) and memory.zone == zone):
        return
    source = (connection.translates == SNAT) is not memory.reply
    memory.state = memory.state & ~(SNAT | DNAT) | (SNAT if source else DNAT)
    far = connection.key if memory.reply else connection.back
    if source:
        fields[IP_SRC] = far.dst
    else:
        fields[IP_DST] = far.src
    if memory.related and memory.about is not None:
        memory.about = _quoted(memory.about, far)
    elif far.proto in WITH_PORTS:
        fields[TP_SRC], fields[TP_DST] = far.dport, far.sport


def _quoted(about: Packet, key: Key) -> Packet:
    """The packet that an error quotes, as its sender knows it."""
    number = IPv4Address if key.ethertype == oxm.ETH_IPV4 else IPv6Address
    ports = (key.sport, key.dport) if key.proto in WITH_PORTS else (about.sport, about.dport)
    return replace(about, src=number(key.src), dst=number(key.dst), sport=ports[0], dport=ports[1])


def _backs(key: Key, nat: Nat, to: NatRange) -> Iterator[Key]:
    """The replies that a translated connection may have, in the order in which they are tried. Open vSwitch starts
    at an address and a port that it takes from a hash, this at the first ones."""
    plain = key.reversed()
    addresses = range(int(to.first), int(to.last or to.first) + 1)
    ends = (plain._replace(dst=each) if nat.src else plain._replace(src=each) for each in addresses)
    return islice((back for end in ends for back in _ports(end, nat, to)), _TRIES)


def _ports(back: Key, nat: Nat, to: NatRange) -> Iterator[Key]:
    """With the ports of the range, or the ones it has; if those are taken, the client's port moves."""
    given = range(to.ports[0], to.ports[1] + 1) if to.ports is not None else None
    if back.proto not in WITH_PORTS:
        yield back
    elif nat.src and given is not None:
        yield from (back._replace(dport=port) for port in given)
    else:
        if given is not None:
            yield from (back._replace(sport=port) for port in given)
            back = back._replace(sport=given[0])
        yield from (back._replace(dport=port) for port in _from(back.dport))


def _from(port: int) -> Iterator[int]:
    """A port and the ones after it, round and round in its class: privileged ports stay privileged."""
    low, high = (1, 511) if port < 512 else (600, 1023) if port < 1024 else (1024, _LAST_PORT)
    return chain(range(port, high + 1), range(low, port))
