"""Percentiles are samples that were measured, by nearest rank."""

from __future__ import annotations

import pytest

from bench.stats import median, percentile


def test_of_a_hundred_samples_p99_is_the_second_largest() -> None:
    assert percentile(range(1, 101), 0.99) == 99


def test_p50_is_one_of_the_samples_and_order_does_not_matter() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.0


def test_the_whole_share_is_the_largest() -> None:
    assert percentile([5, 1, 9], 1.0) == 9


def test_one_sample_is_every_percentile() -> None:
    assert percentile([7], 0.01) == percentile([7], 0.99) == 7


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_a_share_outside_the_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"q={share}"):
        percentile([1], share)
