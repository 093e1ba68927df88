"""Removes from time to time what a DEL should have removed that never came.

A thread of its own does it: the Kubernetes API, which is asked for the pods, may take its time to answer or not to.
"""

import threading
import time
from collections.abc import Callable

from daemon import logs
from kube.errors import KubeError
from node_agent import recovery, wiring
from node_agent.bridge import NodeBridge
from node_agent.recovery import Leftovers, Overdue, Pods
from ovsdb.errors import OvsdbError

READY_SECONDS = 5.0

_LOOKS = 5
"""How often it looks before something is old enough to be removed."""

log = logs.get("weft.reaper")


class Reaper:
    """`pods` asks the API for the node's, and raises KubeError; `grace_s` is how long something stays, in seconds."""

    def __init__(self, bridge: NodeBridge, pods: Callable[[], Pods], grace_s: float) -> None:
        self._bridge = bridge
        self._pods = pods
        self._pause_s = grace_s / _LOOKS
        self._halves = Overdue(grace_s)
        self._abandoned = Overdue(grace_s)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s):
            try:
                self._look()
            except (OvsdbError, OSError, KubeError) as e:
                log.warning("not known what is left over", error=str(e))

    def _look(self) -> None:
        bridge = self._bridge.wait_ready(READY_SECONDS)
        halves = recovery.leftovers(bridge, wiring.host_interfaces())
        recovery.clear(self._halves.look(halves, time.monotonic()), self._bridge)
        # What can be seen without the API comes first.
        abandoned = recovery.abandoned(bridge.ports.values(), self._pods())
        recovery.clear(self._abandoned.look(Leftovers((), abandoned), time.monotonic()), self._bridge)
