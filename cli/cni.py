"""CNI requests for people and programs: how long each step takes, what fails, and the last failures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isinf
from typing import Any

import msgspec

from cli.histogram import Histogram
from cli.layout import Column, Line, Row, heading, table
from cli.measured import Measured, Told, last_failures, together
from cli.nodes import NOTHING
from cli.view import Silent
from cni.errors import ErrorCode
from node_agent.failures import Failure

_SHARES = (50, 90, 99)
"""Percent."""

_DIGITS = 7
"""Of seconds in JSON; more would only be noise."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Of which nodes (none: all), or of agents at which addresses, and what to show: `by_node` does not add nodes up,
    `last` is how many failures."""

    nodes: Sequence[str] = ()
    agents: Sequence[str] = ()
    by_node: bool = False
    last: int = 10


def _parts(told: Sequence[Told], choice: Choice) -> list[tuple[str, Measured]]:
    """What is shown as one, and of which node it is; "" for all of them."""
    if choice.by_node:
        return [(each.node, each.measured) for each in told]
    return [("", together(each.measured for each in told))]


# For people.


def lines(told: Sequence[Told], choice: Choice, width: int | None) -> Iterator[Line]:
    """Latencies, then failures by code, then the last of them; `width` is the terminal's."""
    yield heading(_title(told), "bold").pieces
    parts, last = _parts(told, choice), last_failures(told)
    for columns, rows in (
        (_latency_columns(), list(_latency_rows(parts))),
        (_code_columns(), list(_code_rows(parts))),
        (_failure_columns(), [_failure_row(node, each) for node, each in last[: choice.last]]),
    ):
        if rows:
            yield ()
            yield from table(columns, rows, width)
    if choice.last < len(last):
        yield heading(
            f"{len(last) - choice.last} more: `--last {len(last)}` shows all that the agents remember", "dim"
        ).pieces


def _title(told: Sequence[Told]) -> str:
    newest = max(told, key=lambda each: each.since)
    served = any(each.measured.latencies or each.measured.failures for each in told)
    what = "CNI requests" if served else "no CNI requests"
    if len(told) == 1:
        return f"{what} on {newest.node} since {_clock(newest.since)} UTC, when its agent started"
    return f"{what} on {len(told)} nodes since their agents started, the last agent at {_clock(newest.since)} UTC"


def _latency_columns() -> Sequence[Column]:
    shares = [Column(f"P{share}-MS", right=True) for share in _SHARES]
    return Column("NODE"), Column("VERB", "bold"), Column("STEP"), Column("COUNT", right=True), *shares


def _latency_rows(parts: Iterable[tuple[str, Measured]]) -> Iterator[Row]:
    for node, measured in parts:
        for (verb, step), histogram in measured.latencies.items():
            quantiles = [_milliseconds(histogram, share) for share in _SHARES]
            yield Row((node, verb, step or "whole request", str(histogram.count), *quantiles))


def _milliseconds(histogram: Histogram, share: int) -> str:
    seconds = histogram.quantile(share / 100)
    if seconds is None:
        return NOTHING
    return f"> {histogram.largest:g} s" if isinf(seconds) else _short(seconds * 1000)


def _short(milliseconds: float) -> str:
    """As many digits as mean something."""
    digits = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:.{digits}f}"


def _code_columns() -> Sequence[Column]:
    return (
        Column("NODE"),
        Column("VERB", "bold"),
        Column("CODE", "red", right=True),
        Column("FAILURES", right=True),
        Column("MEANING", fold=True),
    )


def _code_rows(parts: Iterable[tuple[str, Measured]]) -> Iterator[Row]:
    for node, measured in parts:
        for (verb, code), count in measured.failures.items():
            yield Row((node, verb, str(code), str(count), _meaning(code)))


def _meaning(code: int) -> str:
    return {each.value: each.meaning for each in ErrorCode}.get(code, "a code that this weftctl does not know")


def _failure_columns() -> Sequence[Column]:
    return (
        Column("TIME-UTC", "dim"),
        Column("NODE"),
        Column("VERB", "bold"),
        Column("POD"),
        Column("CODE", "red", right=True),
        Column("AFTER-MS", right=True),
        Column("REASON", fold=True),
    )


def _failure_row(node: str, failure: Failure) -> Row:
    pod = f"{failure.namespace}/{failure.pod}" if failure.pod else NOTHING
    code, after = str(failure.code), _short(failure.seconds * 1000)
    return Row((_clock(failure.time), node, failure.verb, pod, code, after, failure.message))


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


# For programs.


def as_json(told: Sequence[Told], silent: Iterable[Silent], choice: Choice) -> dict[str, Any]:
    """The shape is documented in docs/weftctl.md."""
    parts = _parts(told, choice)
    return {
        "nodes": [
            *({"node": each.node, "since": msgspec.to_builtins(each.since), "unseen": ""} for each in told),
            *({"node": each.node, "since": None, "unseen": each.why} for each in silent),
        ],
        "latencies": [
            {"node": node or None, "verb": verb, "step": step or None, **_quantiles(histogram)}
            for node, measured in parts
            for (verb, step), histogram in measured.latencies.items()
        ],
        "failures": [
            {"node": node or None, "verb": verb, "code": code, "meaning": _meaning(code), "count": count}
            for node, measured in parts
            for (verb, code), count in measured.failures.items()
        ],
        "last": [
            {"node": node} | msgspec.to_builtins(failure) for node, failure in last_failures(told)[: choice.last]
        ],
    }


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    """In seconds; null for what is beyond `largest`."""
    found = {f"p{share}": histogram.quantile(share / 100) for share in _SHARES}
    known = {name: None if value is None or isinf(value) else round(value, _DIGITS) for name, value in found.items()}
    return {"count": histogram.count, **known, "largest": histogram.largest}
