"""Reads what ovs-vswitchd prints for `ofproto/trace`. Pure.

The format is for people and documented by example only (ovs-vswitchd(8), ofproto-dpif-trace.c: `oftrace_print_*`).
What is not understood is kept as text of the flow it stands under, so nothing is lost by a new version of it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

_HIT = re.compile(r"\s*(?P<table>\d+)\. (?P<rest>.*)")
_MATCHED = re.compile(r"(?:(?P<match>.*), )?priority (?P<priority>\d+)(?:, cookie (?P<cookie>0x[0-9a-f]+))?")
_BRIDGE = re.compile(r'\s*bridge\("(?P<name>.*)"\)')
_RESUME = re.compile(r"recirc\(0x[0-9a-f]+\) - resume conntrack with (?:default )?ct_state=(?P<state>\S+)")
_NOTE = re.compile(r"\s*(?:->|>>+) ?(?P<text>.*?)(?: <<<<)?")
_NOISE = re.compile(r"-+|=*|\s*thaw|\s*Resuming from table \d+|\s*(Initial|Modified) flow:.*|Replacing .*")


@dataclass(frozen=True, slots=True)
class Step:
    """One action that a flow took, and what Open vSwitch says of it: facts, and warnings that it came to nothing."""

    action: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A table that the packet went through. `match` is the flow's, in ovs-fields(7) words; None: no flow matched."""

    bridge: str
    table: int
    match: str | None
    priority: int = 0
    cookie: int = 0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """One run through the tables: until the packet leaves, or conntrack takes it to begin the next one.

    `state` is the conntrack state (`trk|new`) that the pass assumes, "" where conntrack was not asked yet. `final`
    has the packet's fields at the end of it, `actions` what the datapath is told to do.
    """

    state: str
    hits: tuple[Hit, ...]
    final: Mapping[str, str]
    actions: str


@dataclass(slots=True)
class _Building:
    state: str
    fields: Mapping[str, str]
    hits: list[Hit] = field(default_factory=list)
    final: Mapping[str, str] | None = None
    actions: str = ""

    def done(self) -> Pass:
        return Pass(self.state, tuple(self.hits), self.fields if self.final is None else self.final, self.actions)


def parse(text: str) -> tuple[Pass, ...]:
    """The passes of a trace, in order; none when the text is no trace."""
    return tuple(building.done() for building in _passes(text.splitlines()))


def parse_flow(text: str) -> Mapping[str, str]:
    """`tcp,in_port=3,nw_ttl=64` as a mapping; a word without a value has the value ""."""
    pairs = (part.partition("=") for part in text.strip().split(","))
    return {name: value for name, _, value in pairs}


def _passes(lines: Iterable[str]) -> Iterator[_Building]:
    now: _Building | None = None
    state = bridge = ""
    for line in lines:
        key, _, rest = line.partition(": ")
        resumed = _RESUME.match(line)
        if resumed:
            state = resumed["state"]
        elif key == "Flow":
            if now is not None:
                yield now
            now, bridge = _Building(state, parse_flow(rest)), ""
        elif now is None:
            continue
        elif found := _BRIDGE.fullmatch(line):
            bridge = found["name"]
        elif key == "Final flow":
            now.final = None if rest == "unchanged" else parse_flow(rest)
        elif key == "Datapath actions":
            now.actions = rest
        elif bridge and not now.actions and key != "Megaflow":
            _read_line(now.hits, bridge, line)
    if now is not None:
        yield now


def _read_line(hits: list[Hit], bridge: str, line: str) -> None:
    """A line below a bridge: the next table, what its flow does, or a note about that."""
    if _NOISE.fullmatch(line):
        return
    if found := _HIT.fullmatch(line):
        hits.append(_hit(bridge, int(found["table"]), found["rest"]))
    elif hits:
        last = hits.pop()
        hits.append(Hit(last.bridge, last.table, last.match, last.priority, last.cookie, _with(last.steps, line)))


def _hit(bridge: str, table: int, rest: str) -> Hit:
    matched = _MATCHED.fullmatch(rest)
    if matched is None:
        return Hit(bridge, table, None, steps=() if rest == "No match." else (Step(rest),))
    return Hit(bridge, table, matched["match"] or "", int(matched["priority"]), int(matched["cookie"] or "0", 16))


def _with(steps: tuple[Step, ...], line: str) -> tuple[Step, ...]:
    note = _NOTE.fullmatch(line)
    if note is None:
        return (*steps, Step(line.strip()))
    before, last = steps[:-1], steps[-1] if steps else Step("")
    if line.lstrip().startswith(">"):
        return (*before, Step(last.action, last.notes, (*last.warnings, note["text"])))
    return (*before, Step(last.action, (*last.notes, note["text"]), last.warnings))


def notes(hits: Iterable[Hit]) -> Iterator[str]:
    """Every note below these tables, in order."""
    return chain.from_iterable(step.notes for hit in hits for step in hit.steps)
