"""The fast parser gives what the library's own gives, however the bytes are cut, and leaves the rest alone."""

import importlib.util
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ovsdb.wire import Parser

# The library's parser as it is shipped: the imported one is ours by now.
_spec = importlib.util.find_spec("ovs.json")
_slow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_slow)

# No NUL: the library refuses it in strings. No fractions: no column that Weft registers has them.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**62), 2**62), text)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=15)
messages = st.one_of(st.lists(values), st.dictionaries(text, values))
dumps = st.sampled_from(
    [
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(value, indent=2, separators=(",", ":")),
    ]
)


def parse(parser_class, chunks):
    """One value from chunks, and the text that was not used; None while it has not ended."""
    parser = parser_class()
    for n, chunk in enumerate(chunks):
        used = parser.feed(chunk)
        if parser.is_done():
            return parser.finish(), chunk[used:] + "".join(chunks[n + 1 :])
    return None


def cut(text, points):
    edges = [0, *sorted(point % (len(text) + 1) for point in points), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@given(messages, dumps, st.lists(st.integers(0, 10_000), max_size=6))
def test_the_same_value_however_it_is_cut(message, dump, points):
    chunks = cut(dump(message), points)
    assert parse(Parser, chunks) == parse(_slow.Parser, chunks) == (message, "")


@given(st.lists(messages, min_size=2, max_size=4), dumps, st.lists(st.integers(0, 10_000), max_size=6))
def test_what_follows_a_message_is_left_for_the_next(several, dump, points):
    left = "".join(map(dump, several))
    for expected in several:
        got = parse(Parser, cut(left, points))
        assert got is not None
        value, left = got
        assert value == expected
    assert left == ""


@given(messages, st.integers(1, 10_000))
def test_a_message_that_has_not_ended_is_not_done(message, point):
    whole = json.dumps(message)
    assert parse(Parser, [whole[: point % len(whole)]]) is None


@given(st.text(max_size=30))
def test_garbage_is_an_error_text_or_still_open_but_never_a_crash(garbage):
    got = parse(Parser, [garbage])
    if got is not None:
        value, _ = got
        assert isinstance(value, str | dict | list)


@given(messages, st.sampled_from(["", " ", "x", "{}"]))
def test_with_trailer_check_only_white_space_may_follow(message, trailer):
    parser = Parser(check_trailer=True)
    parser.feed(json.dumps(message) + trailer)
    assert (parser.finish() == message) == (not trailer.strip())


def test_a_message_longer_than_a_read_comes_out_whole():
    message = {"rows": [["uuid", f"{n:032x}"] for n in range(2000)]}
    whole = json.dumps(message)
    assert parse(Parser, [whole[n : n + 4096] for n in range(0, len(whole), 4096)]) == (message, "")


def test_nesting_beyond_all_measure_is_an_error():
    got = parse(Parser, ["[" * 100_000 + "]" * 100_000])
    assert got is not None
    assert isinstance(got[0], str)
