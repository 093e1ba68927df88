"""Packets and flows that meet each other: fields of a packet by name, and matches on what such packets have."""

from itertools import product

from hypothesis import strategies as st

from openflow.errors import SpecError
from openflow.flow import Flow
from openflow.match import Match, Term, match
from openflow.oxm import BY_NAME
from openflow.simulate import slots

KINDS = {
    "ip": {"dl_type": 0x800},
    "tcp": {"dl_type": 0x800, "nw_proto": 6},
    "udp": {"dl_type": 0x800, "nw_proto": 17},
    "ipv6": {"dl_type": 0x86DD},
    "udp6": {"dl_type": 0x86DD, "nw_proto": 17},
    "arp": {"dl_type": 0x806},
    "any": {},
}
"""What a match says of a packet's protocols."""
_OF = {
    "ip": ("nw_src", "nw_dst"),
    "tcp": ("nw_src", "nw_dst", "tcp_dst"),
    "udp": ("nw_src", "udp_dst", "udp_src"),
    "ipv6": ("ipv6_src", "ipv6_dst"),
    "udp6": ("ipv6_dst", "udp_dst"),
    "arp": ("arp_spa", "arp_op"),
    "any": (),
}
_ALWAYS = ("in_port", "dl_src", "ct_state", "ct_mark", "pkt_mark", "xreg0", "xreg1", "reg4", "reg5")
_SAME = {
    "nw_src": "source", "ipv6_src": "source", "arp_spa": "source", "nw_dst": "target", "ipv6_dst": "target",
    "tcp_dst": "dport", "udp_dst": "dport", "udp_src": "sport", "tcp_src": "sport", "nw_proto": "proto",
    "arp_op": "proto",
}  # fmt: skip
small = st.integers(0, 3) | st.sampled_from((4, 5, 7, 8))


@st.composite
def packets(draw) -> dict[str, int]:
    """A packet as values by field name, few of them different, so that flows are met."""
    kind = draw(st.sampled_from(("tcp", "udp", "udp6", "ipv6", "arp", "ip")))
    says = {"dl_type": 0x9999} if draw(st.integers(0, 20)) == 0 else KINDS[kind]
    names = {*_ALWAYS, "source", "target", "sport", "dport"}
    return (
        {name: draw(small) for name in sorted(names)} | {"proto": 99} | {_SAME.get(k, k): v for k, v in says.items()}
    )


def fields_of(packet: dict[str, int]) -> slots.Fields:
    """The packet as the simulator has it."""
    fields = [0] * slots.COUNT
    places = {"source": slots.IP_SRC, "target": slots.IP_DST, "sport": slots.TP_SRC, "dport": slots.TP_DST}
    places |= {"proto": slots.PROTO}
    for name, value in packet.items():
        slot, shift = (places[name], 0) if name in places else slots.place_of(BY_NAME[name])
        fields[slot] |= value << shift
    return fields


def meets(packet: dict[str, int], terms: Match, conjunction: int = 0) -> bool:
    """Whether every term holds: one by one, by the names of the fields."""
    return all(_value(packet, term, conjunction) & term.mask == term.value for term in terms)


def _value(packet: dict[str, int], term: Term, conjunction: int) -> int:
    name = term.field.name
    if name == "conj_id":
        return conjunction
    if name in ("xreg2", "reg4", "reg5"):
        whole = packet["reg4"] << 32 | packet["reg5"]
        return {"xreg2": whole, "reg4": packet["reg4"], "reg5": packet["reg5"]}[name]
    return packet[_SAME.get(name, name)]


@st.composite
def terms(draw, names: tuple[str, ...]) -> Term:
    field = BY_NAME[draw(st.sampled_from(names))]
    mask = draw(st.sampled_from((field.full, field.full, 1, 2, 3, 6)))
    return Term(field, draw(small) & mask, mask)


@st.composite
def matches(draw) -> Match:
    kind = draw(st.sampled_from([*KINDS]))
    says = [Term(BY_NAME[name], value, BY_NAME[name].full) for name, value in KINDS[kind].items()]
    chosen = draw(st.lists(terms((*_OF[kind], *_ALWAYS)), max_size=3, unique_by=lambda term: term.field.name))
    return match(*says, *chosen)


@st.composite
def tables(draw, most: int = 25) -> list[Flow]:
    """Flows of one table; no two have both one priority and one match, and cookies tell them apart."""
    drawn = draw(st.lists(st.tuples(st.integers(0, 6), matches()), max_size=most, unique=True))
    return [Flow(0, priority, terms, (), cookie) for cookie, (priority, terms) in enumerate(drawn, start=1)]


def merged(*parts: Match) -> Match | None:
    """All of the matches at once; None where they contradict each other."""
    try:
        return match(*parts)
    except SpecError:
        return None


def combinations(clauses: list[list[Match]]) -> list[Match]:
    """Every way to fulfil each clause by one of its matches."""
    return [made for chosen in product(*clauses) if (made := merged(*chosen)) is not None]
