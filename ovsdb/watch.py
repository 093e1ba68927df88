"""Follows a node's bridge in its database, and writes the controller's one answer: `weft-programmed`."""

from collections.abc import Callable
from concurrent.futures import Future

from ovsdb.changes import Changed, Lost, SessionEvent, Synced
from ovsdb.rows import PROGRAMMED
from ovsdb.session import OvsdbSession
from ovsdb.txn import Txn
from ovsdb.view import BridgeEvent, BridgeView, OvsdbLost


class BridgeWatch:
    """Events of one bridge, from a session made with `ovsdb.schema.WATCH` (or more) and not yet started.

    `sink` gets a Snapshot first and after every reconnection, then what changes; it is called on the loop's thread
    and must not block.
    """

    def __init__(self, session: OvsdbSession, bridge: str, sink: Callable[[BridgeEvent], None]) -> None:
        self.session = session
        self.bridge = bridge
        self._sink = sink
        self._view = BridgeView(bridge)

    def start(self) -> None:
        """Connect and begin to tell."""
        self.session.start(self._on_event)

    def set_programmed(self, port: str, container: str | None, timeout_s: float = 10.0) -> "Future[bool]":
        """Write Port.external_ids:weft-programmed = `container`, the container whose flows are in place; None takes
        it back.

        Calls that come together are committed together. The result is False when the port is gone.
        OvsdbUnavailable: no answer within `timeout_s` seconds.
        """

        def work(txn: Txn) -> bool:
            row = txn.find("Port", port)
            if row is not None and container is not None:
                txn.set_keys(row, "external_ids", {PROGRAMMED: container})
            elif row is not None:
                txn.remove_keys(row, "external_ids", [PROGRAMMED])
            return row is not None

        return self.session.submit(work, timeout_s)

    def close(self) -> "Future[None]":
        """Stop to follow. Twice is once."""
        return self.session.close()

    def _on_event(self, event: SessionEvent) -> None:
        match event:
            case Synced(tables):
                self._sink(self._view.sync(tables))
            case Changed(changes):
                for told in self._view.apply(changes):
                    self._sink(told)
            case Lost(reason):
                self._sink(OvsdbLost(reason))
