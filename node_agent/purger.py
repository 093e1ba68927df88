"""Has the switch forget its datapath flows when the controller asks for it; `ovsdb.setup.needs_purge` says why.

A thread of its own does it, because the switch takes its time to answer, and neither pods nor the keeper are to wait
for that. However many requests there are by the time that it is free, one purge serves them all.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from daemon import logs
from ovsdb import appctl
from ovsdb.errors import OvsdbError
from ovsdb.view import BridgeEvent, BridgeGone, BridgeSeen, Snapshot

log = logs.get("weft.purger")


class Purger:
    """Purges the Open vSwitch with this run directory. `served` is called on the purger's thread after each purge,
    with the number of the newest request (`Purging.asked`) that was there before it."""

    def __init__(
        self, rundir: Path, served: Callable[[int], None], timeout_s: float = appctl.TIMEOUT_SECONDS
    ) -> None:
        self._rundir = rundir
        self._served = served
        self._timeout_s = timeout_s
        self._asked: int | None = None
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="purger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Purge no more. A purge that the switch has not answered yet is not waited for."""
        self._wake.put(False)

    def take(self, event: BridgeEvent) -> None:
        """What the bridge's rows say, in order; never blocks. The first that is heard of the bridge, or of it again,
        counts as a request: nobody knows what was changed before."""
        match event:
            case Snapshot(head):
                self._asked = None
                self._want(head)
            case BridgeSeen():
                self._want(event)
            case BridgeGone():
                self._asked = None

    def _want(self, head: BridgeSeen | None) -> None:
        if head is None or not head.purging.needed:
            self._asked = None
        elif head.purging.asked != self._asked:
            self._asked = head.purging.asked
            self._wake.put(True)

    def _run(self) -> None:
        while self._wanted():
            number = self._asked
            if number is not None:
                self._purge(number)

    def _wanted(self) -> bool:
        """Wait for requests, and take all that there are. False: stop."""
        go_on = self._wake.get()
        while not self._wake.empty():
            go_on = self._wake.get() and go_on
        return go_on

    def _purge(self, number: int) -> None:
        try:
            appctl.ask(self._rundir, "revalidator/purge", timeout=self._timeout_s)
        except appctl.Hangs as e:
            log.warning("datapath flows not purged yet", error=str(e))
            self._wake.put(True)  # when the switch goes on, it has the datapath flows that it had
        except OvsdbError as e:
            # A switch that starts has none. When it connects, the controller asks again.
            log.warning("datapath flows not purged", error=str(e))
        else:
            self._served(number)
