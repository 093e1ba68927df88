"""Target: the parser of request frames (`cni.frame`), under any bytes in any pieces."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from random import Random

from cni.frame import (
    MAX_STDIN_BYTES,
    MAX_STDOUT_BYTES,
    FrameError,
    Request,
    RequestParser,
    decode_answer,
    encode_answer,
    encode_request,
)
from fuzz.laws import Violation, demand
from fuzz.mutate import Check, Mutate, mutated_request

_BYTEWISE = 64  # bytes at either end that are fed one by one


@contextmanager
def opened() -> Iterator[Check]:
    yield check


def mutate(data: bytes, random: Random, plain: Mutate) -> bytes:
    """Mostly the bytes themselves; now and then another request, whole."""
    return plain(data) if random.random() < 0.7 else mutated_request(data, random, plain)


def check(data: bytes) -> None:
    """A request, a refusal or more bytes wanted, however the bytes are split; what was refused stays refused."""
    whole, split = outcome([data]), outcome(_pieces(data))
    # How many bytes follow a complete request depends on when they came; that it is refused does not.
    demand(split == whole or (isinstance(split, str) and isinstance(whole, str)), "splitting changes nothing")
    if isinstance(whole, Request):
        demand(outcome([encode_request(whole)]) == whole, "a request can be encoded again")
    _check_answer(data)


def outcome(pieces: Iterable[bytes]) -> Request | str | None:
    """What a parser says to these pieces; a refusal by its words."""
    parser = RequestParser()
    result = None
    for piece in pieces:
        try:
            result = parser.feed(piece)
        except FrameError as e:
            _demand_final(parser)
            return str(e)
        demand(parser.buffered <= MAX_STDIN_BYTES, "no more is held than the largest field")
    _demand_closed(parser, result)
    return result


def _demand_final(parser: RequestParser) -> None:
    try:
        parser.feed(b"\0")
    except FrameError:
        return
    raise Violation("a parser that has refused goes on refusing")


def _demand_closed(parser: RequestParser, result: Request | None) -> None:
    try:
        parser.close()
        closed = True
    except FrameError:
        closed = False
    demand(closed == (result is not None), "close() refuses exactly what is incomplete")


def _pieces(data: bytes) -> list[bytes]:
    """Byte by byte at both ends, where the lengths of short requests are, and one piece between."""
    cuts = {*range(_BYTEWISE), *range(len(data) - _BYTEWISE, len(data))}
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def _check_answer(data: bytes) -> None:
    try:
        answer = decode_answer(data)
    except FrameError:
        demand(not 1 <= len(data) <= 1 + MAX_STDOUT_BYTES, "an answer is refused for its length only")
        return
    demand(encode_answer(answer.status, answer.stdout) == data, "an answer can be encoded again")
