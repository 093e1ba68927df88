"""The frame under every split and every kind of garbage."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cni.frame import (
    MAX_VARIABLES,
    Answer,
    Request,
    decode_answer,
    encode_answer,
    encode_request,
)
from fuzz.frame import outcome

NAMES = st.text(st.characters(exclude_characters="=", codec="utf-8"), max_size=8).map("CNI_".__add__)
# Any bytes can be in an environment; os.environ shows them like this.
VALUES = st.binary(max_size=40).map(lambda raw: raw.decode(errors="surrogateescape"))
REQUESTS = st.builds(Request, st.dictionaries(NAMES, VALUES, max_size=MAX_VARIABLES), st.binary(max_size=400))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(REQUESTS, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_a_request_gives_the_request(request: Request, cuts: list[int]) -> None:
    assert outcome(pieces(encode_request(request), cuts)) == request


@given(REQUESTS, st.data())
def test_no_prefix_of_a_request_is_a_request(request: Request, data: st.DataObject) -> None:
    encoded = encode_request(request)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert outcome([encoded[:cut]]) is None


@settings(max_examples=300)
@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6))
def test_garbage_is_refused_or_awaited_the_same_however_it_is_split(garbage: bytes, cuts: list[int]) -> None:
    whole, split = outcome([garbage]), outcome(pieces(garbage, cuts))
    # How many bytes follow a complete request depends on when they came; that it is refused does not.
    assert split == whole or (isinstance(whole, str) and isinstance(split, str))


@settings(max_examples=300)
@given(REQUESTS, st.data())
def test_a_damaged_request_is_refused_or_is_another_request(request: Request, data: st.DataObject) -> None:
    encoded = bytearray(encode_request(request))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    result = outcome([bytes(encoded)])
    if isinstance(result, Request):
        assert outcome([encode_request(result)]) == result


@given(st.integers(0, 255), st.binary(max_size=300))
def test_answers_round_trip(status: int, stdout: bytes) -> None:
    assert decode_answer(encode_answer(status, stdout)) == Answer(status, stdout)
