"""Whether a node's network works: asks the agent, and keeps the Node's conditions true.

A real kubelet hears it from the container runtime; here the kubelet asks the agent's /readyz itself.
"""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from lab import names, netns, status
from lab.api.errors import ApiError
from lab.node import NodeConfig
from lab.nodeapi import GONE, NodeApi

log = logging.getLogger(__name__)

_UNTIL_READY_SECONDS, _WHILE_READY_SECONDS = 0.25, 2.0
_PROBE_SECONDS = 2.0


class Readiness:
    """Watches one node from `start` to `close`; calls `became_ready` when it is ready for the first time."""

    def __init__(self, api: NodeApi, node: NodeConfig, became_ready: Callable[[], None]) -> None:
        self.was_ready = False
        self._api = api
        self._node = node
        self._became_ready = became_ready
        self._told: str | None = ""
        self._told_at = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"readiness-{node.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            why = self._why_not_ready()
            if self._is_due(why):
                self._report(why)
            if why is None and not self.was_ready:
                self.was_ready = True
                self._became_ready()
            self._closing.wait(_UNTIL_READY_SECONDS if why else _WHILE_READY_SECONDS)

    def _why_not_ready(self) -> str | None:
        """What the agent's /readyz says, asked from inside the node; None when it is ready."""
        try:
            return netns.run_in(self._node.namespace, ask_agent)
        except (OSError, http.client.HTTPException) as e:
            return f"the agent does not answer: {e}"

    def _is_due(self, why: str | None) -> bool:
        """Whether to report: at any time where that costs nothing, else what is new and that the node lives."""
        beat = self._api.beat
        return beat is None or why != self._told or time.monotonic() - self._told_at >= beat

    def _report(self, why: str | None) -> None:
        now, beats = datetime.now(UTC), self._api.beat is not None
        try:
            self._api.change_status(lambda old: status.with_readiness(old, why, now, beats=beats))
        except ApiError as e:
            if e.code not in GONE:  # Somebody deleted the Node; the lab goes on without it.
                log.warning("node %s: its status cannot be reported: %s", self._node.name, e)
            return
        self._told, self._told_at = why, time.monotonic()


def ask_agent() -> str | None:
    """Why the agent of the network namespace we are in is not ready; None when it is. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", names.AGENT_HEALTH_PORT)
    connection.sock = socket.create_connection(("127.0.0.1", names.AGENT_HEALTH_PORT), timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
        return None if answer.status == 200 else text or f"/readyz: {answer.status}"
    finally:
        connection.close()
