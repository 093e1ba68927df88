"""The listening socket of the OpenFlow channel, and the switches' connections as os-ken is to have them."""

import os
import socket
import ssl
import stat
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from openflow.tls_socket import TlsSocket

TLS_SECONDS = 10.0
"""How long a handshake may take in all."""
HANDSHAKES = 16
"""Handshakes that one host may have under way: a node has one switch, and each costs a thread."""

_LAST_PORT = 65535
_LOCAL_BUFFER = 4 << 20
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>; Python's socket module does not have it


class TooManyHandshakes(ConnectionError):  # noqa: N818 - reads as what happened
    """A host has more handshakes under way than any node needs."""

    reason = "too-many"


class Tls(Protocol):
    """How connections of switches are secured. Called from the connections' own threads."""

    def context(self) -> ssl.SSLContext:
        """For one connection."""

    def admit(self, certificate: Mapping[str, Any]) -> None:
        """Whether the holder of this verified certificate may be a switch of ours. OSError: not, and why."""

    def refused(self, peer: str, error: OSError) -> object:
        """A connection with this host came to nothing."""


class UnixSocket(socket.socket):
    """A unix socket that bears being asked for TCP options, which os-ken does to every connection."""

    def setsockopt(self, level: int, *args: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *args)


class Gate:
    """Turns connections that were accepted into sessions' sockets."""

    def __init__(self, tls: Tls | None, seconds: float = TLS_SECONDS) -> None:
        self._tls = tls
        self._seconds = seconds
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def let_in(self, peer: socket.socket, address: object) -> Any:
        """The socket to use from now on; None when the peer was refused, which has been told."""
        if self._tls is None:
            return local(peer) if peer.family == socket.AF_UNIX else peer
        host = _host(address)
        try:
            with self._one_more(host):
                secured = TlsSocket(peer, self._tls.context())
                self._tls.admit(secured.handshake(self._seconds))
        except OSError as e:
            self._tls.refused(host, e)
            return None
        return secured

    @contextmanager
    def _one_more(self, host: str) -> Iterator[None]:
        with self._lock:
            if self._under_way[host] >= HANDSHAKES:
                raise TooManyHandshakes(f"{HANDSHAKES} handshakes with this host are under way already")
            self._under_way[host] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[host] -= 1
                self._under_way += Counter()  # drops those at zero


def _host(address: object) -> str:
    """Where a connection comes from, less its port; an IPv4 address as such, also on a socket for both families."""
    return str(address[0]).removeprefix("::ffff:") if isinstance(address, tuple) else str(address)


def local(peer: socket.socket) -> socket.socket:
    """A unix socket with room for a large change. It has 200 KiB by default and, unlike TCP's, never grows: sender
    and switch would wait for each other all the time, which made 100,000 flows take 0.6 s instead of 0.5."""
    made = UnixSocket(fileno=peer.detach())
    with suppress(PermissionError):  # needs CAP_NET_ADMIN; without it, it takes longer
        made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _LOCAL_BUFFER)
    return made


def listen(target: str) -> socket.socket:
    """A socket that listens on `unix:PATH`, `tcp:ADDRESS:PORT` or `ssl:ADDRESS:PORT`.

    ValueError: no such kind of target. OSError, naming the target: it cannot be had.
    """
    try:
        listening = _listen(target)
        listening.listen(128)
    except OSError as e:
        raise OSError(e.errno, f"cannot listen on {target}: {e.strerror or e}") from e
    return listening


def _listen(target: str) -> socket.socket:
    kind, _, rest = target.partition(":")
    if kind == "unix":
        return _listen_locally(rest)
    if kind not in ("tcp", "ssl"):
        raise ValueError(f"cannot listen on {target!r}: write unix:/path, tcp:address:port or ssl:address:port")
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ValueError(f"cannot listen on {target!r}: after {kind}: give an address and a port up to {_LAST_PORT}")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, dualstack_ipv6=host == "::")


def _listen_locally(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    os.chmod(path, 0o600)
    return listening
