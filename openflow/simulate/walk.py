"""One packet through the tables of one switch."""

from collections.abc import Iterable, Mapping
from zlib import crc32

from openflow.actions import Ct
from openflow.flow import Flow
from openflow.groups import Bucket, GroupEntry, GroupKind
from openflow.ofctl import RESERVED_PORTS
from openflow.simulate import slots
from openflow.simulate.conntrack import Memory, Tracker
from openflow.simulate.lookup import FlowTable
from openflow.simulate.program import Op, compiled, program
from openflow.simulate.slots import CT_SLOTS, Fields, SimulationError
from openflow.simulate.trace import Drop, Reason, Step

PASSES = 16
"""How often one packet is taken back to a table by conntrack or handed to a group before it is given up."""

_PORTS = {name: number for number, name in RESERVED_PORTS.items()}
_IN_PORT, _CONTROLLER, _LOCAL = _PORTS["IN_PORT"], _PORTS["CONTROLLER"], _PORTS["LOCAL"]
_ADDRESSING = (slots.IP_SRC, slots.IP_DST, slots.TP_SRC, slots.TP_DST)


class Tables:
    """The flows and groups of a switch, ready to be looked up. Immutable. Raises SimulationError for a flow that
    matches a field which the simulator does not know."""

    def __init__(self, flows: Iterable[Flow], groups: Iterable[GroupEntry] = ()) -> None:
        by_table: dict[int, list[Flow]] = {}
        for flow in flows:
            by_table.setdefault(flow.table, []).append(flow)
        self.tables: Mapping[int, FlowTable] = {number: FlowTable(found) for number, found in by_table.items()}
        self.groups: Mapping[int, GroupEntry] = {group.number: group for group in groups}
        self._buckets: dict[tuple[int, int], tuple[Op, ...]] = {}

    def bucket(self, group: GroupEntry, bucket: Bucket) -> tuple[Op, ...]:
        """A bucket's actions as functions, made once."""
        key = (group.number, bucket.number)
        made = self._buckets.get(key)
        if made is None:
            made = self._buckets[key] = tuple(compiled(action) for action in bucket.actions)
        return made


class Walk:
    """One copy of a packet on its way through one switch; copies that branch off share what they find."""

    __slots__ = ("memory", "node", "outputs", "passes", "reason", "steps", "tables", "tracker", "translated")

    def __init__(self, node: str, tables: Tables, tracker: Tracker, memory: Memory, steps: list[Step]) -> None:
        self.node = node
        self.tables = tables
        self.tracker = tracker
        self.memory = memory
        self.steps = steps
        self.outputs: list[tuple[int, Fields, Memory]] = []
        self.reason: list[tuple[int, Reason]] = []
        self.passes = 0
        self.translated: dict[int, int] | None = None

    def run(self, fields: Fields, table: int = 0) -> None:
        """From this table on."""
        while True:
            found = self.tables.tables.get(table)
            entry = found.lookup(fields) if found is not None else None
            if entry is None:
                self.steps.append(Step(self.node, table, None))
                return
            self.steps.append(Step(self.node, table, entry.flow))
            ops, target = entry.program or program(entry)
            for op in ops:
                if op(self, fields):
                    return
            if target is None:
                return
            table = target

    def fail(self, reason: Reason) -> None:
        """Note why the packet goes nowhere from the flow that it is in."""
        self.reason.append((len(self.steps), reason))

    def drop(self) -> Drop:
        """Where the packet ended, if nobody gets it."""
        table, flow = self.steps[-1].table, self.steps[-1].flow
        if self.reason and self.reason[-1][0] == len(self.steps):
            return Drop(self.node, table, flow, self.reason[-1][1])
        return Drop(self.node, table, flow, Reason.MISS if flow is None else Reason.DROPPED)

    def branch(self) -> "Walk | None":
        """A copy of the packet that goes its own way; None when it has gone round too often."""
        if self.passes >= PASSES:
            self.fail(Reason.ROUND)
            return None
        made = type(self)(self.node, self.tables, self.tracker, self.memory.copy(), self.steps)
        made.outputs, made.reason, made.passes = self.outputs, self.reason, self.passes + 1
        made.translated = self.translated
        return made

    def output(self, fields: Fields, port: int) -> bool:
        """Out of a port, but not of the one it came by unless that is meant; controllers do not count."""
        if port == fields[slots.IN_PORT]:
            self.fail(Reason.CAME_FROM)
        elif port == _IN_PORT:
            self.outputs.append((fields[slots.IN_PORT], self.as_sent(fields), self.memory))
        elif port not in RESERVED_PORTS or port == _LOCAL:
            self.outputs.append((port, self.as_sent(fields), self.memory))
        elif port != _CONTROLLER:
            raise SimulationError(f"output to {RESERVED_PORTS[port]} depends on what the switch has learned")
        return False

    def as_sent(self, fields: Fields) -> Fields:
        """The packet itself, which conntrack may have translated behind the tables' back."""
        sent = fields.copy()
        for slot, value in (self.translated or {}).items():
            sent[slot] = value
        return sent

    def track(self, fields: Fields, action: Ct) -> bool:
        """Conntrack forks: one copy goes on in the action's table, tracked, and this one goes on untracked."""
        sent = self.as_sent(fields)
        tracked = sent.copy()
        self.tracker.track(tracked, self.memory, action)
        changed = {slot: tracked[slot] for slot in _ADDRESSING if tracked[slot] != sent[slot]}
        branch = self.branch() if action.table is not None else None
        if branch is not None and action.table is not None:
            memory, branch.translated = self.memory, None
            seen = (memory.state, memory.zone, memory.mark, memory.label)
            for slot, value in zip(CT_SLOTS, seen, strict=True):
                tracked[slot] = value
            branch.run(tracked, action.table)
        if changed:
            self.translated = (self.translated or {}) | changed
        for slot in CT_SLOTS:
            fields[slot] = 0
        return False

    def group(self, fields: Fields, number: int) -> bool:
        """Each bucket gets a copy; what it does to the packet is undone behind it."""
        group = self.tables.groups.get(number)
        if group is None:
            self.fail(Reason.NO_GROUP)
            return False
        chosen = group.buckets if group.kind is GroupKind.ALL else _choose(group, fields)
        for bucket in chosen:
            branch = self.branch()
            if branch is not None:
                copied = fields.copy()
                any(op(branch, copied) for op in self.tables.bucket(group, bucket))
        return False


def _choose(group: GroupEntry, fields: Fields) -> tuple[Bucket, ...]:
    """One bucket, the same for every packet of a direction. Which one, Open vSwitch takes from a hash of its own."""
    if not group.buckets:
        return ()
    told = (*(fields[slot] for slot in (slots.ETH_TYPE, slots.PROTO, *_ADDRESSING)), group.number)
    place = crc32(repr(told).encode()) % sum(bucket.weight for bucket in group.buckets)
    for bucket in group.buckets:
        place -= bucket.weight
        if place < 0:
            return (bucket,)
    return ()
