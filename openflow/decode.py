"""Flows from bytes: what a switch reports, as the same values that Weft makes.

A switch may hold flows that are not Weft's. They have to be shown before anybody can decide about them, so every
piece that does not encode back to the very bytes it came from is kept raw: nothing that a switch can hold is an
error, only bytes that end too early are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct, error

from openflow import codec
from openflow.actions import (
    CT_CLEAR,
    DEC_TTL,
    DELIVER,
    TRANSLATE,
    Action,
    Conjunction,
    Copy,
    Ct,
    Goto,
    Group,
    Meter,
    Nat,
    NatRange,
    Output,
    OutputReg,
    RawAction,
    SetField,
)
from openflow.codec import Encoded
from openflow.errors import DecodeError
from openflow.fields import LAYOUT, Slice, Zone
from openflow.flow import Flow
from openflow.match import Match, Term
from openflow.oxm import BY_HEADER, FIELDS, Field, Form
from openflow.tables import Table

_PAIR = Struct("!HH")
_CT = Struct("!HIHB")
_OXM_HEADER, _ACTION_HEADER, _APPLY_HEADER = 4, 4, 8
_NO_TABLE = 0xFF


@dataclass(frozen=True, slots=True)
class RawField(Field):
    """An OXM field that Weft does not know, named by its header in hex; value and mask are kept as one number."""

    header: bytes = b""

    def __post_init__(self) -> None:
        for name, value in (
            ("size", self.bits // 8), ("full", (1 << self.bits) - 1), ("plain", self.header), ("masked", self.header),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def encode(self, value: int, mask: int) -> bytes:
        return self.header + value.to_bytes(self.size, "big")


@dataclass(frozen=True, slots=True)
class RawInstruction(RawAction):
    """An instruction that Weft never sends, as found in a switch: kept for display only."""


def decode(encoded: Encoded) -> Flow:
    """The flow that these bytes are; `decode(encode(f)) == f`. Raises DecodeError when they end too early."""
    key, body = encoded
    if len(key) < codec.KEY_SIZE or len(body) < codec.COOKIE_SIZE:
        raise DecodeError(f"flow with {len(key)} bytes of key and {len(body)} of body: cut off in its head")
    instructions = body[codec.COOKIE_SIZE :].removesuffix(codec.EXPIRES)
    actions = [*_instructions(instructions)]
    if body.endswith(codec.EXPIRES):
        actions.append(RawInstruction(codec.EXPIRES))
    priority = int.from_bytes(key[1 : codec.KEY_SIZE], "big")
    return Flow(key[0], priority, _match(key[codec.KEY_SIZE :]), tuple(actions), codec.cookie_of(body))


def _match(data: bytes) -> Match:
    terms = []
    while data:
        term, data = _term(data)
        terms.append(term)
    return tuple(terms)


def _term(data: bytes) -> tuple[Term, bytes]:
    """The first OXM TLV, and the bytes after it."""
    header = data[:_OXM_HEADER]
    end = _OXM_HEADER + header[-1] if len(header) == _OXM_HEADER else len(data) + 1
    if end > len(data):
        raise DecodeError(f"match field {header.hex()} is cut off: {len(data)} bytes are left")
    return _known(header, data[:end]) or _raw(header, data[_OXM_HEADER:end]), data[end:]


def _known(header: bytes, data: bytes) -> Term | None:
    known = BY_HEADER.get(header)
    if known is None:
        return None
    number, bits = int.from_bytes(data[_OXM_HEADER:], "big"), known.size * 8
    masked = header == known.masked
    value, mask = divmod(number, 1 << bits) if masked else (number, known.full)
    try:
        term = Term(known, value, mask)
    except ValueError:  # value bits outside the mask
        return None
    return term if term.wire == data else None


def _raw(header: bytes, payload: bytes) -> Term:
    oxm_class, number = _PAIR.unpack(header)
    field = RawField(f"0x{header.hex()}", oxm_class, number >> 9, 8 * len(payload), Form.HEX, len(FIELDS), header)
    return Term(field, int.from_bytes(payload, "big"), field.full)


def _instructions(data: bytes) -> Iterator[Action]:
    for instruction in _framed(data, "instruction"):
        if int.from_bytes(instruction[:2], "big") == codec.APPLY_ACTIONS and len(instruction) > _APPLY_HEADER:
            yield from decode_actions(instruction[_APPLY_HEADER:])
        else:
            goto = _exact(_goto, instruction)
            yield goto or RawInstruction(instruction)


def decode_actions(data: bytes) -> Iterator[Action]:
    """The actions of a list of them. Raises DecodeError when they end too early."""
    for action in _framed(data, "action"):
        parse = _PARSERS.get(_head(action))
        known = _exact(parse, action) if parse else None
        yield known or RawAction(action)


def _framed(data: bytes, what: str) -> Iterator[bytes]:
    """Instructions and actions alike: type, length of the whole, content."""
    while data:
        length = _PAIR.unpack_from(data)[1] if len(data) >= _PAIR.size else 0
        if not _ACTION_HEADER <= length <= len(data):
            raise DecodeError(f"{what} {data[: _PAIR.size].hex()} is cut off: {len(data)} bytes are left")
        yield data[:length]
        data = data[length:]


def _exact(parse: Callable[[bytes], Action], data: bytes) -> Action | None:
    """The action, if it says everything that the bytes say; a variant that Weft has no value for is None."""
    try:
        action = parse(data)
    except (ValueError, LookupError, error):
        return None
    return action if action.wire == data else None


def _goto(data: bytes) -> Action:
    return Goto(Table(int.from_bytes(data[4:5], "big")))


def _output(data: bytes) -> Action:
    return Output(int.from_bytes(data[4:8], "big"))


def _set_field(data: bytes) -> Action:
    term, _ = _term(data[_ACTION_HEADER:])
    return SetField(term.field, term.value, term.mask)


def _copy(data: bytes) -> Action:
    source, target = BY_HEADER[data[12:16]], BY_HEADER[data[16:20]]
    bits = int.from_bytes(data[4:6], "big")
    return Copy(source, target, None if bits == source.bits == target.bits else bits)


def _dec_ttl(_: bytes) -> Action:
    return DEC_TTL


_SLICES = {OutputReg(part).wire: part for part in LAYOUT}


def _output_reg(data: bytes) -> Action:
    bits = int.from_bytes(data[10:12], "big")
    unnamed = Slice(int, BY_HEADER[data[12:16]], bits >> 6, (bits & 0x3F) + 1)
    return OutputReg(_SLICES.get(data, unnamed))


def _ct(data: bytes) -> Action:
    flags, _, zone, table = _CT.unpack(data[10 : 10 + _CT.size].ljust(_CT.size))
    nested = [*decode_actions(data[24:])]
    return Ct(
        Zone(zone),
        None if table == _NO_TABLE else Table(table),
        commit=bool(flags & Ct.COMMIT),
        force=bool(flags & Ct.FORCE),
        nat=next((action for action in nested if isinstance(action, Nat)), None),
        sets=tuple(action for action in nested if isinstance(action, SetField | Copy)),
    )


def _nat(data: bytes) -> Action:
    flags, present = _PAIR.unpack_from(data, 12)
    if not flags:
        return Nat()
    size = 4 if present & 0b0011 else 16
    addresses = [ip_address(chunk) for chunk in _chunks(data[16:], size, (present & 0b1111).bit_count())]
    bounds = _chunks(data[16 + size * len(addresses) :], 2, (present >> 4).bit_count())
    ports = [int.from_bytes(bound, "big") for bound in bounds]
    last = addresses[1] if len(addresses) > 1 else None
    to = NatRange(addresses[0], last, (ports[0], ports[-1]) if ports else None)
    return Nat(src=to) if flags == Nat.SRC else Nat(dst=to)


def _chunks(data: bytes, size: int, count: int) -> list[bytes]:
    return [data[size * place : size * (place + 1)] for place in range(count)]


def _ct_clear(_: bytes) -> Action:
    return CT_CLEAR


def _conjunction(data: bytes) -> Action:
    return Conjunction(int.from_bytes(data[12:16], "big"), data[10] + 1, data[11])


def _group(data: bytes) -> Action:
    return Group(int.from_bytes(data[4:8], "big"))


def _meter(data: bytes) -> Action:
    return Meter(int.from_bytes(data[4:8], "big"))


def _head(data: bytes) -> bytes:
    """What tells actions apart: the type, and for an extension also its vendor and subtype."""
    return data[:2] + data[4:10] if data[:2] == b"\xff\xff" else data[:2]


_PARSERS: dict[bytes, Callable[[bytes], Action]] = {
    _head(sample.wire): parse
    for sample, parse in (
        (Output(0), _output),
        (Copy(FIELDS[0], FIELDS[0]), _copy),
        (DEC_TTL, _dec_ttl),
        (SetField(FIELDS[0], 0, FIELDS[0].full), _set_field),
        (Ct(Zone.IPV4), _ct),
        (DELIVER, _output_reg),
        (TRANSLATE, _nat),
        (CT_CLEAR, _ct_clear),
        (Conjunction(0, 1, 2), _conjunction),
        (Group(0), _group),
        (Meter(1), _meter),
    )
}
