"""Sockets of a cluster's node as sockets on this machine: `cli.relay` in the node passes on every connection.

So whatever speaks to a local switch, database or agent speaks to a remote one too, and knows nothing of clusters. The
sockets are in a directory that only the caller may enter, and are gone when weftctl is.
"""

from __future__ import annotations

import selectors
import shutil
import socket
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cli.errors import CliError

_CHUNK = 1 << 16
_PATH_BYTES = 107
"""Of a socket's path at most: sockaddr_un.sun_path less its terminating zero."""
_LONGEST = 32
"""What is kept of those for a socket's own name, such as `ovs-vswitchd.1234567.ctl`."""
_SHORT_ROOT = "/tmp"
Start = Callable[[str], Any]
"""Starts a relay to `unix:PATH` or `tcp:HOST:PORT` of the node; its streams. Raises CliError."""


class Mirrors:
    """The directory of all nodes' sockets. Removed with the process."""

    def __init__(self) -> None:
        usual = tempfile.gettempdir()
        fits = len(f"{usual}/weftctl-12345678/1234/") + _LONGEST <= _PATH_BYTES
        self.root = Path(tempfile.mkdtemp(prefix="weftctl-", dir=usual if fits else _SHORT_ROOT))
        weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)

    def of(self, node: str, number: int) -> Mirror:
        """Where the sockets of a node are: below its name, or its `number` where that is too long."""
        fits = len(f"{self.root}/{node}/") + _LONGEST <= _PATH_BYTES
        return Mirror(self, self.root / (node if fits else str(number)))


class Mirror:
    """The sockets of one node."""

    def __init__(self, mirrors: Mirrors, directory: Path) -> None:
        self._mirrors = mirrors  # which must live as long
        self.directory = directory
        directory.mkdir(mode=0o700)

    def put(self, name: str, text: str) -> None:
        """A file beside the sockets, such as a daemon's pid file."""
        (self.directory / name).write_text(text)

    def socket(self, name: str, target: str, start: Start) -> Path:
        """A socket of this name; who connects to it speaks to `target` of the node."""
        path = self.directory / name
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        threading.Thread(
            target=_serve, args=(listening, target, start, self), name=f"mirror-{name}", daemon=True
        ).start()
        return path


def _serve(listening: socket.socket, target: str, start: Start, mirror: Mirror) -> None:
    """Pass on each connection, side by side. `mirror` is kept as long as somebody may connect."""
    while True:
        peer, _ = listening.accept()
        threading.Thread(target=_pass_on, args=(peer, target, start, mirror), name="mirrored", daemon=True).start()


def _pass_on(peer: socket.socket, target: str, start: Start, mirror: Mirror) -> None:
    """One connection. Whoever made it sees it closed when the node's end is, and when there is none."""
    from websocket import WebSocketException

    with peer, suppress(CliError, OSError, WebSocketException):
        client = start(target)
        try:
            _join(peer, client)
        finally:
            client.close()


def _join(peer: socket.socket, client: Any) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        selector.register(client.sock.sock, selectors.EVENT_READ)
        # What the client has read already shows on no socket.
        _deliver(peer, client)
        while client.is_open():
            ready = [key.fileobj for key, _ in selector.select()]
            if peer in ready:
                data = peer.recv(_CHUNK)
                if not data:
                    return
                client.write_stdin(data)
            if client.sock.sock in ready:
                _deliver(peer, client)


def _deliver(peer: socket.socket, client: Any) -> None:
    """Hand on everything that has come, also what TLS has decrypted already."""
    while True:
        client.update(timeout=0)
        data = client.read_stdout(timeout=0)
        if data:
            peer.sendall(data)
        pending = getattr(client.sock.sock, "pending", None)
        if not client.is_open() or pending is None or not pending():
            return
