"""The thread that keeps a kind up to date: it does what `kube.listwatch` decides and passes the changes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from kube.changes import Change
from kube.client import EVERYWHERE, ApiClient, WatchStream, Where
from kube.errors import KubeError
from kube.listwatch import ListPage, ListWatch, Pace, Watch
from kube.resources import Resource

_WATCH_SECONDS = 300  # doubled at random, so that watches opened together do not end together
_JOIN_SECONDS = 5.0


class Reflector:
    """Lists and watches `resource` from its own thread and hands every change to `sink`, in order.

    `sink` is called from that thread and should only pass the change on; an exception in it is a bug and ends
    the thread loudly, after which `alive` is false. No error of the API or of an object does that.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource[Any],
        sink: Callable[[Change], None],
        where: Where = EVERYWHERE,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._client, self._resource, self._sink, self._where = client, resource, sink, where
        self._pace = pace or Pace()
        self._state = ListWatch(resource, self._pace)
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards _stream: stop() closes what the thread is reading
        self._stream: WatchStream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.plural}", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs: for a liveness check."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no change is passed on once this returns. Twice equals once.

        Waits at most 5 s: a server that has taken a request and not answered it yet cannot be interrupted, and
        the thread, a daemon, then ends when it answers.
        """
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            step = self._state.step()
            if self._stopping.wait(step.delay):
                return
            try:
                if isinstance(step, ListPage):
                    self._list(step)
                else:
                    self._watch(step)
            except KubeError as error:
                self._tell(self._state.failed(error))

    def _list(self, step: ListPage) -> None:
        body = self._client.list_page(self._resource, self._where, step.continue_token)
        self._tell(self._state.page(body))

    def _watch(self, step: Watch) -> None:
        seconds = int(_WATCH_SECONDS * (1 + self._pace.random()))
        stream = self._client.watch(self._resource, step.resource_version, where=self._where, timeout=seconds)
        with stream:
            self._reading(stream)
            self._tell(self._state.opened())
            for line in stream:
                self._tell(self._state.line(line))
                if not self._state.watching:
                    break
            self._reading(None)
        if self._state.watching:
            self._tell(self._state.ended())

    def _reading(self, stream: WatchStream | None) -> None:
        with self._lock:
            self._stream = stream
            if stream is not None and self._stopping.is_set():
                stream.close()

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if self._stopping.is_set():
                return
            self._sink(change)
