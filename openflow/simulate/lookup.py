"""Finding the flow that a packet matches: tuple space search, and conjunctions as Open vSwitch does them.

The flows of a table are sorted by which bits they match; those with the same bits share a hash table, so a lookup
costs one probe for each *shape* of match, not one for each flow. A property test holds this to a linear scan, and
an integration test to Open vSwitch's classifier (its lib/classifier.c, which this follows step by step).
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from operator import and_, itemgetter
from typing import NamedTuple

from openflow.actions import Conjunction
from openflow.flow import Flow
from openflow.match import Match
from openflow.simulate.slots import CONJ_ID, ETH_TYPE, Fields, place_of

Key = Callable[[Fields], Hashable]
Program = tuple[tuple[Callable[..., bool], ...], int | None]
"""A flow's actions as functions (see `openflow.simulate.program`), and the table that it goes to."""

_NO_PRIORITY = -1
_FEWEST_CLAUSES = 2


class Clauses(NamedTuple):
    """Which clauses of a conjunction a flow fulfils, as bits, out of how many."""

    bits: int
    limit: int

    @property
    def every(self) -> int:
        return (1 << self.limit) - 1


@dataclass(slots=True, eq=False)
class Entry:
    """A flow in a table. `clauses` are by conjunction, for a flow that is only part of some; `several` are those
    that it fulfils more than one clause of. `program` is made when it is first matched."""

    flow: Flow
    clauses: dict[int, Clauses]
    several: tuple[int, ...]
    program: Program | None = None

    @classmethod
    def of(cls, flow: Flow) -> "Entry":
        clauses: dict[int, Clauses] = {}
        for part in flow.actions:
            if isinstance(part, Conjunction):
                bits, limit = clauses.get(part.conjunction, (0, part.clauses))
                clauses[part.conjunction] = Clauses(bits | 1 << part.clause - 1, limit)
        several = tuple(number for number, (bits, _) in clauses.items() if bits.bit_count() > 1)
        return cls(flow, clauses, several)


@dataclass(slots=True, eq=False)
class Shape:
    """The flows of a table that match the same bits. `ethertype` is theirs, None where they do not match it."""

    ethertype: int | None
    key: Key
    highest: int = _NO_PRIORITY
    rules: dict[Hashable, list[Entry]] = field(default_factory=dict)

    def add(self, key: Hashable, entry: Entry) -> None:
        same = self.rules.setdefault(key, [])
        same.append(entry)
        same.sort(key=_by_priority, reverse=True)
        self.highest = max(self.highest, entry.flow.priority)


def _by_priority(entry: Entry) -> int:
    return entry.flow.priority


class FlowTable:
    """The flows of one table. Where several of one priority match, which one is taken is settled but arbitrary, as
    OpenFlow leaves it open (OpenFlow 1.5.1 section 5.3)."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        found: dict[Hashable, Shape] = {}
        for flow in flows:
            ethertype, bits, key = _split(flow.match)
            shape = found.get((ethertype, bits))
            if shape is None:
                shape = found[ethertype, bits] = Shape(ethertype, _key(bits))
            shape.add(key, Entry.of(flow))
        self._any = _sorted(shape for shape in found.values() if shape.ethertype is None)
        kinds = {shape.ethertype for shape in found.values() if shape.ethertype is not None}
        self._by_ethertype = {
            kind: _sorted(shape for shape in found.values() if shape.ethertype in (None, kind)) for kind in kinds
        }

    def lookup(self, fields: Fields) -> Entry | None:
        """The flow that handles the packet; None where none does."""
        hard: Entry | None = None
        priority = _NO_PRIORITY
        soft: list[list[Entry]] = []
        for shape in self._by_ethertype.get(fields[ETH_TYPE], self._any):
            if shape.highest <= priority:
                break
            found = shape.rules.get(shape.key(fields))
            if found is not None and found[0].flow.priority > priority:
                if found[0].clauses:
                    soft.append(found)
                else:
                    hard, priority = found[0], found[0].flow.priority
        return self._conjunctive(fields, hard, soft) if soft else hard

    def _hard(self, fields: Fields, conjunction: int) -> Entry | None:
        """The flow that matches with this `conj_id`; parts of conjunctions are passed over."""
        hard: Entry | None = None
        priority = _NO_PRIORITY
        fields[CONJ_ID] = conjunction
        for shape in self._by_ethertype.get(fields[ETH_TYPE], self._any):
            if shape.highest <= priority:
                break
            found = shape.rules.get(shape.key(fields))
            if found is not None and found[0].flow.priority > priority and not found[0].clauses:
                hard, priority = found[0], found[0].flow.priority
        fields[CONJ_ID] = 0
        return hard

    def _conjunctive(self, fields: Fields, hard: Entry | None, soft: list[list[Entry]]) -> Entry | None:
        """From the highest priority down: a conjunction that is fulfilled by the flows of one priority, or else the
        next flows that match the same bits."""
        while True:
            floor = hard.flow.priority if hard else _NO_PRIORITY
            soft = [found for found in soft if found and found[0].flow.priority > floor]
            if not soft:
                return hard
            highest = max(found[0].flow.priority for found in soft)
            top = [found[0] for found in soft if found[0].flow.priority == highest]
            for conjunction in _fulfilled(top):
                entry = self._hard(fields, conjunction)
                if entry is not None:
                    return entry
            # The same bits may be matched again with a lower priority.
            soft = [found[1:] if found[0].flow.priority == highest else found for found in soft]
            for found in soft:
                if found and not found[0].clauses and found[0].flow.priority > floor:
                    hard, floor = found[0], found[0].flow.priority
            soft = [found for found in soft if found and found[0].clauses]


def _fulfilled(parts: list[Entry]) -> list[int]:
    """Conjunctions all of whose clauses are fulfilled, in the order in which the last one is.

    A clause such as `TCP port 80` may belong to thousands of conjunctions. But a conjunction has two clauses at
    least, so one of the other flows names it too, unless one flow fulfils several clauses.
    """
    if len(parts) < _FEWEST_CLAUSES:
        return []
    longest = max(parts, key=_length)
    named = dict.fromkeys(number for entry in parts if entry is not longest for number in entry.clauses)
    named |= dict.fromkeys(longest.several)
    places = ((_fulfilled_at(parts, number), number) for number in named)
    return [number for place, number in sorted(places) if place < len(parts)]


def _fulfilled_at(parts: list[Entry], number: int) -> int:
    """The place of the flow that fulfils the last clause; behind the end if one stays open. As Open vSwitch has it,
    each flow fulfils one clause: a conjunction of more clauses than there are flows is not looked at."""
    left = -1
    for place, entry in enumerate(parts):
        clauses = entry.clauses.get(number)
        if clauses is not None and clauses.limit <= len(parts):
            left = (clauses.every if left < 0 else left) & ~clauses.bits
            if not left:
                return place
    return len(parts)


def _length(entry: Entry) -> int:
    return len(entry.clauses)


Bits = tuple[tuple[int, int, bool], ...]
"""Slot, mask, and whether the mask is all of the field that the slot holds."""


def _split(match: Match) -> tuple[int | None, Bits, Hashable]:
    """A match as its ethertype, the other bits that it names, and their values."""
    ethertype: int | None = None
    merged: dict[int, tuple[int, int, bool]] = {}
    for term in match:
        slot, shift = place_of(term.field)
        whole = term.mask == term.field.full and not shift and not term.field.name.startswith("reg")
        if slot == ETH_TYPE and whole:
            ethertype = term.value
            continue
        value, mask, _ = merged.get(slot, (0, 0, False))
        merged[slot] = value | term.value << shift, mask | term.mask << shift, whole
    bits = tuple((slot, mask, whole) for slot, (_, mask, whole) in sorted(merged.items()))
    values = tuple(value for _, (value, _, _) in sorted(merged.items()))
    return ethertype, bits, values[0] if len(values) == 1 else values


def _key(bits: Bits) -> Key:
    """How to take a packet's value under these bits, in the form in which `_split` gives a match's."""
    if not bits:
        return lambda fields: ()
    slots, masks = [slot for slot, _, _ in bits], [mask for _, mask, _ in bits]
    get = itemgetter(*slots)
    if all(whole for _, _, whole in bits):
        return get
    if len(bits) == 1:
        slot, mask = slots[0], masks[0]
        return lambda fields: fields[slot] & mask
    return lambda fields: tuple(map(and_, get(fields), masks))


def _sorted(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    return tuple(sorted(shapes, key=lambda shape: -shape.highest))
