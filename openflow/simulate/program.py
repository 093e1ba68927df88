"""A flow's actions as a program: functions that each change a packet's fields, made when a packet first meets the
flow and kept with it."""

from collections.abc import Callable
from typing import Protocol

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
    Output,
    OutputReg,
    RawAction,
    SetField,
)
from openflow.codec import EXPIRES
from openflow.decode import RawInstruction
from openflow.simulate import slots
from openflow.simulate.conntrack import Memory
from openflow.simulate.lookup import Entry, Program
from openflow.simulate.slots import CT_SLOTS, Fields, SimulationError, has, needs, place_of
from openflow.simulate.trace import Reason


class Walk(Protocol):
    """A packet on its way through a switch (`openflow.simulate.walk`), as far as actions need it. What returns a
    bool returns False: the packet goes on behind it."""

    memory: Memory

    def fail(self, reason: Reason) -> None: ...
    def output(self, fields: Fields, port: int) -> bool: ...
    def track(self, fields: Fields, action: Ct) -> bool: ...
    def group(self, fields: Fields, number: int) -> bool: ...


Op = Callable[[Walk, Fields], bool]
"""One action: changes the fields or the walk; True ends the packet's way here."""

_SHORT_PORTS, _RESERVED_SHORT = 0xFFFF, 0xFF00
_IP = frozenset({oxm.ETH_IPV4, oxm.ETH_IPV6})
_EXPIRES = RawInstruction(EXPIRES)


def program(entry: Entry) -> Program:
    """A flow's actions as functions, and the table that it goes to. Raises SimulationError for an action that the
    simulator does not know."""
    flow = entry.flow
    try:
        ops = tuple(compiled(action) for action in flow.actions if not isinstance(action, Goto))
    except SimulationError as e:
        raise SimulationError(f"table {flow.table}, priority {flow.priority}, cookie {flow.cookie:#x}: {e}") from e
    goto = next((int(action.table) for action in flow.actions if isinstance(action, Goto)), None)
    entry.program = made = (ops, goto)
    return made


def compiled(action: Action) -> Op:
    match action:
        case SetField():
            return _set(action)
        case Copy():
            return _copy(action)
        case DecTtl():
            return _dec_ttl
        case Output(port):
            return lambda walk, fields: walk.output(fields, port)
        case OutputReg():
            return _output_reg(action)
        case Ct():
            return lambda walk, fields: walk.track(fields, action)
        case CtClear():
            return _ct_clear
        case Group(number):
            return lambda walk, fields: walk.group(fields, number)
        case Meter() | Conjunction():
            return _nothing
        case RawInstruction() if action == _EXPIRES:
            return _nothing
        case _:
            words = action.data.hex() if isinstance(action, RawAction) else type(action).__name__
            raise SimulationError(f"the simulator does not know the action {words}")


def _nothing(walk: Walk, fields: Fields) -> bool:
    return False


def _set(action: SetField) -> Op:
    slot, shift = place_of(action.target)
    value, keep, needed = action.value << shift, ~(action.mask << shift), needs(action.target)

    def guarded(walk: Walk, fields: Fields) -> bool:
        if has(fields, needed):
            fields[slot] = fields[slot] & keep | value
        return False

    def plain(walk: Walk, fields: Fields) -> bool:
        fields[slot] = fields[slot] & keep | value
        return False

    return guarded if needed else plain


def _copy(action: Copy) -> Op:
    (source, down), (target, up) = place_of(action.source), place_of(action.target)
    full, needed = (1 << action.width) - 1, (*needs(action.source), *needs(action.target))
    keep = ~(full << up)

    def copy(walk: Walk, fields: Fields) -> bool:
        if has(fields, needed):
            fields[target] = fields[target] & keep | (fields[source] >> down & full) << up
        return False

    return copy


def _dec_ttl(walk: Walk, fields: Fields) -> bool:
    if fields[slots.ETH_TYPE] not in _IP:
        return False
    if fields[slots.TTL] <= 1:
        walk.fail(Reason.EXPIRED)
        return True
    fields[slots.TTL] -= 1
    return False


def _output_reg(action: OutputReg) -> Op:
    slot, shift = place_of(action.part.stored)
    low, full = shift + action.part.low, (1 << action.part.width) - 1

    def output(walk: Walk, fields: Fields) -> bool:
        port = fields[slot] >> low & full
        if port > _SHORT_PORTS:
            walk.fail(Reason.NO_PORT)
        else:
            # Open vSwitch takes the value for a port number of OpenFlow 1.0, which has 16 bits.
            walk.output(fields, port | 0xFFFF0000 if port >= _RESERVED_SHORT else port)
        return False

    return output


def _ct_clear(walk: Walk, fields: Fields) -> bool:
    walk.memory.forget()
    for slot in CT_SLOTS:
        fields[slot] = 0
    return False
