"""Flows in the syntax of ovs-ofctl(8), ovs-fields(7) and ovs-actions(7).

`ovs-ofctl -O OpenFlow15 add-flow` takes every line made here from a flow of Weft's, and installs the same bytes
that the codec sends. What was kept raw from a foreign flow is shown in hex, which no command takes.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

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
    NatRange,
    Output,
    OutputReg,
    RawAction,
    SetField,
)
from openflow.decode import RawField, RawInstruction
from openflow.fields import Slice
from openflow.flow import Flow
from openflow.match import CT_BITS, Term
from openflow.oxm import Field, Form

RESERVED_PORTS = {
    0xFFFFFFF8: "IN_PORT", 0xFFFFFFF9: "TABLE", 0xFFFFFFFA: "NORMAL", 0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL", 0xFFFFFFFD: "CONTROLLER", 0xFFFFFFFE: "LOCAL", 0xFFFFFFFF: "ANY",
}  # fmt: skip
"""Port numbers that name no port (OpenFlow 1.5.1 section 7.2.1)."""

ETHERTYPES = {oxm.ETH_IPV4: "ip", oxm.ETH_IPV6: "ipv6", oxm.ETH_ARP: "arp"}

_HALF = 32
_LOW = (1 << _HALF) - 1


def ofctl(flow: Flow) -> str:
    """One flow as one argument of `ovs-ofctl -O OpenFlow15 add-flow`, or one line of `add-flows`."""
    head = (f"cookie={flow.cookie:#x}", f"table={flow.table}", f"priority={flow.priority}")
    terms = [text for term in flow.match for text in _term(term)]
    return ",".join((*head, *terms, f"actions={actions_text(flow.actions) or 'drop'}"))


def _term(term: Term) -> Iterable[str]:
    if term.field is oxm.ETH_TYPE and term.value in ETHERTYPES:
        return (ETHERTYPES[term.value],)
    return tuple(f"{on.name}={value_text(on, value, mask)}" for on, value, mask in halves(term))


def halves(term: Term) -> Iterable[tuple[Field, int, int]]:
    """Field, value and mask; a match on one half of a 64-bit register as one on the 32-bit register it is."""
    number = term.field.name.removeprefix("xreg")
    upper, lower = term.mask >> _HALF, term.mask & _LOW
    if not number.isdigit() or (upper and lower):
        return ((term.field, term.value, term.mask),)
    if upper:
        return ((oxm.BY_NAME[f"reg{2 * int(number)}"], term.value >> _HALF, upper),)
    return ((oxm.BY_NAME[f"reg{2 * int(number) + 1}"], term.value, lower),)


def value_text(on: Field, value: int, mask: int) -> str:
    """A value under a mask as ovs-fields(7) writes it."""
    if on.form is Form.CT_STATE:
        return ct_state_text(value, mask)
    if isinstance(on, RawField):
        return _payload(on, value)
    if on is oxm.IN_PORT:
        return port_text(value)
    if mask == on.full:
        return str(value) if on.form is Form.DECIMAL else _plain(on, value)
    prefix = mask.bit_count()
    if on.form in (Form.IPV4, Form.IPV6) and mask == on.full ^ (on.full >> prefix):
        return f"{_plain(on, value)}/{prefix}"
    return f"{_plain(on, value)}/{_plain(on, mask)}"


def _plain(on: Field, value: int) -> str:
    match on.form:
        case Form.MAC:
            return value.to_bytes(on.size, "big").hex(":")
        case Form.IPV4:
            return str(IPv4Address(value))
        case Form.IPV6:
            return str(IPv6Address(value))
        case _:
            return f"{value:#x}"


def _payload(on: RawField, value: int) -> str:
    """Bytes of a field we do not know; the header's lowest bit of its third byte says that half of it is a mask."""
    text = value.to_bytes(on.size, "big").hex()
    return f"{text[: on.size]}/{text[on.size :]}" if on.header[2] & 1 else text


def ct_state_text(value: int, mask: int) -> str:
    if mask >> len(CT_BITS):
        return f"{value:#x}/{mask:#x}"
    return "".join(f"{'+' if value & bit else '-'}{name}" for name, bit in CT_BITS.items() if mask & bit)


def port_text(port: int) -> str:
    return RESERVED_PORTS.get(port, str(port))


def actions_text(actions: Iterable[Action]) -> str:
    return ",".join(_action(action) for action in actions)


def _action(action: Action) -> str:
    match action:
        case SetField(target, value, mask):
            return f"set_field:{_set_value(target, value, mask)}->{target.name}"
        case Copy(source, target, bits):
            part = "[]" if bits is None else f"[0..{bits - 1}]"
            return f"move:{source.name}{part}->{target.name}{part}"
        case DecTtl():
            return "dec_ttl"
        case Output(port):
            return _output(port)
        case OutputReg(part):
            return f"output:{part.stored.name}{bits_text(part)}"
        case Ct():
            return _ct(action)
        case CtClear():
            return "ct_clear"
        case Nat():
            return nat_text(action)
        case Conjunction(conjunction, clause, clauses):
            return f"conjunction({conjunction},{clause}/{clauses})"
        case Group(group):
            return f"group:{group}"
        case Meter(meter):
            return f"meter:{meter}"
        case Goto(table):
            return f"goto_table:{int(table)}"
        case RawInstruction(data):
            return f"instruction(0x{data.hex()})"
        case RawAction(data):
            return f"action(0x{data.hex()})"
        case _:
            raise TypeError(f"{type(action).__name__} has no ovs-ofctl syntax")


def _output(port: int) -> str:
    name = RESERVED_PORTS.get(port)
    if name == "CONTROLLER":
        return f"{name}:0"  # bytes of the packet to send; without a number, ovs-ofctl asks for all of them
    return name or f"output:{port}"


def _set_value(target: Field, value: int, mask: int) -> str:
    if target.form is Form.CT_STATE:
        return f"{value:#x}/{mask:#x}"
    return value_text(target, value, mask)


def bits_text(part: Slice) -> str:
    """Which bits of its field a slice is: `[]` for all of them (ovs-actions(7), Field Specifications)."""
    last = part.low + part.width - 1
    if part.width == part.stored.bits:
        return "[]"
    return f"[{part.low}]" if part.width == 1 else f"[{part.low}..{last}]"


def nat_text(nat: Nat) -> str:
    """The argument of `ct` (ovs-actions(7)), e.g. `nat(src=10.0.0.1-10.0.0.9:1024-2047)`."""
    if nat.to is None:
        return "nat"
    return f"nat({'src' if nat.src else 'dst'}={_range(nat.to)})"


def _range(to: NatRange) -> str:
    # The colons of an IPv6 address would be taken for the one before the ports.
    bracket = to.ports is not None and to.first.version == 6
    ends = [f"[{address}]" if bracket else str(address) for address in (to.first, to.last) if address is not None]
    ports = "-".join(map(str, to.port_bounds))
    return "-".join(ends) + (f":{ports}" if ports else "")


def _ct(action: Ct) -> str:
    parts = [
        *(["commit"] if action.commit else []),
        *(["force"] if action.force else []),
        f"zone={int(action.zone)}",
        *([] if action.table is None else [f"table={int(action.table)}"]),
        *([f"exec({actions_text(action.sets)})"] if action.sets else []),
        *([nat_text(action.nat)] if action.nat else []),
    ]
    return f"ct({','.join(parts)})"
