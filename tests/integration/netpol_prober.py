"""Who reaches whom by what, all at once: non-blocking sockets that are made inside the network namespaces."""

from __future__ import annotations

import errno
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from lab import netns
from lab.reachability import echo_reply, echo_request

WAIT_SECONDS = 0.4
"""After that a way without an answer is denied. The kernel sends a SYN again only after a second."""
AGAIN_SECONDS = (0.1, 0.25)
"""When datagrams and echoes are sent again."""
_QUESTION = b"hostname"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the connection ends at once, without TIME_WAIT.
_TYPES = {4: 0, 6: 129}  # of an echo's reply: RFC 792, RFC 4443


class Way(NamedTuple):
    """From whom to whom, TCP, UDP or ICMP, a port (0 of ICMP), and 4 or 6."""

    source: str
    target: str
    protocol: str
    port: int
    family: int

    def __str__(self) -> str:
        return f"{self.source}>{self.target} {self.protocol}{self.port or ''} v{self.family}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody runs; `ips` are IPv4 and IPv6, and `hostname` what the servers there answer."""

    namespace: Path
    ips: tuple[str, str]
    hostname: str = ""


@dataclass(eq=False, slots=True)
class _Probe:
    """`token` is what the answer has to have."""

    way: Way
    sock: socket.socket
    address: tuple[str, int]
    token: bytes
    events: ClassVar[int] = selectors.EVENT_READ

    def ask(self) -> None:
        raise NotImplementedError

    def ask_again(self) -> None:
        self.ask()

    def answer(self) -> bool | None:
        """Whether what has happened to the socket is an answer; None: it was somebody else's."""
        raise NotImplementedError


class _Connect(_Probe):
    events = selectors.EVENT_WRITE

    def ask(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        code = self.sock.connect_ex(self.address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, f"{self.way}: cannot connect")

    def ask_again(self) -> None:
        """The kernel does that by itself."""

    def answer(self) -> bool | None:
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class _Datagram(_Probe):
    def ask(self) -> None:
        with suppress(OSError):  # not sent is not answered
            self.sock.sendto(_QUESTION, self.address)

    def answer(self) -> bool | None:
        with suppress(OSError):
            data, sender = self.sock.recvfrom(64)
            return data == self.token and sender[:2] == self.address
        return False


class _Echo(_Probe):
    """A connected raw socket gets what comes from its target only, and the filter leaves replies of that."""

    def ask(self) -> None:
        _only_replies(self.sock, self.way.family)
        self.sock.connect(self.address)
        self.ask_again()

    def ask_again(self) -> None:
        with suppress(OSError):
            self.sock.send(echo_request(self.way.family, int.from_bytes(self.token, "big"), 1))

    def answer(self) -> bool | None:
        with suppress(OSError):
            found = echo_reply(self.way.family, self.sock.recv(2048))
            return True if found == (int.from_bytes(self.token, "big"), 1) else None
        return None


_KINDS: dict[str, tuple[type[_Probe], socket.SocketKind]] = {
    "TCP": (_Connect, socket.SOCK_STREAM),
    "UDP": (_Datagram, socket.SOCK_DGRAM),
    "ICMP": (_Echo, socket.SOCK_RAW),
}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


def reached(ways: Iterable[Way], places: dict[str, Place], wait: float = WAIT_SECONDS) -> set[Way]:
    """Those of the ways where an answer came within `wait` seconds."""
    by_source: dict[str, list[Way]] = {}
    for way in ways:
        by_source.setdefault(way.source, []).append(way)
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for source, mine in by_source.items():
            for probe in netns.run_in(places[source].namespace, lambda of=mine: _probes(of, places)):
                stack.enter_context(probe.sock)
                selector.register(probe.sock, probe.events, probe)
        return _answered(selector, wait)


def _probes(ways: Sequence[Way], places: dict[str, Place]) -> list[_Probe]:
    return [_probe(way, places[way.target]) for way in ways]


def _probe(way: Way, target: Place) -> _Probe:
    made, kind = _KINDS[way.protocol]
    sock = socket.socket(_FAMILIES[way.family], kind, _ICMP[way.family] if kind is socket.SOCK_RAW else 0)
    sock.setblocking(False)
    token = secrets.token_bytes(2) if kind is socket.SOCK_RAW else target.hostname.encode()
    return made(way, sock, (target.ips[way.family == 6], way.port), token)


def _only_replies(sock: socket.socket, family: int) -> None:
    """ICMP_FILTER (raw(7)) or ICMP6_FILTER (RFC 3542): types are bits of a row of words; those set are blocked."""
    words = [0xFFFFFFFF] * (1 if family == 4 else 8)
    words[_TYPES[family] // 32] &= ~(1 << _TYPES[family] % 32)
    level = 255 if family == 4 else socket.IPPROTO_ICMPV6
    sock.setsockopt(level, 1, struct.pack(f"={len(words)}I", *words))


def _answered(selector: selectors.BaseSelector, wait: float) -> set[Way]:
    for key in list(selector.get_map().values()):
        key.data.ask()
    begun, found = time.monotonic(), set()
    again = [begun + seconds for seconds in AGAIN_SECONDS]
    while selector.get_map() and (now := time.monotonic()) < begun + wait:
        if again and now >= again[0]:
            again.pop(0)
            for key in list(selector.get_map().values()):
                key.data.ask_again()
        for key, _ in selector.select(0.02):
            said = key.data.answer()
            if said is not None:
                selector.unregister(key.fileobj)
            if said:
                found.add(key.data.way)
    return found
