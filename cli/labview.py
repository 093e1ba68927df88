"""What `weftctl lab` prints: objects, the state of a lab, and who reaches whom, as rows of tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cli.layout import Column, Row
from lab.api.printers import NODE_COLUMNS, POD_COLUMNS
from lab.reachability import Cell

if TYPE_CHECKING:
    from lab.lab import LabStatus

Obj = dict[str, Any]

KINDS = {"pods": POD_COLUMNS, "nodes": NODE_COLUMNS}
_ALIASES = {"pod": "pods", "po": "pods", "node": "nodes", "no": "nodes"}
_GOOD = frozenset({"Running", "Ready", "Completed", "running"})
_MARKS = {True: "✓", False: "✗"}


def kind_of(text: str) -> str | None:
    """`pods` or `nodes` by any of the names that kubectl takes; None for anything else."""
    name = _ALIASES.get(text, text)
    return name if name in KINDS else None


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one kind to be shown as kubectl shows them; `wide` adds columns."""

    kind: str
    items: Sequence[Obj]
    wide: bool = False

    def columns(self) -> tuple[Column, ...]:
        """NAMESPACE where the kind has one, then those of the kind."""
        own = [Column(each.name.upper(), good) for each in KINDS[self.kind] if self.wide or not each.wide]
        return (Column("NAMESPACE"), *own)

    def rows(self, now: datetime) -> Iterator[Row]:
        """One row an object, sorted by namespace and name."""
        for obj in sorted(
            self.items, key=lambda obj: (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        ):
            cells = [str(each.cell(obj, now)) for each in KINDS[self.kind] if self.wide or not each.wide]
            yield Row((obj["metadata"].get("namespace", ""), *cells))


def good(text: str) -> str:
    """The style of a status cell."""
    if text in _GOOD:
        return "green"
    return "red" if text in ("NotReady", "Failed", "Error", "gone") else ""


def process_columns() -> tuple[Column, ...]:
    """The columns of `process_rows`."""
    return (
        Column("PROCESS", "bold"),
        Column("STATE", good),
        Column("PID", right=True),
        Column("MEMORY", right=True),
        Column("LOG", "dim"),
    )


def process_rows(status: LabStatus) -> Iterator[Row]:
    """One row a process of the lab; memory is what is resident."""
    for each in status.processes:
        if each.running:
            yield Row((each.name, "running", str(each.pid), f"{each.rss_kib / 1024:.0f} MiB", each.log))
        else:
            yield Row((each.name, "gone", "-", "-", each.log))


def summary(status: LabStatus) -> str:
    """A lab in one line."""
    config = status.config
    nodes = f"{status.ready_nodes} of {config.nodes} nodes ready"
    pods = f"{status.ready_pods} of {status.pods} pods ready"
    return f"lab {config.name!r}: {nodes}, {pods}, {config.tunnel}, {config.family.value}, API {status.api}"


def reach_columns(cells: Sequence[Cell]) -> tuple[Column, ...]:
    """Targets as columns, by number: their names are those of the rows."""
    numbers = range(1, len(_pods(cells)) + 1)
    return (Column("", right=True), Column("FROM \\ TO", "bold"), *(Column(str(n), _mark_style) for n in numbers))


def reach_rows(cells: Sequence[Cell]) -> Iterator[Row]:
    """One row a source. A mark for each measurement: ping and HTTP over IPv4, then the same over IPv6."""
    pods = _pods(cells)
    measured: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        measured.setdefault((cell.source, cell.target), []).append(cell)
    for number, source in enumerate(pods, 1):
        marks = (_marks(measured.get((source, target), ())) for target in pods)
        yield Row((str(number), source, *marks))


def _pods(cells: Iterable[Cell]) -> list[str]:
    return sorted({name for cell in cells for name in (cell.source, cell.target)})


def _marks(cells: Sequence[Cell]) -> str:
    return " ".join(
        _MARKS[cell.ping_ms is not None] + (_MARKS[cell.http == "ok"] if cell.http else "")
        for cell in sorted(cells, key=lambda cell: cell.version)
    )


def _mark_style(text: str) -> str:
    return "red" if _MARKS[False] in text else "green"


def legend(cells: Iterable[Cell]) -> str:
    """What the marks of `reach_rows` stand for."""
    versions = sorted({cell.version for cell in cells})
    return f"marks: ping and HTTP over {', then over '.join(f'IPv{version}' for version in versions)}"


def reach_failures(cells: Iterable[Cell]) -> Iterator[str]:
    """What does not work, one line a path and family."""
    for cell in cells:
        wrong = [] if cell.ping_ms is not None else ["no answer to ping"]
        wrong += [] if cell.http in ("ok", "") else [f"HTTP: {cell.http}"]
        if wrong:
            yield f"{cell.source} → {cell.target} over IPv{cell.version}: {', '.join(wrong)}"


def reach_summary(cells: Sequence[Cell]) -> str:
    """How many paths work, and how long the echoes took."""
    works = sum(cell.ok for cell in cells)
    by_version = groupby(sorted(cells, key=lambda cell: cell.version), key=lambda cell: cell.version)
    times = [f"IPv{version} {_median(each)}" for version, each in by_version]
    return f"{works} of {len(cells)} paths work; median ping {', '.join(times)}"


def _median(cells: Iterable[Cell]) -> str:
    times = sorted(cell.ping_ms for cell in cells if cell.ping_ms is not None)
    return f"{times[len(times) // 2]:.2f} ms" if times else "none"
