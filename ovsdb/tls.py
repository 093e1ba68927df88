"""TLS to a node's database: what the OVSDB library's own stream does, with certificates that may be replaced, the
server's name looked at, and failures told apart.

The library's stream also waits for room to write during a handshake, which there always is, so that a server that
says nothing would keep the thread of all sessions busy; and it takes errors of TLS for numbers of the system's.
"""

import errno
import select
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Protocol

from ovsdb.library import stream


class Tls(Protocol):
    """How connections to databases are secured. Called from the thread of the sessions' loop."""

    def context(self) -> ssl.SSLContext:
        """For one connection."""

    def admit(self, certificate: Mapping[str, Any]) -> None:
        """Whether the holder of this verified certificate may be a node's database. OSError: not, and why."""

    def refused(self, peer: str, error: OSError) -> str:
        """A connection to this remote came to nothing; why, in words."""


def use_tls(tls: Tls) -> None:
    """How `ssl:` remotes are reached from now on, by the whole process: the library knows streams by their method."""
    stream.Stream.register_method("ssl", type("TlsStream", (TlsStream,), {"tls": tls}))


def is_set_up() -> bool:
    """Whether `use_tls` was called."""
    return issubclass(stream.Stream._find_method("ssl:"), TlsStream)


class TlsStream(stream.Stream):  # type: ignore[misc]
    """A stream of the library. `failure` says in words why it came to nothing; "" while it has not."""

    tls: ClassVar[Tls]
    socket: Any

    def __init__(self, sock: Any, name: str, status: int) -> None:
        super().__init__(sock, name, status)
        self.failure = ""
        self._secured: ssl.SSLSocket | None = None
        self._admitted = False
        self._waits_for = select.POLLIN

    @staticmethod
    def needs_probes() -> bool:
        return True

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        opened: tuple[int, Any] = stream.TCPStream._open(suffix, dscp)
        return opened

    def connect(self) -> int:
        """0: connected, and the server verified; EAGAIN: not yet; else an error number."""
        error = int(super().connect())
        if error or self._admitted:
            return error
        if self.failure:
            return errno.EPROTO
        try:
            self._handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as e:
            return self._again(e)
        except OSError as e:
            return self._failed(e)
        return 0

    def _handshake(self) -> None:
        if self._secured is None:
            self._secured = self.tls.context().wrap_socket(self.socket, do_handshake_on_connect=False)
            self.socket = self._secured
        self._secured.do_handshake()
        self.tls.admit(self._secured.getpeercert() or {})
        self._admitted = True

    def recv(self, n: int) -> tuple[int, Any]:
        error = self.connect()
        if error or n == 0:
            return error, ""
        try:
            return 0, self.socket.recv(n)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as e:
            return self._again(e), ""
        except OSError as e:
            return self._failed(e), ""

    def send(self, buf: str | bytes) -> int:
        error = self.connect()
        if error or not buf:
            return -error
        try:
            return int(self.socket.send(buf.encode() if isinstance(buf, str) else buf))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as e:
            return -self._again(e)
        except OSError as e:
            return -self._failed(self._said_before(e))

    def wait(self, poller: Any, wait: int) -> None:
        if self._secured is None:
            super().wait(poller, wait)
        elif not self._admitted:
            poller.fd_wait(self.socket, self._waits_for)
        elif wait == stream.Stream.W_RECV and self._secured.pending():
            poller.immediate_wake()  # of bytes inside TLS no descriptor tells
        else:
            super().wait(poller, wait)

    def close(self) -> None:
        if self._secured is not None:
            with suppress(OSError, ValueError):  # always one of them: nobody waits for the server's goodbye
                self._secured.unwrap()
        super().close()

    def gave_up(self) -> None:
        """Nobody waits for this connection any longer."""
        if self._secured is not None and not self._admitted and not self.failure:
            self._failed(TimeoutError("no handshake in time"))

    def _again(self, error: OSError) -> int:
        self._waits_for = select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else select.POLLIN
        return errno.EAGAIN

    def _failed(self, error: OSError) -> int:
        """The number of an error. Of one of TLS it is told; so is any before the server was admitted."""
        if self._secured is None or (self._admitted and not isinstance(error, ssl.SSLError)):
            return error.errno or errno.EPROTO
        self.failure = self.failure or self.tls.refused(self.name, error)
        return errno.EPROTO

    def _said_before(self, error: OSError) -> OSError:
        """What the server said before it hung up. With TLS 1.3 it looks at our certificate when we are connected."""
        try:
            self.socket.recv(1)
        except ssl.SSLError as said:
            return said
        except OSError:
            return error
        return error
