"""The relay's frame: every limit, and every refusal with its reason."""

import re

import pytest

from cni import frame
from cni.frame import (
    MAX_STDIN_BYTES,
    MAX_STDOUT_BYTES,
    MAX_VARIABLE_BYTES,
    MAX_VARIABLES,
    Answer,
    FrameError,
    Request,
    RequestParser,
    decode_answer,
    encode_answer,
    encode_request,
)

ADD = Request({"CNI_COMMAND": "ADD", "CNI_ARGS": "A=1;B=2"}, b'{"name":"weft"}')
ADD_BYTES = b'\x01\x02\x00\x00\x00\x0fCNI_COMMAND=ADD\x00\x00\x00\x10CNI_ARGS=A=1;B=2\x00\x00\x00\x0f{"name":"weft"}'


def refusal(data: bytes) -> str:
    with pytest.raises(FrameError) as caught:
        RequestParser().feed(data)
    return str(caught.value)


def test_the_layout_is_the_documented_one() -> None:
    assert encode_request(ADD) == ADD_BYTES
    assert RequestParser().feed(ADD_BYTES) == ADD


def test_a_request_arrives_byte_by_byte() -> None:
    parser = RequestParser()
    early = [parser.feed(ADD_BYTES[i : i + 1]) for i in range(len(ADD_BYTES) - 1)]
    assert set(early) == {None}
    assert parser.feed(ADD_BYTES[-1:]) == ADD
    parser.close()


def test_no_variables_and_no_stdin_is_a_request() -> None:
    assert RequestParser().feed(b"\x01\x00\x00\x00\x00\x00") == Request({}, b"")


def test_the_first_of_two_equal_names_wins_as_with_getenv() -> None:
    data = b"\x01\x02\x00\x00\x00\x07CNI_A=1\x00\x00\x00\x07CNI_A=2\x00\x00\x00\x00"
    assert RequestParser().feed(data) == Request({"CNI_A": "1"}, b"")


def test_bytes_that_are_not_utf8_survive_the_round_trip() -> None:
    odd = Request({"CNI_NETNS": b"/run/\xff\xfe".decode(errors="surrogateescape")}, b"\x00\xff")
    assert RequestParser().feed(encode_request(odd)) == odd


def test_the_largest_request_passes_and_one_byte_more_does_not() -> None:
    variables = {f"CNI_{i:02}": "x" * (MAX_VARIABLE_BYTES - 7) for i in range(MAX_VARIABLES)}
    data = encode_request(Request(variables, b"y" * MAX_STDIN_BYTES))
    assert len(data) == frame.MAX_REQUEST_BYTES
    request = RequestParser().feed(data)
    assert request is not None
    assert len(request.stdin) == MAX_STDIN_BYTES
    assert "longer than" in refusal(data + b"z")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x02\x00", "version byte is 2, expected 1"),
        (b"GE", "version byte is 71"),
        (b"\x01\x41", "65 variables, at most 64"),
        (b"\x01\x01\x00\x01\x00\x01", "variable 1 of 65537 bytes, at most 65536"),
        (b"\x01\x01\xff\xff\xff\xff", "variable 1 of 4294967295 bytes"),
        (b"\x01\x01\x00\x00\x00\x05CNI_A", "expected CNI_NAME=VALUE"),
        (b"\x01\x01\x00\x00\x00\x06PATH=/", "variable 1 is b'PATH=/'"),
        (b"\x01\x01\x00\x00\x00\x00", "variable 1 is b''"),
        (b"\x01\x00\x00\x10\x00\x01", "stdin of 1048577 bytes, at most 1048576"),
        (b"\x01\x00\x00\x00\x00\x00!", "1 bytes after the end"),
    ],
)
def test_a_refusal_says_what_was_expected(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_lengths_are_refused_before_their_bytes_are_awaited() -> None:
    parser = RequestParser()
    parser.feed(b"\x01\x00")
    with pytest.raises(FrameError):
        parser.feed(b"\xff\xff\xff\xff")
    assert parser.buffered == 0


@pytest.mark.parametrize("data", [b"\x02\x00", b"\x01\x01\0\0\0\0", b"\x01\x00\xff\xff\xff\xff", ADD_BYTES + b"x"])
def test_what_was_refused_stays_refused(data: bytes) -> None:
    """Found by `make fuzz`: a parser went on after its refusal, and without end after a variable of no bytes."""
    parser = RequestParser()
    for more in (data, b"", b"\0" * 8):
        with pytest.raises(FrameError, match=re.escape(refusal(data))):
            parser.feed(more)


def test_end_of_file_inside_a_request_is_an_error() -> None:
    parser = RequestParser()
    parser.feed(ADD_BYTES[:-1])
    with pytest.raises(FrameError, match="before it is complete"):
        parser.close()


def test_bytes_after_a_complete_request_are_an_error() -> None:
    parser = RequestParser()
    assert parser.feed(ADD_BYTES) == ADD
    assert parser.feed(b"") == ADD
    with pytest.raises(FrameError, match="after the end"):
        parser.feed(b"x")


@pytest.mark.parametrize(
    "request_",
    [
        Request({f"CNI_{i}": "" for i in range(MAX_VARIABLES + 1)}, b""),
        Request({"CNI_A": "x" * MAX_VARIABLE_BYTES}, b""),
        Request({"HOME": "/"}, b""),
        Request({}, b"x" * (MAX_STDIN_BYTES + 1)),
    ],
)
def test_what_the_parser_would_refuse_is_not_encoded(request_: Request) -> None:
    with pytest.raises(FrameError):
        encode_request(request_)


def test_answers_are_a_status_and_stdout() -> None:
    assert encode_answer(1, b"{}") == b"\x01{}"
    assert decode_answer(b"\x01{}") == Answer(1, b"{}")
    assert decode_answer(encode_answer(0, b"")) == Answer(0, b"")
    assert len(decode_answer(encode_answer(0, b"x" * MAX_STDOUT_BYTES)).stdout) == MAX_STDOUT_BYTES


def test_answers_outside_the_limits_are_refused() -> None:
    for status, stdout in ((256, b""), (-1, b""), (0, b"x" * (MAX_STDOUT_BYTES + 1))):
        with pytest.raises(FrameError):
            encode_answer(status, stdout)
    for data in (b"", b"x" * (MAX_STDOUT_BYTES + 2)):
        with pytest.raises(FrameError):
            decode_answer(data)
