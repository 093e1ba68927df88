"""Carries TCP connections from where a lab's nodes are to an API server that only this machine reaches.

Bytes are passed on as they are: TLS and credentials are between the agents and the API server.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

_CHUNK = 65536
_STOP_SECONDS = 5.0

log = logging.getLogger(__name__)


class Forwarder:
    """Serves listening sockets, which it takes over, from `start` to `stop`; each connection goes on to `target`."""

    def __init__(self, listeners: Sequence[socket.socket], target: tuple[str, int]) -> None:
        self._listeners = tuple(listeners)
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all connections and free the sockets."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())  # at whose end the connections that are left are cancelled

    async def _serve(self) -> None:
        servers = [await asyncio.start_server(self._carry, sock=listener) for listener in self._listeners]
        await self._stopped.wait()
        for server in servers:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # the forwarder has ended; asyncio would report it as a mistake
            try:
                await self._join(reader, writer)
            finally:
                writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        except OSError as e:
            log.warning("cannot connect to %s port %d: %s", *self._target, e)
            return
        try:
            await asyncio.gather(_pump(reader, onward_writer), _pump(onward_reader, writer))
        finally:
            onward_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; the other may go on. A connection that breaks is broken on both sides."""
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
