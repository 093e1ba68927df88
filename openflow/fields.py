"""The meaning of every register and conntrack bit that Weft uses, named in one place.

A meaning is a type: `load(Src.POD)` writes it, `where(Src.POD)` matches it, and no flow ever spells a register
number or a mask. `LAYOUT` places the types on bits and checks itself when the module is loaded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from openflow.errors import SpecError
from openflow.oxm import BY_NAME, CT_LABEL, CT_MARK, CT_ZONE, Field


class OfPort(int):
    """An OpenFlow port number of one bridge (Interface.ofport)."""


class IdentityId(int):
    """64-bit digest of a class of pods that no rule can tell apart."""


class Src(IntEnum):
    """Where a packet came from."""

    POD = 1
    TUNNEL = 2
    GATEWAY = 3


class Dst(IntEnum):
    """What kind of port a packet leaves by; unset until Route has decided."""

    POD = 1
    TUNNEL = 2
    GATEWAY = 3


class Direction(IntEnum):
    """REPLY marks packets whose forward direction was judged already: services and policy do not apply."""

    FORWARD = 0
    REPLY = 1


class Disposition(IntEnum):
    """Which side denies a packet: it goes no further than Commit, which counts it and cuts its connection."""

    ALLOWED = 0
    EGRESS_DENIED = 1
    INGRESS_DENIED = 2


class OutPort(int):
    """The ofport that Output delivers to."""


class SrcIdentity(int):
    """Identity of the source pod; 0 is unknown."""


class DstIdentity(int):
    """Identity of the destination pod; 0 is unknown."""


class EgressRule(int):
    """Conjunction number of the rule that allows a packet at its source; 0 where nothing isolates the source."""


class IngressRule(int):
    """Conjunction number of the rule that allows a packet at its destination; 0 where nothing isolates that."""


class AllowedEgress(int):
    """The EgressRule of the connection's first packet."""


class AllowedIngress(int):
    """The IngressRule of the connection's first packet."""


class Verdict(IntEnum):
    """Whether a policy edit has cut an established connection."""

    ALLOWED = 0
    BLOCKED = 1


class Origin(IntEnum):
    """Whether the connection's first packet entered by the gateway port: its replies have to go back there,
    because the host may have translated their addresses (kube-proxy)."""

    ELSEWHERE = 0
    GATEWAY = 1


class Zone(IntEnum):
    """Conntrack zone by address family; kept clear of zone 0, which the host uses."""

    IPV4 = 0xFF04
    IPV6 = 0xFF06


Meaning = (
    Src | Dst | Direction | Disposition | OutPort | SrcIdentity | DstIdentity | EgressRule | IngressRule
    | AllowedEgress | AllowedIngress | Verdict | Origin | Zone
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """`width` bits from bit `low` of a stored field, holding values of one type.

    `matched` and `shift` say where a match finds the same bits: Open vSwitch writes matches on 32-bit registers
    as matches on the 64-bit register that holds them (reg0 is the upper half of xreg0).
    """

    meaning: type[int]
    stored: Field
    low: int
    width: int

    @property
    def name(self) -> str:
        return self.meaning.__name__

    @property
    def mask(self) -> int:
        """The slice's bits in the stored field."""
        return ((1 << self.width) - 1) << self.low

    @property
    def matched(self) -> Field:
        number = self.stored.name.removeprefix("reg")
        return BY_NAME[f"xreg{int(number) // 2}"] if number.isdigit() else self.stored

    @property
    def shift(self) -> int:
        """Position of the slice's lowest bit in `matched`."""
        upper_half = self.matched is not self.stored and int(self.stored.name.removeprefix("reg")) % 2 == 0
        return self.low + (32 if upper_half else 0)


LAYOUT: tuple[Slice, ...] = (
    Slice(Src, BY_NAME["reg0"], 0, 4),
    Slice(Dst, BY_NAME["reg0"], 4, 4),
    Slice(Direction, BY_NAME["reg0"], 8, 1),
    Slice(Disposition, BY_NAME["reg0"], 9, 2),
    Slice(OutPort, BY_NAME["reg1"], 0, 32),
    Slice(SrcIdentity, BY_NAME["xreg1"], 0, 64),
    Slice(DstIdentity, BY_NAME["xreg2"], 0, 64),
    Slice(EgressRule, BY_NAME["reg6"], 0, 32),
    Slice(IngressRule, BY_NAME["reg7"], 0, 32),
    Slice(AllowedEgress, CT_LABEL, 32, 32),
    Slice(AllowedIngress, CT_LABEL, 0, 32),
    Slice(Verdict, CT_MARK, 0, 1),
    Slice(Origin, CT_MARK, 1, 1),
    Slice(Zone, CT_ZONE, 0, 16),
)

RULES, LABELS = BY_NAME["xreg3"], CT_LABEL
"""Both rules of a packet, and of a connection, lie in one field in the same order: one copy of `RULE_BITS`."""
RULE_BITS = 64

SCRATCH = BY_NAME["reg15"]
"""Holds a value between two actions of one flow (swapping two fields); means nothing outside it."""


def check_layout(layout: Iterable[Slice]) -> None:
    """Every slice fits its field, holds every value of its type and overlaps no other. Raises SpecError."""
    taken: dict[str, int] = {}
    for part in layout:
        if part.low + part.width > part.stored.bits:
            raise SpecError(f"{part.name}: bits {part.low}+{part.width} do not fit {part.stored.name}")
        if issubclass(part.meaning, IntEnum) and max(part.meaning) >> part.width:
            raise SpecError(f"{part.name}: a value does not fit {part.width} bits")
        used = ((1 << part.width) - 1) << part.shift
        if taken.get(part.matched.name, 0) & used:
            raise SpecError(f"{part.name}: overlaps another meaning in {part.stored.name}")
        taken[part.matched.name] = taken.get(part.matched.name, 0) | used


check_layout(LAYOUT)

_SLICES: dict[type[int], Slice] = {part.meaning: part for part in LAYOUT}


def slice_of(meaning: type[int]) -> Slice:
    """Where values of this type are kept. Raises SpecError for a type that has no place in LAYOUT."""
    try:
        return _SLICES[meaning]
    except KeyError:
        raise SpecError(f"{meaning.__name__} has no bits in LAYOUT") from None
