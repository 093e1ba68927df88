"""Actions as frozen values. Each knows its wire form, `wire`, as Open vSwitch writes it back.

Open vSwitch keeps actions as they were sent, so one spelling is used for each meaning: `set_field` for loads,
OpenFlow 1.5's `copy_field` for moves, Nicira extensions where the standard has no action (`ct`, output to the
port in a register).
"""

from dataclasses import dataclass, field
from typing import ClassVar

from openflow import oxm
from openflow.errors import SpecError
from openflow.fields import Meaning, OfPort, OutPort, Slice, Zone, slice_of
from openflow.match import mac
from openflow.net import IPAddress, IPNetwork
from openflow.oxm import Field
from openflow.tables import Table

_OUTPUT, _GROUP, _DEC_TTL, _SET_FIELD, _COPY_FIELD, _METER, _EXPERIMENTER = 0, 22, 24, 25, 28, 29, 0xFFFF
_NICIRA = (0x2320).to_bytes(4, "big")
_CT, _NAT, _CT_CLEAR, _OUTPUT_REG, _CONJUNCTION = 35, 36, 43, 15, 34
_NO_TABLE = 0xFF
_IN_PORT_NUMBER = 0xFFFFFFF8
_LAST_PORT = 0xFFFF
_LAST_METER = 0xFFFF0000
LAST_GROUP = 0xFFFFFF00
"""The highest group number (OFPG_MAX)."""


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _action(kind: int, body: bytes) -> bytes:
    """Type and length before `body`, padded to 8 bytes (OpenFlow 1.5.1 section 7.2.6)."""
    padded = _padded(bytes(4) + body)[4:]
    return kind.to_bytes(2, "big") + (4 + len(padded)).to_bytes(2, "big") + padded


def _nicira(subtype: int, body: bytes) -> bytes:
    return _action(_EXPERIMENTER, _NICIRA + subtype.to_bytes(2, "big") + body)


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions; `wire` is made once, when the value is."""

    wire: bytes = field(init=False, repr=False, compare=False, default=b"")

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire", self.encode())

    def encode(self) -> bytes:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SetField(Action):
    """Write `value` under `mask` into a field (OFPAT_SET_FIELD; masks are OpenFlow 1.5)."""

    target: Field
    value: int
    mask: int

    def encode(self) -> bytes:
        return _action(_SET_FIELD, self.target.encode(self.value, self.mask))


@dataclass(frozen=True, slots=True)
class Copy(Action):
    """Copy a whole field into one of the same width, or the lowest `bits` of one into those of another
    (OFPAT_COPY_FIELD)."""

    source: Field
    target: Field
    bits: int | None = None

    @property
    def width(self) -> int:
        """How many bits it copies."""
        return self.source.bits if self.bits is None else self.bits

    def encode(self) -> bytes:
        if self.bits is None and self.source.bits != self.target.bits:
            raise SpecError(f"copy {self.source.name} to {self.target.name}: the widths differ")
        if not 0 < self.width <= min(self.source.bits, self.target.bits):
            raise SpecError(f"copy {self.width} bits of {self.source.name} to {self.target.name}: one has fewer")
        size = self.width.to_bytes(2, "big")
        return _action(_COPY_FIELD, size + bytes(6) + self.source.plain + self.target.plain)


@dataclass(frozen=True, slots=True)
class DecTtl(Action):
    """Decrement TTL or hop limit; a packet that reaches 0 ends here (OFPAT_DEC_NW_TTL)."""

    def encode(self) -> bytes:
        return _action(_DEC_TTL, bytes(4))


@dataclass(frozen=True, slots=True)
class Output(Action):
    """Send to a port (OFPAT_OUTPUT)."""

    port: int

    def encode(self) -> bytes:
        if not 0 <= self.port <= oxm.IN_PORT.full:
            raise SpecError(f"output:{self.port}: port numbers have {oxm.IN_PORT.bits} bits")
        return _action(_OUTPUT, self.port.to_bytes(4, "big") + bytes(8))


@dataclass(frozen=True, slots=True)
class OutputReg(Action):
    """Send to the port whose number a register slice holds (NXAST_OUTPUT_REG)."""

    part: Slice

    def encode(self) -> bytes:
        bits = self.part.low << 6 | self.part.width - 1
        # The length bounds what goes to a controller, were that the port; this value is the one ovs-ofctl writes.
        return _nicira(_OUTPUT_REG, bits.to_bytes(2, "big") + self.part.stored.plain + b"\xff\xff" + bytes(6))


@dataclass(frozen=True, slots=True)
class NatRange:
    """Addresses `first` to `last` and ports to translate to; None: just `first`, and ports kept where possible."""

    first: IPAddress
    last: IPAddress | None = None
    ports: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.first.is_unspecified:
            raise SpecError(f"nat: {self.first} is no address to translate to")
        if self.last is not None and (self.last.version != self.first.version or int(self.last) <= int(self.first)):
            raise SpecError(f"nat: {self.first} to {self.last} is not a range of one family")
        if self.ports is not None and not 0 < self.ports[0] <= self.ports[1] <= _LAST_PORT:
            raise SpecError(f"nat: ports {self.ports[0]} to {self.ports[1]} are not a range in 1..{_LAST_PORT}")

    @property
    def port_bounds(self) -> tuple[int, ...]:
        """The ports as Open vSwitch keeps them: a range of one is its first."""
        return tuple(dict.fromkeys(self.ports or ()))


@dataclass(frozen=True, slots=True)
class Nat(Action):
    """Address translation within a `Ct` (NXAST_NAT): of the source or the destination of a connection that is
    committed; with neither, of packets of a connection that was committed with one of them."""

    SRC: ClassVar[int] = 1
    DST: ClassVar[int] = 2

    src: NatRange | None = None
    dst: NatRange | None = None

    @property
    def to(self) -> NatRange | None:
        return self.src or self.dst

    def encode(self) -> bytes:
        if self.src and self.dst:
            raise SpecError("nat: one action translates the source or the destination, not both")
        if self.to is None:
            return _nicira(_NAT, bytes(6))
        addresses = [address for address in (self.to.first, self.to.last) if address is not None]
        bounds = self.to.port_bounds
        present = (0b01, 0b11)[len(addresses) - 1] << (0 if self.to.first.version == 4 else 2)
        present |= (0b00, 0b01, 0b11)[len(bounds)] << 4
        head = (self.SRC if self.src else self.DST).to_bytes(2, "big") + present.to_bytes(2, "big")
        given = [address.packed for address in addresses] + [port.to_bytes(2, "big") for port in bounds]
        return _nicira(_NAT, bytes(2) + head + b"".join(given))


@dataclass(frozen=True, slots=True)
class Ct(Action):
    """Send through conntrack (NXAST_CT, ovs-actions(7)).

    `table` is where the tracked packet goes on (None: it goes on right here, untracked). `commit` stores the
    connection and runs `sets` on its mark and label; `force` makes the packet's direction the connection's
    forward one, forgetting a connection that was known the other way round.
    """

    COMMIT: ClassVar[int] = 1
    FORCE: ClassVar[int] = 2

    zone: Zone
    table: Table | None = None
    commit: bool = False
    nat: Nat | None = None
    sets: tuple[SetField | Copy, ...] = ()
    force: bool = False

    def encode(self) -> bytes:
        if self.sets and not self.commit:
            raise SpecError("ct: only a commit can set the connection's mark or label")
        if self.force and not self.commit:
            raise SpecError("ct: only a commit can turn a connection round by force")
        if self.nat and self.nat.to and not self.commit:
            raise SpecError("ct: only a commit can say what to translate a connection to")
        flags = (self.COMMIT if self.commit else 0) | (self.FORCE if self.force else 0)
        head = flags.to_bytes(2, "big") + bytes(4) + int(self.zone).to_bytes(2, "big")
        table = _NO_TABLE if self.table is None else self.table
        nested = b"".join(s.wire for s in self.sets) + (self.nat.wire if self.nat else b"")
        return _nicira(_CT, head + bytes([table]) + bytes(5) + nested)


@dataclass(frozen=True, slots=True)
class CtClear(Action):
    """Forget what conntrack said about the packet (NXAST_CT_CLEAR)."""

    def encode(self) -> bytes:
        return _nicira(_CT_CLEAR, bytes(6))


@dataclass(frozen=True, slots=True)
class Conjunction(Action):
    """The flow is one way to fulfil clause `clause` of `clauses` (counted from 1) of conjunction `conjunction`.

    When every clause is fulfilled by some flow of the same priority, the packet matches `conj_id=conjunction`
    (NXAST_CONJUNCTION; ovs-fields(7), Conjunctive Match Fields).
    """

    LIMIT: ClassVar[int] = 64

    conjunction: int
    clause: int
    clauses: int

    def encode(self) -> bytes:
        if not 1 <= self.clause <= self.clauses <= self.LIMIT or self.clauses < 2:
            raise SpecError(f"conjunction: clause {self.clause} of {self.clauses} is not one of 2..{self.LIMIT}")
        if not 0 <= self.conjunction <= oxm.CONJ_ID.full:
            raise SpecError(f"conjunction: id {self.conjunction} does not fit {oxm.CONJ_ID.bits} bits")
        return _nicira(_CONJUNCTION, bytes([self.clause - 1, self.clauses]) + self.conjunction.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Group(Action):
    """Have a group's buckets handle the packet (OFPAT_GROUP; see `openflow.groups`)."""

    group: int

    def encode(self) -> bytes:
        if not 0 <= self.group <= LAST_GROUP:
            raise SpecError(f"group:{self.group}: group numbers are 0..{LAST_GROUP:#x}")
        return _action(_GROUP, self.group.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Meter(Action):
    """Drop what exceeds a meter's rate (OFPAT_METER)."""

    meter: int

    def encode(self) -> bytes:
        if not 1 <= self.meter <= _LAST_METER:
            raise SpecError(f"meter:{self.meter}: meter numbers are 1..{_LAST_METER:#x}")
        return _action(_METER, self.meter.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Goto(Action):
    """Go on in a later table (OFPIT_GOTO_TABLE); always the last."""

    table: Table

    def encode(self) -> bytes:
        return b"\x00\x01\x00\x08" + bytes([self.table]) + bytes(3)


@dataclass(frozen=True, slots=True)
class RawAction(Action):
    """An action that Weft never sends, as found in a switch: kept for display only."""

    data: bytes

    def encode(self) -> bytes:
        return self.data


IN_PORT = Output(_IN_PORT_NUMBER)
"""Back out of the port it came by."""

DEC_TTL = DecTtl()
CT_CLEAR = CtClear()
DELIVER = OutputReg(slice_of(OutPort))
TRANSLATE = Nat()
"""Translate a packet as its connection was committed; in the reply direction, back."""


def load(value: Meaning) -> SetField:
    """Write a meaning to its bits, e.g. `load(Src.POD)`."""
    part = slice_of(type(value))
    return SetField(part.stored, value << part.low, part.mask)


def out_port(port: OfPort) -> SetField:
    return load(OutPort(port))


def set_eth(source: str, destination: str) -> tuple[SetField, SetField]:
    """Rewrite both MACs, as a router does on each hop."""
    return _whole(oxm.ETH_SRC, mac(source)), _whole(oxm.ETH_DST, mac(destination))


def set_tunnel(remote: IPNetwork, vni: int) -> tuple[SetField, SetField]:
    """Outer destination address and network identifier for a flow-based tunnel."""
    target = oxm.TUN_DST if remote.version == 4 else oxm.TUN_IPV6_DST
    return _whole(oxm.TUN_ID, vni), _whole(target, int(remote.network_address))


def set_value(target: Field, value: int) -> SetField:
    return _whole(target, value)


def _whole(target: Field, value: int) -> SetField:
    return SetField(target, value, target.full)
