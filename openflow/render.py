"""Flows for people: what they match and do by meaning, with the names of tables, ports and owners.

`named()` answers in columns, so that a command can align them; `ofctl()` is the same flow as ovs-ofctl writes it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product
from typing import NamedTuple

from openflow import oxm
from openflow.actions import (
    Action,
    Conjunction,
    Copy,
    Ct,
    CtClear,
    DecTtl,
    Goto,
    Group,
    Meter,
    Nat,
    Output,
    OutputReg,
    RawAction,
    SetField,
)
from openflow.codec import EXPIRES, Encoded
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.decode import RawInstruction, decode
from openflow.features import base, node, pod
from openflow.fields import LAYOUT, SCRATCH, DstIdentity, OutPort, Slice, SrcIdentity
from openflow.flow import OWNER_BITS, Feature, Flow, cookie, is_ours
from openflow.match import Match, Term, mac
from openflow.ofctl import ETHERTYPES, bits_text, halves, nat_text, ofctl, port_text, value_text
from openflow.oxm import Field
from openflow.tables import Table

__all__ = ["Columns", "Names", "field_title", "named", "ofctl", "table_title"]


@dataclass(frozen=True, slots=True)
class Names:
    """What the numbers of one bridge stand for: `ports` by ofport, `owners` by cookie, `identities` of pods."""

    ports: Mapping[int, str] = field(default_factory=dict)
    owners: Mapping[int, str] = field(default_factory=dict)
    identities: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, ports: Mapping[int, str], pods: Iterable[tuple[str, str]], nodes: Iterable[str]) -> "Names":
        """Names for a bridge: its ports, and every pod (namespace, name) and node that may own flows in it."""
        owners = {base.COOKIE: base.OWNER}
        owners |= {cookie(Feature.NODE, node.owner(name)): node.owner(name) for name in nodes}
        owners |= {cookie(Feature.POD, pod.owner(*key)): pod.owner(*key) for key in pods}
        return cls(dict(ports), owners)

    def port(self, number: int) -> str:
        return self.ports.get(number) or port_text(number)

    def owner(self, flow_cookie: int) -> str:
        """Who a flow belongs to; a cookie of ours that nobody is known for shows its feature and digest."""
        known = self.owners.get(flow_cookie)
        if known is not None:
            return known
        if not is_ours(flow_cookie):
            return f"foreign {flow_cookie:#x}"
        number, digest = divmod(flow_cookie, 1 << OWNER_BITS)
        feature = _member(Feature, number & 0xFF) or f"feature {number & 0xFF}"
        return f"{feature.lower()} {digest:#014x}"


NO_NAMES = Names()


class Columns(NamedTuple):
    """One flow in words; `str()` puts them in one line."""

    table: str
    priority: str
    match: str
    actions: str
    owner: str

    def __str__(self) -> str:
        return f"{self.table} {self.priority} [{self.match}] {self.actions} ({self.owner})"


def named(flow: Flow, names: Names = NO_NAMES) -> Columns:
    """A flow in words, e.g. `Output 40000 [Dst=POD] output(OutPort) (pipeline)`."""
    terms = ", ".join(_match(flow.match, names)) or "any"
    actions = ", ".join(text for action in flow.actions for text in _action(action, names)) or "drop"
    return Columns(table_title(flow.table), str(flow.priority), terms, actions, names.owner(flow.cookie))


def what(key: bytes) -> str:
    """Table, priority and match of a flow in words."""
    flow = named(decode(Encoded(key, bytes(8))))
    return f"{flow.table} {flow.priority} [{flow.match}]"


def table_title(number: int) -> str:
    return Table(number).title if number < len(Table) else str(number)


_TITLES = {
    "dl_src": "eth_src", "dl_dst": "eth_dst", "dl_type": "eth_type", "nw_proto": "ip_proto", "nw_ttl": "ttl",
    "nw_src": "ip_src", "nw_dst": "ip_dst", "ipv6_src": "ip_src", "ipv6_dst": "ip_dst", "ct_state": "ct",
    "tun_ipv6_src": "tun_src", "tun_ipv6_dst": "tun_dst", SCRATCH.name: "scratch",
}  # fmt: skip


def field_title(on: Field) -> str:
    """A field's name in words: one for both address families."""
    return _TITLES.get(on.name, on.name)


_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_ADDRESSES = frozenset((oxm.IPV4_SRC, oxm.IPV4_DST, oxm.IPV6_SRC, oxm.IPV6_DST))


def _match(terms: Match, names: Names) -> Iterator[str]:
    found = {term.field.name: term for term in terms}
    kind, proto = (_exact(found.get(on.name)) for on in (oxm.ETH_TYPE, oxm.IP_PROTO))
    implied = any(term.field in _ADDRESSES or term.field.name.startswith("arp_") for term in terms)
    for term in sorted(terms, key=_reading_order):
        if term.field is oxm.ETH_TYPE and kind in ETHERTYPES:
            # The address or the protocol that follows says the family already.
            if not implied and proto not in _PROTOCOLS:
                yield ETHERTYPES[kind]
        elif term.field is oxm.IP_PROTO and proto in _PROTOCOLS:
            yield _protocol(proto, kind)
        else:
            yield from _term(term, names)


_HOSTS = frozenset(part.matched for part in LAYOUT)


def _reading_order(term: Term) -> int:
    """Where from and what state first, then the packet itself from its outside in."""
    return (term.field in (oxm.IN_PORT, *_HOSTS), term.field is oxm.CT_STATE, True).index(True)


def _exact(term: Term | None) -> int | None:
    return term.value if term and term.mask == term.field.full else None


def _protocol(proto: int, kind: int | None) -> str:
    """As ovs-fields(7) writes it: `tcp` is over IPv4, `tcp6` over IPv6."""
    name = _PROTOCOLS[proto]
    return f"{name}6" if kind == oxm.ETH_IPV6 and not name.endswith("6") else name


def _term(term: Term, names: Names) -> Iterator[str]:
    parts = [(part, part.shift) for part in LAYOUT if part.matched is term.field]
    texts, rest = _by_meaning(parts, term.value, term.mask, names)
    yield from (f"{name}={text}" for name, text in texts)
    if rest:
        left = Term(term.field, term.value & rest, rest)
        yield from (f"{field_title(on)}={_value(on, value, mask, names)}" for on, value, mask in halves(left))


def _by_meaning(
    parts: Iterable[tuple[Slice, int]], value: int, mask: int, names: Names
) -> tuple[list[tuple[str, str]], int]:
    """Name and value of each slice that the mask touches, and the bits of the mask that no slice explains."""
    texts = []
    for part, low in parts:
        full = (1 << part.width) - 1
        touched = mask >> low & full
        if touched:
            texts.append((part.name, _meaning(part, value >> low & full, touched, names)))
            mask &= ~(full << low)
    return texts, mask


def _meaning(part: Slice, value: int, mask: int, names: Names) -> str:
    if mask != (1 << part.width) - 1:
        return f"{value:#x}/{mask:#x}"
    if part.meaning is OutPort:
        return names.port(value)
    if part.meaning in (SrcIdentity, DstIdentity) and value in names.identities:
        return names.identities[value]
    return _member(part.meaning, value) or f"{value:#x}"


def _member(meaning: type[int], value: int) -> str | None:
    if not issubclass(meaning, IntEnum) or value not in [*meaning]:
        return None
    return meaning(value).name


_ARP_OPS = {1: "request", 2: "reply"}
_MACS = {mac(ROUTER_MAC): "router", mac(GATEWAY_MAC): "gateway"}


def _value(on: Field, value: int, mask: int, names: Names) -> str:
    if mask == on.full:
        if on is oxm.IN_PORT:
            return names.port(value)
        known = _ARP_OPS if on is oxm.ARP_OP else _MACS if on.form is oxm.Form.MAC else {}
        if value in known:
            return known[value]
    return value_text(on, value, mask)


def _action(action: Action, names: Names) -> Iterator[str]:
    match action:
        case SetField():
            yield from _set(action, names)
        case Copy():
            yield from _copy(action)
        case DecTtl():
            yield "dec_ttl"
        case Output(port):
            yield f"output({names.port(port)})"
        case OutputReg(part):
            yield f"output({part.name if part in LAYOUT else part.stored.name + bits_text(part)})"
        case Ct():
            yield f"ct({', '.join(_ct(action, names))})"
        case CtClear():
            yield "ct_clear"
        case Nat():
            yield nat_text(action)
        case Conjunction(conjunction, clause, clauses):
            yield f"conjunction({conjunction}, {clause}/{clauses})"
        case Group(group):
            yield f"group({group})"
        case Meter(meter):
            yield f"meter({meter})"
        case Goto(table):
            yield f"→{table.title}"
        case RawInstruction(data) | RawAction(data):
            yield "expires" if data == EXPIRES else f"raw(0x{data.hex()})"
        case _:
            raise TypeError(f"{type(action).__name__} has no words")


def _set(action: SetField, names: Names) -> Iterator[str]:
    parts = [(part, part.low) for part in LAYOUT if part.stored is action.target]
    texts, rest = _by_meaning(parts, action.value, action.mask, names)
    yield from (f"{name}:={text}" for name, text in texts)
    if rest:
        value = _value(action.target, action.value & rest, rest, names)
        yield f"{field_title(action.target)}:={value}"


def _copy(action: Copy) -> Iterator[str]:
    """By the names of the meanings that lie side by side in both fields, if that says everything."""
    pairs = [
        (ours, its)
        for ours, its in product(LAYOUT, LAYOUT)
        if ours.stored is action.target and its.matched is action.source
        and (ours.low, ours.width) == (its.shift, its.width) and its.shift + its.width <= action.width
    ]  # fmt: skip
    if sum(ours.width for ours, _ in pairs) == action.width:
        yield from (f"{ours.name}:={its.name}" for ours, its in pairs)
        return
    part = "" if action.bits is None else f"[0..{action.bits - 1}]"
    yield f"{field_title(action.target)}{part}:={field_title(action.source)}{part}"


def _ct(action: Ct, names: Names) -> Iterator[str]:
    if action.commit:
        yield "commit"
    if action.force:
        yield "force"
    yield f"zone={action.zone.name}"
    if action.table is not None:
        yield f"→{action.table.title}"
    for assignment in action.sets:
        yield from _action(assignment, names)
    if action.nat:
        yield nat_text(action.nat)
