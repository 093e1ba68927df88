"""Transactions on an OVSDB server by hand (RFC 7047): no program has to start, no replica has to be kept."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stage import BenchError

Obj = dict[str, Any]

_SECONDS = 30.0
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Database:
    """A connection to one database of a server, for a moment: it does not answer when the server asks if it lives."""

    name: str
    peer: socket.socket

    def transact(self, operations: Sequence[Obj]) -> list[Obj]:
        """One transaction; the result of each operation. BenchError with the server's words when it was refused."""
        request = {"method": "transact", "params": [self.name, *operations], "id": 1}
        self.peer.sendall(json.dumps(request).encode())
        return results(self._reply(), len(operations))

    def _reply(self) -> Obj:
        text = ""
        while True:
            chunk = self.peer.recv(_READ_BYTES)
            if not chunk:
                raise BenchError(f"{self.name}: the server has closed the connection")
            text += chunk.decode()
            try:
                found: Obj = json.loads(text)
            except json.JSONDecodeError:
                continue
            return found


@contextmanager
def database(path: Path, name: str) -> Iterator[Database]:
    """A connection to the server that listens at `path`."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(_SECONDS)
        peer.connect(str(path))
        yield Database(name, peer)


def results(reply: Obj, operations: int) -> list[Obj]:
    """What a reply to `transact` says of each operation (RFC 7047, section 4.1.3). One more, or an error among them,
    says that nothing was done: BenchError."""
    found = reply.get("result")
    failed = [each for each in found or () if each and "error" in each]
    if reply.get("error") or found is None or failed or len(found) != operations:
        raise BenchError(f"the database refused: {failed or reply.get('error')}")
    return list(found)
