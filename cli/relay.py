"""Joins standard input and output with a socket of this node: `python3 -m cli.relay unix:PATH|tcp:HOST:PORT`.

Run in a node's agent pod by `cli.cluster.mirror`, so that what speaks to the socket may be elsewhere. It ends with
the socket, and when standard input does. Standard library only: it starts for each connection.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

_CHUNK = 1 << 16
_CONNECT_SECONDS = 5.0


def connect(target: str) -> socket.socket:
    """A connection to `unix:PATH` or `tcp:HOST:PORT`. OSError: nobody answers; ValueError: it is neither."""
    kind, _, rest = target.partition(":")
    if kind == "unix":
        found = socket.socket(socket.AF_UNIX)
        found.connect(rest)
        return found
    host, _, port = rest.rpartition(":")
    if kind != "tcp" or not port.isdecimal():
        raise ValueError(f"{target!r}: give unix:PATH or tcp:HOST:PORT")
    found = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS)
    found.settimeout(None)
    return found


def join(peer: socket.socket, source: int, sink: int) -> None:
    """Pass on what comes from either side until one of them ends. The other may be slow: then this waits."""
    with selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is peer:
                    data = peer.recv(_CHUNK)
                    _write(sink, data)
                else:
                    data = os.read(source, _CHUNK)
                    peer.sendall(data)
                if not data:
                    return


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


def main() -> None:
    """Exit status 1, with a sentence on stderr, when there is no connection."""
    try:
        with connect(sys.argv[1]) as peer:
            join(peer, sys.stdin.fileno(), sys.stdout.fileno())
    except (OSError, ValueError) as e:
        raise SystemExit(f"{sys.argv[1]}: {e}") from None


if __name__ == "__main__":
    main()
