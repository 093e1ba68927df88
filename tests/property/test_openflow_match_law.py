"""A match is a set of conditions: order and repetition do not matter, and together they mean all of them."""

from contextlib import suppress
from enum import IntEnum

from hypothesis import assume, given
from hypothesis import strategies as st
from openflow_strategies import fields, terms

from openflow.errors import SpecError
from openflow.fields import LAYOUT
from openflow.match import match, where
from openflow.oxm import BY_NAME, CT_MARK

# Fields without prerequisites, so that any combination of them is a match.
FREE = st.sampled_from([CT_MARK, *(BY_NAME[f"xreg{n}"] for n in range(3)), BY_NAME["pkt_mark"], BY_NAME["tun_id"]])
lists = st.lists(terms(FREE), max_size=5)


def merged(chosen):
    """The match, or None where its terms contradict each other."""
    with suppress(SpecError):
        return match(*chosen)
    return None


@given(lists, st.randoms())
def test_order_and_repetition_do_not_matter(chosen, random):
    shuffled = [*chosen, *chosen]
    random.shuffle(shuffled)
    assert merged(shuffled) == merged(chosen)


@given(lists)
def test_one_term_a_field_in_the_order_of_open_vswitch(chosen):
    made = merged(chosen)
    assume(made is not None)
    ranks = [term.field.rank for term in made]
    assert ranks == sorted(set(ranks))
    assert match(made) == made


@given(FREE, st.data())
def test_a_value_meets_the_match_exactly_if_it_meets_every_term(on, data):
    chosen = data.draw(st.lists(terms(st.just(on)), min_size=1, max_size=3))
    value = data.draw(st.integers(0, on.full) | st.sampled_from([term.value for term in chosen]))
    made = merged(chosen)
    every = all(value & term.mask == term.value for term in chosen)
    assert every == (made is not None and all(value & term.mask == term.value for term in made))


def values_of(part):
    if issubclass(part.meaning, IntEnum):
        return st.sampled_from(part.meaning)
    return st.integers(0, (1 << part.width) - 1).map(part.meaning)


@given(st.sampled_from(LAYOUT), st.sampled_from(LAYOUT), st.data())
def test_two_meanings_never_contradict_each_other(one, two, data):
    assume(one is not two)
    values = [data.draw(values_of(part)) for part in (one, two)]
    assert match(*map(where, values))


@given(fields, st.data())
def test_a_term_takes_exactly_the_values_that_fit_its_mask(on, data):
    value, mask = (data.draw(st.integers(-1, on.full + 1)) for _ in range(2))
    fits = 0 <= mask <= on.full and value >= 0 and value & ~mask == 0
    try:
        assert len(on.encode(value, mask)) in (4 + on.size, 4 + 2 * on.size)
    except SpecError:
        assert not fits
    else:
        assert fits
