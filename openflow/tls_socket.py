"""A TLS connection that one thread may read while another writes, as os-ken does with every switch's.

OpenSSL allows one thread at a time on a connection (openssl-threads(7)), and Python's ssl leaves it to its users to
see to that (CPython issues 137583 and 151508). Here a lock guards the state of TLS, which lives in memory, and nobody
holds it while waiting for the network.

An error of TLS ends the connection and is told as ConnectionError: os-ken takes an ssl.SSLError for a time-out, after
which it reads again.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_CHUNK = 1 << 16


class TlsSocket:
    """The server's end of TLS on a connected socket; of a socket's methods it has those that os-ken uses."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._state = threading.Lock()
        self._sending = threading.Lock()  # keeps records in order; taken before the other

    def handshake(self, seconds: float) -> Mapping[str, Any]:
        """Do the handshake, within `seconds` in all; the peer's verified certificate, as Python's ssl tells it.

        ssl.SSLError: it failed; TimeoutError: not in time. Other OSErrors are the socket's.
        """
        deadline = time.monotonic() + seconds
        while not self._shake():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no handshake within {seconds:g} s")
            self._sock.settimeout(left)
            self._receive()
        return self._tls.getpeercert() or {}

    def _shake(self) -> bool:
        """One step of the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:  # with a failure, what goes out is an alert that says why
            with suppress(OSError):
                self._flush()
        return True

    def recv(self, size: int) -> bytes:
        """As of a socket. TimeoutError: nothing within the time set; then it may be called again."""
        while (data := self._read(size)) is None:
            self._receive()
        return data

    def _read(self, size: int) -> bytes | None:
        """What has come already; None: nothing."""
        try:
            with self._state:
                return self._tls.read(size)
        except ssl.SSLWantReadError:
            self._flush()  # an answer to the peer's TLS, if it asked for one
            return None
        except ssl.SSLEOFError:
            return b""
        except ssl.SSLError as e:
            raise ConnectionError(f"TLS: {e}") from e

    def _receive(self) -> None:
        data = self._sock.recv(_CHUNK)
        with self._state:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def sendall(self, data: bytes) -> None:
        """As of a socket."""
        rest = memoryview(data)
        with self._sending:
            try:
                with self._state:
                    while rest:
                        rest = rest[self._tls.write(rest) :]
            except ssl.SSLError as e:
                raise ConnectionError(f"TLS: {e}") from e
            self._sock.sendall(self._outgoing.read())

    def _flush(self) -> None:
        if self._outgoing.pending:
            with self._sending:
                self._sock.sendall(self._outgoing.read())

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._sock.setsockopt(level, option, value)

    def settimeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """As of a socket. Tells the peer before, if that goes without waiting."""
        if how != socket.SHUT_RD and self._sending.acquire(blocking=False):
            try:
                self._say_goodbye()
            finally:
                self._sending.release()
        self._sock.shutdown(how)

    def _say_goodbye(self) -> None:
        with suppress(OSError), self._state:
            self._tls.unwrap()  # always an error the first time: the peer's own goodbye has not come
        with suppress(OSError, ValueError):  # ValueError: closed already
            room = select.poll()
            room.register(self._sock, select.POLLOUT)
            if room.poll(0):  # else it would be waited for
                self._sock.send(self._outgoing.read())

    def close(self) -> None:
        self._sock.close()
