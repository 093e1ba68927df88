"""Spans are sets: every operation is that of the sets of their numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from node_agent import spans

SPAN = st.tuples(st.integers(-30, 30), st.integers(0, 12)).map(lambda each: (each[0], each[0] + each[1]))
ANY = st.lists(SPAN, max_size=6)
DISJOINT = ANY.map(spans.merged)


def numbers(some):
    return {n for first, last in some for n in range(first, last + 1)}


@given(ANY)
def test_merged_is_the_same_numbers_each_once(some):
    merged = spans.merged(some)
    assert numbers(merged) == numbers(some)
    assert spans.size(merged) == len(numbers(some))
    assert all(one[1] + 1 < two[0] for one, two in pairwise(merged))


@given(DISJOINT, DISJOINT)
def test_both_is_the_intersection(some, others):
    assert numbers(spans.both(some, others)) == numbers(some) & numbers(others)
    assert spans.size(spans.both(some, others)) == len(numbers(some) & numbers(others))


@given(DISJOINT, ANY)
def test_less_is_the_difference(some, others):
    left = spans.less(some, others)
    assert numbers(left) == numbers(some) - numbers(others)
    assert spans.size(left) == len(numbers(left))


@given(DISJOINT, st.integers(-50, 50))
def test_in_turn_is_every_number_once_and_begins_after_one(some, after):
    turn = list(spans.in_turn(some, after))
    ordered = sorted(numbers(some))
    assert turn == [n for n in ordered if n > after] + [n for n in ordered if n <= after]
