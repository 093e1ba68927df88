"""Bars: met at the bar itself, missed above it, and not passed over when nothing was measured."""

from __future__ import annotations

import pytest

from bench.bars import BARS, Bar, judge, ours, ratio, spread
from bench.cases import CASES
from bench.metric import Metric, Peer

LIMIT = Bar("case", "at most 2 s", ours("case", "seconds"), 2.0)


def _seconds(value: float) -> list[Metric]:
    return [Metric("case", "seconds", value, 1)]


@pytest.mark.parametrize(
    ("value", "met", "words"),
    [(1.5, True, "met, 25% below"), (2.0, True, "met, 0% below"), (3.0, False, "missed by 50%")],
)
def test_a_verdict_says_by_how_much(value: float, met: bool, words: str) -> None:
    (verdict,) = judge(_seconds(value), [LIMIT])
    assert (verdict.met, str(verdict)) == (met, words)


@pytest.mark.parametrize(("value", "words"), [(0, "met"), (3, "missed: 3")])
def test_a_bar_of_none_has_no_percentage(value: int, words: str) -> None:
    bar = Bar("case", "none", ours("case", "count"), 0)
    (verdict,) = judge([Metric("case", "count", value, 1)], [bar])
    assert str(verdict) == words


def test_what_was_not_measured_is_not_met() -> None:
    (verdict,) = judge([], [LIMIT])
    assert (verdict.met, verdict.value, str(verdict)) == (False, None, "not measured")


def test_a_ratio_bar_needs_a_peer() -> None:
    bar = Bar("case", "half", ratio("case", "seconds"), 0.5)
    (without,) = judge(_seconds(1.0), [bar])
    (with_peer,) = judge([Metric("case", "seconds", 1.0, 1, Peer("p", 4.0))], [bar])
    assert (without.value, with_peer.value) == (None, 0.25)


def test_the_spread_is_our_own_tail() -> None:
    metrics = [Metric("case", "p50_ms", 10.0, 9, Peer("p", 1.0)), Metric("case", "p99_ms", 25.0, 9, Peer("p", 90.0))]
    (verdict,) = judge(metrics, [Bar("case", "tail", spread("case"), 3.0)])
    assert verdict.value == 2.5


def test_every_bar_belongs_to_a_case() -> None:
    assert {bar.case for bar in BARS} == CASES.keys()


def test_a_verdict_for_every_bar_in_order() -> None:
    assert [verdict.bar for verdict in judge([], BARS)] == list(BARS)
