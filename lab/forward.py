"""Carries TCP connections from where a lab's nodes are to an API server that only this machine reaches.

Bytes are passed on as they are: TLS and credentials are between the agents and the API server.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Sequence

_CHUNK = 65536
_STOP_SECONDS = 5.0
_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Forwarder:
    """Serves listening sockets, which it takes over, from `start` to `stop`; each connection goes on to `target`."""

    def __init__(self, listeners: Sequence[socket.socket], target: tuple[str, int]) -> None:
        self._listeners = tuple(listeners)
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._carried: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all connections and free the sockets."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        accepting = [self._loop.create_task(self._accept(listener)) for listener in self._listeners]
        await self._stopped.wait()
        await _cancelled(accepting)
        await _cancelled(list(self._carried))  # all have begun, being in the loop's queue before this

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            listener.setblocking(False)
            while True:
                try:
                    client, _ = await self._loop.sock_accept(listener)
                except OSError as e:
                    log.warning("cannot accept a connection, trying again: %s", e)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                task = self._loop.create_task(self._carry(client))
                self._carried.add(task)
                task.add_done_callback(self._carried.discard)

    async def _carry(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
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


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; the other may go on. A connection that breaks is broken on both sides."""
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
