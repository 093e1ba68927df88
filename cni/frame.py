"""The frame between the relay (`cni/relay.c`) and the agent, parsed without I/O.

The relay runs on the host for every CNI call and may be killed at any byte, and the socket is a trust
border; so the parser takes bytes as they come, holds no more than the limits below, and knows no error
but `FrameError`. All integers are big-endian:

    request:  u8 version = 1
              u8 number of variables, at most MAX_VARIABLES
              per variable: u32 length, then that many bytes "NAME=VALUE" (every CNI_* variable)
              u32 length, then that many bytes of stdin
    answer:   u8 exit status, then the bytes for stdout until end of file

The relay does not half-close: end of file on the agent's side means that the relay was killed.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

VERSION = 1
PREFIX = "CNI_"
MAX_VARIABLES = 64
MAX_VARIABLE_BYTES = 64 * 1024
MAX_STDIN_BYTES = 1024 * 1024
MAX_STDOUT_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 2 + MAX_VARIABLES * (4 + MAX_VARIABLE_BYTES) + 4 + MAX_STDIN_BYTES


class FrameError(ValueError):
    """Bytes that are not a frame; the text says where and what was expected."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the runtime gave the plugin: the `CNI_*` variables and stdin.

    Bytes of a variable that are not UTF-8 appear as lone surrogates, as in `os.environ`.
    """

    env: Mapping[str, str]
    stdin: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the relay does with it: prints `stdout`, exits with `status`."""

    status: int
    stdout: bytes


class RequestParser:
    """Incremental parser of one request. Twice the same bytes, split differently, give the same request."""

    def __init__(self) -> None:
        self._grammar = _grammar()
        self._need = next(self._grammar)
        self._buffer = bytearray()
        self._fed = 0
        self._request: Request | None = None
        self._refused = ""

    @property
    def buffered(self) -> int:
        """Bytes held that are not yet part of a parsed field."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Request | None:
        """The request when it is complete, None while more bytes are needed. Errors: FrameError, once and for all."""
        if self._refused:
            raise FrameError(self._refused)
        try:
            return self._parse(data)
        except FrameError as e:
            self._refused = str(e)
            raise

    def close(self) -> None:
        """Says that no more bytes come. Errors: FrameError when the request is not complete."""
        if self._request is None:
            raise FrameError(f"request ends after {self._fed} bytes, before it is complete")

    def _parse(self, data: bytes) -> Request | None:
        self._fed += len(data)
        if self._fed > MAX_REQUEST_BYTES:
            raise FrameError(f"request is longer than {MAX_REQUEST_BYTES} bytes")
        self._buffer += data
        while self._request is None and len(self._buffer) >= self._need:
            self._take()
        if self._request is not None and self._buffer:
            raise FrameError(f"{len(self._buffer)} bytes after the end of the request")
        return self._request

    def _take(self) -> None:
        chunk = bytes(self._buffer[: self._need])
        del self._buffer[: self._need]
        try:
            self._need = self._grammar.send(chunk)
        except StopIteration as done:
            self._request = done.value


def _grammar() -> Generator[int, bytes, Request]:
    """The request as a sequence of reads: yields how many bytes it needs, is sent exactly these."""
    version, count = yield 2
    if version != VERSION:
        raise FrameError(f"version byte is {version}, expected {VERSION}: relay and agent are of different releases")
    if count > MAX_VARIABLES:
        raise FrameError(f"{count} variables, at most {MAX_VARIABLES} are allowed")
    env: dict[str, str] = {}
    for index in range(count):
        size = _size((yield 4), MAX_VARIABLE_BYTES, f"variable {index + 1}")
        name, value = _pair((yield size), index + 1)
        env.setdefault(name, value)  # the first wins, as with getenv()
    size = _size((yield 4), MAX_STDIN_BYTES, "stdin")
    return Request(env, (yield size))


def _size(raw: bytes, limit: int, what: str) -> int:
    size = int.from_bytes(raw, "big")
    if size > limit:
        raise FrameError(f"{what} of {size} bytes, at most {limit} are allowed")
    return size


def _pair(raw: bytes, position: int) -> tuple[str, str]:
    name, equals, value = raw.decode(errors="surrogateescape").partition("=")
    if not equals or not name.startswith(PREFIX):
        raise FrameError(f"variable {position} is {raw[:40]!r}, expected {PREFIX}NAME=VALUE")
    return name, value


def encode_request(request: Request) -> bytes:
    """A request as the relay writes it. Errors: FrameError for what no relay would send."""
    if len(request.env) > MAX_VARIABLES:
        raise FrameError(f"{len(request.env)} variables, at most {MAX_VARIABLES} are allowed")
    out = bytearray((VERSION, len(request.env)))
    for position, (name, value) in enumerate(request.env.items(), start=1):
        pair = f"{name}={value}".encode(errors="surrogateescape")
        _pair(pair, position)
        out += _sized(pair, MAX_VARIABLE_BYTES, name)
    return bytes(out + _sized(request.stdin, MAX_STDIN_BYTES, "stdin"))


def _sized(data: bytes, limit: int, what: str) -> bytes:
    if len(data) > limit:
        raise FrameError(f"{what} of {len(data)} bytes, at most {limit} are allowed")
    return len(data).to_bytes(4, "big") + data


def encode_answer(status: int, stdout: bytes) -> bytes:
    """An answer for the relay. The relay takes only nothing or one JSON object as `stdout`."""
    if not 0 <= status <= 255:
        raise FrameError(f"exit status {status}, expected 0-255")
    if len(stdout) > MAX_STDOUT_BYTES:
        raise FrameError(f"stdout of {len(stdout)} bytes, at most {MAX_STDOUT_BYTES} are allowed")
    return bytes((status,)) + stdout


def decode_answer(data: bytes) -> Answer:
    """The answer in all bytes received until end of file. Errors: FrameError."""
    if not data:
        raise FrameError("answer is empty: the agent closed the connection before its exit status")
    if len(data) > 1 + MAX_STDOUT_BYTES:
        raise FrameError(f"answer of {len(data)} bytes, at most {1 + MAX_STDOUT_BYTES} are allowed")
    return Answer(data[0], data[1:])
