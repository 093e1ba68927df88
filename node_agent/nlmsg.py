"""Netlink messages as bytes: framing, attributes, and the errors the kernel answers with (pure; netlink(7))."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

REQUEST, ACK, ECHO, DUMP = 0x1, 0x4, 0x8, 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
NLMSG_ERROR, NLMSG_DONE = 2, 3
DUMP_INTERRUPTED = 0x10

_ACK_TLVS = 0x200
_ERROR_MESSAGE = 1  # NLMSGERR_ATTR_MSG
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Request:
    """One message to the kernel, and what it is in words (for errors and logs).

    ``tolerate``: errno values that mean "already so" and are not failures.
    """

    kind: int
    flags: int
    body: bytes
    what: str
    tolerate: frozenset[int] = frozenset()


class NetlinkError(OSError):
    """The kernel refused a request. The message names the operation, its object and the kernel's reason."""

    def __init__(self, what: str, code: int, detail: str = "") -> None:
        reason = os.strerror(code) + (f" ({detail})" if detail else "")
        super().__init__(code, f"cannot {what}: {reason}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Reply:
    kind: int
    flags: int
    sequence: int
    body: bytes


def attribute(kind: int, *parts: bytes) -> bytes:
    """One attribute; with several parts, or attributes as parts, a nest. Padded to four bytes."""
    payload = b"".join(parts)
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in ``data`` by kind (without the nested and byte-order flags)."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def encode(request: Request, sequence: int, flags: int) -> bytes:
    length = _HEADER.size + len(request.body)
    return _HEADER.pack(length, request.kind, REQUEST | request.flags | flags, sequence, 0) + request.body


def split(data: bytes) -> Iterator[Reply]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            break
        yield Reply(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3


def was_so(request: Request, reply: Reply) -> bool:
    """Whether an acknowledgement says that there was nothing to do: an error that the request tolerates."""
    return _code(reply) in request.tolerate


def failure_of(request: Request, reply: Reply) -> NetlinkError | None:
    """The error in an acknowledgement or at the end of a dump, if there is one that matters."""
    code = _code(reply)
    if code == 0 or code in request.tolerate:
        return None
    # An acknowledgement repeats the request's header before its attributes; the end of a dump does not.
    start = 4 + (_HEADER.size if reply.kind == NLMSG_ERROR else 0)
    tlvs = attributes(reply.body[start:]) if reply.flags & _ACK_TLVS else {}
    return NetlinkError(request.what, code, tlvs.get(_ERROR_MESSAGE, b"").rstrip(b"\0").decode(errors="replace"))


def _code(reply: Reply) -> int:
    return -int(_INT.unpack_from(reply.body)[0]) if len(reply.body) >= _INT.size else 0
