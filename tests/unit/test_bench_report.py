"""Results for people: aligned on a terminal, and a page that does not hide what was missed."""

from __future__ import annotations

from datetime import date

from bench.bars import Bar, judge, ours
from bench.metric import Metric, Peer
from bench.report import Run, markdown, table

METRICS = [
    Metric("program", "seconds", 0.657, 5, Peer("ovs-ofctl", 1.05)),
    Metric("memory-agent", "peak_mb", 44.7, 2),
]
MET = Bar("program", "at most 1 s", ours("program", "seconds"), 1.0)
MISSED = Bar("memory", "at most 40 MB", ours("memory-agent", "peak_mb"), 40.0, why="The library is large.")


def _page(failed: tuple[tuple[str, str], ...] = ()) -> str:
    run = Run(METRICS, judge(METRICS, [MET, MISSED]), failed)
    return markdown(run, ("2 cores",), date(2026, 11, 23))


def test_the_columns_of_a_table_are_aligned() -> None:
    head, first, second = table(METRICS).splitlines()
    assert head.split() == ["case", "metric", "ours", "peer", "ratio", "n"]
    assert first.split() == ["program", "seconds", "0.657", "s", "1.05", "s", "(ovs-ofctl)", "0.63", "5"]
    assert head.index("metric") == first.index("seconds") == second.index("peak_mb")
    assert len(head) == len(first) == len(second)


def test_nothing_measured_is_a_head_alone() -> None:
    assert table([]).split() == ["case", "metric", "ours", "peer", "ratio", "n"]


def test_the_page_has_date_machine_and_every_figure() -> None:
    page = _page()
    assert "2026-11-23" in page
    assert "- 2 cores" in page
    assert "| program | seconds | 0.657 s | 1.05 s (ovs-ofctl) | 0.63 | 5 |" in page
    assert "| memory-agent | peak_mb | 44.7 MB |  |  | 2 |" in page


def test_the_page_says_what_was_missed_by_how_much_and_why() -> None:
    page = _page()
    assert "**1 of 2 bars are met.**" in page
    assert "| program | at most 1 s | 0.657 | ≤ 1 | met, 34% below |" in page
    assert "- **memory, at most 40 MB**: missed by 12%. The library is large." in page


def test_the_page_names_cases_that_could_not_be_carried_out() -> None:
    assert "- **throughput** could not be carried out: iperf3 is missing" in _page(
        (("throughput", "iperf3 is missing"),)
    )


def test_a_page_without_misses_has_no_section_for_them() -> None:
    page = markdown(Run(METRICS, judge(METRICS, [MET]), ()), (), date(2026, 11, 23))
    assert "falls short" not in page
