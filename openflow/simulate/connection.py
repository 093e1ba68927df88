"""One connection: what identifies it, and what each of its packets is to it.

Follows Open vSwitch's lib/conntrack-tcp.c, conntrack-icmp.c and conntrack-other.c, without TCP sequence numbers and
windows: every segment is taken to be where it is expected.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import NamedTuple

from openflow import oxm
from openflow.simulate.packet import ACK, FIN, ICMP, ICMP6, PSH, RST, SYN, TCP, UDP, URG, Packet
from openflow.simulate.slots import ETH_TYPE, IP_DST, IP_SRC, PROTO, TP_DST, TP_SRC, Fields

_PAIRS = {ICMP: {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15}, ICMP6: {128: 129, 129: 128}}
"""ICMP types that ask and answer, by each other; echo, and in IPv4 also timestamp and information."""
_QUESTIONS = {ICMP: frozenset({8, 13, 15}), ICMP6: frozenset({128})}
_ERRORS = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMP6: frozenset({1, 2, 3, 4})}
WITH_PORTS = frozenset({TCP, UDP})
"""Protocols whose ports tell connections apart. Open vSwitch 3.1 keeps one SCTP connection for a pair of hosts in its
userspace datapath, whatever the ports; the kernel's conntrack does look at them."""


class Key(NamedTuple):
    """One direction of a connection. In ICMP, a port is identifier and type."""

    zone: int
    ethertype: int
    proto: int
    src: int
    sport: int
    dst: int
    dport: int

    def reversed(self) -> "Key":
        return Key(self.zone, self.ethertype, self.proto, self.dst, self.dport, self.src, self.sport)


def key_of(fields: Fields, icmp_id: int, zone: int) -> Key | None:
    """The direction that a packet belongs to; None for one that belongs to no connection of its own."""
    proto, kind = fields[PROTO], fields[TP_SRC]
    sport = dport = 0
    if proto in WITH_PORTS:
        sport, dport = fields[TP_SRC], fields[TP_DST]
    elif _is_icmp(fields):
        if kind not in _PAIRS[proto]:
            return None
        sport, dport = icmp_id << 8 | kind, icmp_id << 8 | _PAIRS[proto][kind]
    return Key(zone, fields[ETH_TYPE], proto, fields[IP_SRC], sport, fields[IP_DST], dport)


def related_key(fields: Fields, about: Packet | None, zone: int) -> Key | None:
    """The direction that an ICMP error belongs to: against that of the packet which it quotes, and which has to
    have come from where the error goes. None for anything else."""
    if about is None or not _is_icmp(fields) or fields[TP_SRC] not in _ERRORS[fields[PROTO]]:
        return None
    inner = about.fields(0)
    key = key_of(inner, about.icmp_id, zone)
    return key.reversed() if key and inner[IP_SRC] == fields[IP_DST] else None


def _is_icmp(fields: Fields) -> bool:
    return (fields[ETH_TYPE], fields[PROTO]) in ((oxm.ETH_IPV4, ICMP), (oxm.ETH_IPV6, ICMP6))


class Judged(Enum):
    """What a packet is to a connection that is known."""

    VALID = auto()
    UNANSWERED = auto()
    INVALID = auto()
    AGAIN = auto()


class Peer(IntEnum):
    """How far one end of a TCP connection is (`enum ct_dpif_tcp_state`, those that are ever entered)."""

    CLOSED = 0
    SYN_SENT = 2
    ESTABLISHED = 4
    CLOSING = 7
    FIN_WAIT_2 = 9
    TIME_WAIT = 10


@dataclass(slots=True, eq=False)
class Connection:
    """A committed connection: `key` is its forward direction, `back` what its replies look like. `translates` is
    the ct_state flag of what is translated in the forward direction, 0 for nothing. `source` and `target` are the
    ends of a TCP connection; any other one is established when it has been `answered`."""

    key: Key
    back: Key
    translates: int = 0
    mark: int = 0
    label: int = 0
    answered: bool = False
    source: Peer = Peer.SYN_SENT
    target: Peer = Peer.CLOSED

    def judge(self, flags: int, *, reply: bool) -> Judged:
        """Take in one more packet."""
        if self.key.proto == TCP:
            return self._tcp(flags, reply)
        self.answered |= reply
        return Judged.VALID if self.answered else Judged.UNANSWERED

    def _tcp(self, flags: int, reply: bool) -> Judged:
        sender, other = (self.target, self.source) if reply else (self.source, self.target)
        if impossible(flags):
            return Judged.INVALID
        if flags & (SYN | ACK) == SYN:
            if sender >= Peer.FIN_WAIT_2 and other >= Peer.FIN_WAIT_2:
                return Judged.AGAIN
            if sender <= Peer.SYN_SENT:
                self._set(Peer.SYN_SENT, other, reply)
                return Judged.UNANSWERED
        sender = max(sender, Peer.SYN_SENT)
        if flags & FIN:
            sender = max(sender, Peer.CLOSING)
        if flags & ACK:
            other = {Peer.SYN_SENT: Peer.ESTABLISHED, Peer.CLOSING: Peer.FIN_WAIT_2}.get(other, other)
        if flags & RST:
            sender = other = Peer.TIME_WAIT
        self._set(sender, other, reply)
        return Judged.VALID

    def _set(self, sender: Peer, other: Peer, reply: bool) -> None:
        self.source, self.target = (other, sender) if reply else (sender, other)


def impossible(flags: int) -> bool:
    """TCP flags that no host sends together."""
    if flags & SYN:
        return bool(flags & (RST | FIN)) or (not flags & ACK and bool(flags & (PSH | URG)))
    return not flags & (ACK | RST) or (not flags & ACK and bool(flags & (FIN | PSH | URG)))


def may_start(key: Key, flags: int) -> bool:
    """Whether a connection may begin with this packet. A TCP connection may be met in its middle, but not in the
    middle of its handshake; in ICMP only questions start one."""
    if key.proto == TCP:
        return not impossible(flags) and flags & (SYN | ACK) != SYN | ACK
    return key.proto not in _QUESTIONS or key.sport & 0xFF in _QUESTIONS[key.proto]
