"""A switch of a test's own making: just enough OpenFlow 1.5 to be let in by the controller, or turned away."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab_fixture import read_message

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
MULTIPART_REQUEST, MULTIPART_REPLY = 18, 19
_VERSION, _PORT_DESC = 6, 13
_HEADER = struct.Struct("!BBHI")
_FEATURES = struct.Struct("!QIBBxxII")  # OpenFlow 1.5.1 section 7.3.1


class Peer:
    """One connection to the controller, by a switch with this datapath id and no ports."""

    def __init__(self, sock: socket.socket, datapath: int) -> None:
        self._socket = sock
        self._datapath = datapath
        self.asked: list[int] = []

    def serve(self) -> None:
        """Answer what a switch is asked in its handshake and afterwards, until the controller hangs up.

        Everything else that is asked is noted in `asked` and not answered. TimeoutError: it never hangs up.
        """
        self._send(HELLO, 1)
        try:
            while True:
                self._answer(read_message(self._socket))
        except ConnectionError:
            return

    def _answer(self, message: bytes) -> None:
        kind, xid = message[1], _HEADER.unpack_from(message)[3]
        if kind == FEATURES_REQUEST:
            self._send(FEATURES_REPLY, xid, _FEATURES.pack(self._datapath, 0, 254, 0, 0, 0))
        elif kind == ECHO_REQUEST:
            self._send(ECHO_REPLY, xid, message[_HEADER.size :])
        elif kind == MULTIPART_REQUEST and message[8:10] == struct.pack("!H", _PORT_DESC):
            self._send(MULTIPART_REPLY, xid, struct.pack("!HH4x", _PORT_DESC, 0))
        elif kind != HELLO:
            self.asked.append(kind)

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._socket.sendall(_HEADER.pack(_VERSION, kind, _HEADER.size + len(body), xid) + body)


@contextmanager
def peer(path: Path, datapath: int, timeout: float) -> Iterator[Peer]:
    """A connection to the controller's socket; waiting for it is bounded by `timeout` seconds."""
    with raw_peer(path, timeout) as sock:
        yield Peer(sock, datapath)


@contextmanager
def raw_peer(path: Path, timeout: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(path))
        yield sock
