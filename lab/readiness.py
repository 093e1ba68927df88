"""Whether a node's network works: asks the agent, and keeps the Node's conditions true.

A real kubelet hears it from the container runtime; here the kubelet asks the agent's /readyz itself.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from lab import names, netns, status
from lab.api.builtin import NODES
from lab.api.errors import ApiError
from lab.api.handle import LabApi
from lab.node import NodeConfig

Obj = dict[str, Any]

_UNTIL_READY_SECONDS, _WHILE_READY_SECONDS = 0.25, 2.0
_PROBE_SECONDS = 2.0


class Readiness:
    """Watches one node from `start` to `close`; calls `became_ready` when it is ready for the first time."""

    def __init__(self, api: LabApi, node: NodeConfig, became_ready: Callable[[], None]) -> None:
        self.was_ready = False
        self._api = api
        self._node = node
        self._became_ready = became_ready
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

    def _report(self, why: str | None) -> None:
        now = datetime.now(UTC)

        def change(node: Obj) -> Obj:
            old = node.get("status") or {}
            return node | {"status": status.with_readiness(old, ready=why is None, why=why or "", now=now)}

        with suppress(ApiError):  # Somebody deleted the Node; the lab goes on without it.
            self._api.edit(NODES, ("", self._node.name), change, "status")


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
