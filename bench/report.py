"""Results for people: a table on the terminal, and bench/results.md. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from bench.bars import Verdict
from bench.metric import Metric


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run found. `failed` has the cases that could not be carried out, with why."""

    metrics: Sequence[Metric]
    verdicts: Sequence[Verdict]
    failed: Sequence[tuple[str, str]]


_HEAD = ("case", "metric", "ours", "peer", "ratio", "n")
_LEFT = 2


def table(metrics: Iterable[Metric]) -> str:
    """Aligned columns, the first two to the left."""
    rows = [_HEAD, *map(_row, metrics)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.ljust(width) if column < _LEFT else text.rjust(width)


def _row(metric: Metric) -> tuple[str, ...]:
    peer = f"{_number(metric.peer.value, metric.unit)} ({metric.peer.name})" if metric.peer else ""
    ratio = "" if metric.ratio is None else f"{metric.ratio:.2f}"
    return metric.case, metric.metric, _number(metric.ours, metric.unit), peer, ratio, str(metric.n)


def _number(value: float, unit: str) -> str:
    text = f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def markdown(run: Run, machine: Sequence[str], day: date) -> str:
    """The text of bench/results.md."""
    met = sum(verdict.met for verdict in run.verdicts)
    parts = [
        "# Benchmark results",
        f"Written by `python -m bench all` (`make bench`) on {day.isoformat()}. **{met} of {len(run.verdicts)} bars "
        "are met.**",
        "\n".join(f"- {line}" for line in machine),
        "A ratio is cost of ours over cost of the peer, from one run in which both took turns: below 1 is better, "
        "for throughput too. Absolute figures depend on the machine and on what else it does; ratios much less.",
        "## Bars",
        _bars(run.verdicts),
        *_short(run),
        "## All figures",
        _markdown_table(_HEAD, map(_row, run.metrics)),
    ]
    return "\n\n".join(parts) + "\n"


def _bars(verdicts: Iterable[Verdict]) -> str:
    rows = ((v.bar.case, v.bar.promise, _value(v), f"≤ {v.bar.at_most:g}", str(v)) for v in verdicts)
    return _markdown_table(("case", "promise", "found", "bar", ""), rows)


def _value(verdict: Verdict) -> str:
    return "" if verdict.value is None else f"{verdict.value:.3g}"


def _short(run: Run) -> Iterable[str]:
    missed = [f"- **{v.bar.case}, {v.bar.promise}**: {v}. {v.bar.why}".rstrip() for v in run.verdicts if not v.met]
    missed += [f"- **{case}** could not be carried out: {why}" for case, why in run.failed]
    if missed:
        yield "## Where it falls short"
        yield "\n".join(missed)


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
