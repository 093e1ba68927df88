"""A quantile that is estimated from a histogram lies in the bucket of the true one, and rises with the share."""

from bisect import bisect_left
from math import ceil, inf

from hypothesis import given
from hypothesis import strategies as st

from cli.histogram import Histogram

values = st.lists(st.floats(0.001, 20), max_size=40)
bounds = st.sets(st.floats(0.01, 10), min_size=1, max_size=8).map(lambda found: (*sorted(found), inf))
shares = st.floats(0.001, 1)


def made(bounds, values):
    return Histogram.of({bound: sum(value <= bound for value in values) for bound in bounds})


@given(bounds, values.filter(bool), shares)
def test_it_lies_in_the_bucket_of_the_value_that_it_stands_for(bounds, values, share):
    true = sorted(values)[ceil(share * len(values)) - 1]
    at = bisect_left(bounds, true)
    found = made(bounds, values).quantile(share)
    assert (bounds[at - 1] if at else 0) <= found <= bounds[at] * (1 + 1e-9)


@given(bounds, values.filter(bool), shares, shares)
def test_it_rises_with_the_share(bounds, values, one, two):
    histogram = made(bounds, values)
    less, more = sorted((one, two))
    assert histogram.quantile(less) <= histogram.quantile(more) * (1 + 1e-9)


@given(bounds, values, values)
def test_a_sum_is_the_histogram_of_all_values(bounds, some, others):
    assert made(bounds, some) + made(bounds, others) == made(bounds, some + others)
