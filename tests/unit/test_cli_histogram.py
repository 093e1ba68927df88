"""Quantiles of histograms, beside values worked out by hand after Prometheus' histogram_quantile."""

from math import inf

import pytest

from cli.histogram import Histogram

EVEN = Histogram.of({1.0: 10, 2.0: 20, 4.0: 40, inf: 40})
BEYOND = Histogram.of({inf: 10, 1.0: 8})


@pytest.mark.parametrize(
    ("histogram", "share", "value"),
    [
        (EVEN, 0.125, 0.5),  # the first bucket begins at 0
        (EVEN, 0.25, 1.0),
        (EVEN, 0.5, 2.0),
        (EVEN, 0.75, 3.0),
        (EVEN, 0.99, 3.96),
        (EVEN, 1.0, 4.0),
        (BEYOND, 0.4, 0.5),
        (BEYOND, 0.8, 1.0),
        (BEYOND, 0.9, inf),
        (Histogram.of({1.0: 0, 2.0: 0, 4.0: 1, inf: 1}), 0.5, 3.0),  # empty buckets before it
        (Histogram.of({1.0: 0, inf: 0}), 0.5, None),
    ],
)
def test_quantiles(histogram: Histogram, share: float, value: float | None) -> None:
    assert histogram.quantile(share) == (value if value is None else pytest.approx(value))


def test_count_and_what_can_be_told_at_most() -> None:
    assert (BEYOND.count, BEYOND.largest) == (10, 1.0)


def test_a_sum_is_exact_where_both_have_a_bound() -> None:
    """Agents of two releases may have different buckets."""
    assert EVEN + Histogram.of({1.0: 1, 3.0: 2, 4.0: 4, inf: 5}) == Histogram.of({1.0: 11, 4.0: 44, inf: 45})


def test_without_a_common_bound_only_the_count_is_left() -> None:
    found = EVEN + Histogram.of({0.5: 1, inf: 2})
    assert (found.count, found.largest, found.quantile(0.5)) == (42, 0.0, inf)
