"""Matches as frozen values: terms on OXM fields, merged per field and kept in Open vSwitch's order."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from openflow import oxm
from openflow.errors import SpecError
from openflow.fields import Meaning, OfPort, slice_of
from openflow.net import IPNetwork
from openflow.oxm import Field


@dataclass(frozen=True, slots=True)
class Term:
    """`field & mask == value`; `wire` is its OXM TLV."""

    field: Field
    value: int
    mask: int
    wire: bytes = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire", self.field.encode(self.value, self.mask))


_BY_RANK = attrgetter("field.rank")

Match = tuple[Term, ...]


def match(*terms: Term | Match) -> Match:
    """The conjunction of the terms, canonical: one term a field, in Open vSwitch's order.

    Raises SpecError when terms contradict each other or a field's prerequisite (say, IPv4 for `nw_src`) is missing.
    """
    merged: dict[str, Term] = {}
    for term in _flatten(terms):
        if not term.mask:
            continue  # 0.0.0.0/0 matches everything, and a switch does not keep it
        known = merged.get(term.field.name)
        merged[term.field.name] = _merge(known, term) if known else term
    _check_prerequisites(merged)
    return tuple(sorted(merged.values(), key=_BY_RANK))


def _flatten(terms: Iterable[Term | Match]) -> Iterable[Term]:
    for term in terms:
        if isinstance(term, Term):
            yield term
        else:
            yield from term


def _merge(one: Term, two: Term) -> Term:
    if (one.value ^ two.value) & one.mask & two.mask:
        raise SpecError(f"{one.field.name}: {one.value:#x} and {two.value:#x} cannot both match")
    return Term(one.field, one.value | two.value, one.mask | two.mask)


def _check_prerequisites(terms: dict[str, Term]) -> None:
    for name in terms:
        for needed, values in oxm.REQUIRES.get(name, ()):
            if needed not in terms or terms[needed].value not in values:
                raise SpecError(f"{name} needs {needed} in {sorted(values)}")


def exact(on: Field, value: int) -> Term:
    return Term(on, value, on.full)


def where(value: Meaning) -> Term:
    """The packet or its connection carries this meaning, e.g. `where(Src.POD)`."""
    part = slice_of(type(value))
    return Term(part.matched, value << part.shift, ((1 << part.width) - 1) << part.shift)


def in_port(port: OfPort) -> Term:
    return exact(oxm.IN_PORT, port)


def mac(text: str) -> int:
    """A MAC written with colons as a 48-bit integer."""
    return int(text.replace(":", ""), 16)


def eth_src(address: str) -> Term:
    return exact(oxm.ETH_SRC, mac(address))


IPV4 = exact(oxm.ETH_TYPE, oxm.ETH_IPV4)
IPV6 = exact(oxm.ETH_TYPE, oxm.ETH_IPV6)
ARP = exact(oxm.ETH_TYPE, oxm.ETH_ARP)


def family(net: IPNetwork) -> Term:
    return IPV4 if net.version == 4 else IPV6


def _network(on: Field, net: IPNetwork) -> Term:
    return Term(on, int(net.network_address), int(net.netmask))


def ip_src(net: IPNetwork) -> Match:
    """Source address in `net`, of its family."""
    return (family(net), _network(oxm.IPV4_SRC if net.version == 4 else oxm.IPV6_SRC, net))


def ip_dst(net: IPNetwork) -> Match:
    """Destination address in `net`, of its family."""
    return (family(net), _network(oxm.IPV4_DST if net.version == 4 else oxm.IPV6_DST, net))


def arp(**values: int) -> Match:
    """An ARP packet; keys are op, spa, tpa, sha, tha (RFC 826)."""
    return (ARP, *(exact(oxm.BY_NAME[f"arp_{key}"], value) for key, value in values.items()))


def tun_id(vni: int) -> Term:
    """Network identifier of a tunnelled packet."""
    return exact(oxm.TUN_ID, vni)


def tun_src(net: IPNetwork) -> Term:
    """Outer source address of a tunnelled packet."""
    return _network(oxm.TUN_SRC if net.version == 4 else oxm.TUN_IPV6_SRC, net)


def icmpv6_type(number: int) -> Match:
    return (IPV6, exact(oxm.IP_PROTO, 58), exact(oxm.ICMPV6_TYPE, number))


class PortMatch(NamedTuple):
    """`port & mask == value` of the destination port of an IP protocol; a mask of 0 is every port."""

    protocol: int
    value: int
    mask: int

    def __str__(self) -> str:
        return f"{self.protocol}/{self.value}/{self.mask:#06x}"


_PORT_FIELDS = {6: oxm.BY_NAME["tcp_dst"], 17: oxm.BY_NAME["udp_dst"], 132: oxm.BY_NAME["sctp_dst"]}


def to_ports(of: Term, ports: PortMatch) -> Match:
    """To these ports, in the family `IPV4` or `IPV6`."""
    term = Term(_PORT_FIELDS[ports.protocol], ports.value, ports.mask)
    return (of, exact(oxm.IP_PROTO, ports.protocol), term)


CT_BITS = {name: 1 << bit for bit, name in enumerate(("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"))}
"""ct_state flags (ovs-fields(7))."""


def ct_state(**flags: bool) -> Term:
    """Conntrack state, e.g. `ct_state(rpl=True, trk=True)`."""
    value = sum(CT_BITS[name] for name, wanted in flags.items() if wanted)
    return Term(oxm.CT_STATE, value, sum(CT_BITS[name] for name in flags))
