"""Findings of checks for people and programs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from cli.checks.all import is_well
from cli.checks.model import Finding, Result
from cli.layout import Column, Line, Piece, Row, table
from cli.nodes import NOTHING

_STYLES: Mapping[str, str] = {
    Result.OK: "green",
    Result.WARNING: "yellow",
    Result.FAILED: "red",
    Result.UNKNOWN: "dim",
}
_COLUMNS = (
    Column("CHECK", "bold"),
    Column("NODE"),
    Column("RESULT", lambda text: _STYLES.get(text, "")),
    Column("WHAT", fold=True),
    Column("REMEDY", "dim", fold=True),
)


def lines(findings: Sequence[Finding], nodes: int, width: int | None, *, every: bool = False) -> Iterator[Line]:
    """A table, and a sentence that sums it up. What is well is one row a check, unless `every` node is wanted."""
    yield from table(_COLUMNS, _rows(findings, every=every), width)
    yield ()
    yield (Piece(summary(findings, nodes), "bold green" if is_well(findings) else "bold red"),)


def _rows(findings: Sequence[Finding], *, every: bool) -> Iterator[Row]:
    for check, group in groupby(findings, key=lambda each: each.check):
        found = [*group]
        well = [each for each in found if each.result is Result.OK]
        if every or len(well) < 2:
            yield from map(_row, found)
            continue
        whats = {each.what for each in well}
        what = whats.pop() if len(whats) == 1 else ""
        yield Row((check, f"{len(well)} of {_nodes(found)} nodes", Result.OK.value, what, ""))
        yield from (_row(each) for each in found if each.result is not Result.OK)


def _nodes(findings: Iterable[Finding]) -> int:
    return len({each.node for each in findings})


def _row(each: Finding) -> Row:
    return Row((each.check, each.node or NOTHING, each.result.value, each.what, each.remedy))


def summary(findings: Sequence[Finding], nodes: int) -> str:
    """How it stands, in a sentence."""
    counted = Counter(each.result for each in findings)
    checks = len({each.check for each in findings})
    over = f"{checks} checks of {nodes} node{'' if nodes == 1 else 's'}"
    words = {Result.FAILED: "failed", Result.WARNING: "to look at", Result.UNKNOWN: "not to be tested from here"}
    bad = [f"{counted[result]} {word}" for result, word in words.items() if counted[result]]
    return f"{over}: {', '.join(bad) if bad else 'all is well'}"


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The shape is documented in docs/weftctl.md."""
    return {
        "well": is_well(findings),
        "findings": [
            {
                "check": each.check,
                "node": each.node or None,
                "result": each.result.value,
                "what": each.what,
                "remedy": each.remedy,
            }
            for each in findings
        ],
    }
