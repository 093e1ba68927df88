"""A packet on its way through the tables, as a list of numbers: one slot for each thing that a flow can match.

Fields of different protocols share a slot where Open vSwitch keeps them in one place too (TCP and UDP ports, ICMP
type and code; the addresses of ARP and IP): a match on one of them has to name the protocol.
"""

from typing import NamedTuple

from openflow.errors import SpecError
from openflow.oxm import BY_NAME, REQUIRES, Field

Fields = list[int]

(
    CONJ_ID, IN_PORT, ETH_SRC, ETH_DST, ETH_TYPE, IP_SRC, IP_DST, TTL, PROTO, TP_SRC, TP_DST, ARP_SHA, ARP_THA,
    TUN_ID, TUN_SRC, TUN_DST, TUN6_SRC, TUN6_DST, PKT_MARK, CT_STATE, CT_ZONE, CT_MARK, CT_LABEL, XREG0,
) = range(24)  # fmt: skip
CT_SLOTS = (CT_STATE, CT_ZONE, CT_MARK, CT_LABEL)
COUNT = XREG0 + 8
"""How many slots there are."""


class SimulationError(SpecError):
    """A flow that the simulator cannot follow: it matches a field or does something that Weft has no value for."""


class Place(NamedTuple):
    """Where a field is kept: its slot, and how far its lowest bit is shifted there."""

    slot: int
    shift: int = 0


_NAMES = {
    CONJ_ID: ("conj_id",),
    IN_PORT: ("in_port",),
    ETH_SRC: ("dl_src",),
    ETH_DST: ("dl_dst",),
    ETH_TYPE: ("dl_type",),
    IP_SRC: ("nw_src", "ipv6_src", "arp_spa"),
    IP_DST: ("nw_dst", "ipv6_dst", "arp_tpa"),
    TTL: ("nw_ttl",),
    PROTO: ("nw_proto", "arp_op"),
    TP_SRC: ("tcp_src", "udp_src", "sctp_src", "icmp_type", "icmpv6_type"),
    TP_DST: ("tcp_dst", "udp_dst", "sctp_dst", "icmp_code", "icmpv6_code"),
    ARP_SHA: ("arp_sha",),
    ARP_THA: ("arp_tha",),
    TUN_ID: ("tun_id",),
    TUN_SRC: ("tun_src",),
    TUN_DST: ("tun_dst",),
    TUN6_SRC: ("tun_ipv6_src",),
    TUN6_DST: ("tun_ipv6_dst",),
    PKT_MARK: ("pkt_mark",),
    CT_STATE: ("ct_state",),
    CT_ZONE: ("ct_zone",),
    CT_MARK: ("ct_mark",),
    CT_LABEL: ("ct_label",),
}
_PLACES = {name: Place(slot) for slot, names in _NAMES.items() for name in names}
_PLACES |= {f"xreg{n}": Place(XREG0 + n) for n in range(8)}
_PLACES |= {f"reg{n}": Place(XREG0 + n // 2, 0 if n % 2 else 32) for n in range(16)}

Needs = tuple[tuple[int, frozenset[int]], ...]
"""Slots and the values that each must have for a field to be there."""


def place_of(field: Field) -> Place:
    """Where a field is kept. Raises SimulationError for one that Weft does not know."""
    try:
        return _PLACES[field.name]
    except KeyError:
        raise SimulationError(f"{field.name}: packets have no such field in the simulator") from None


def needs(field: Field) -> Needs:
    """What a packet must be to have this field, protocols below included."""
    found: dict[int, frozenset[int]] = {}
    names = [field.name]
    for name in names:
        for needed, values in REQUIRES.get(name, ()):
            found[place_of(BY_NAME[needed]).slot] = values
            names.append(needed)
    return tuple(found.items())


def has(fields: Fields, needed: Needs) -> bool:
    return all(fields[slot] in values for slot, values in needed)
