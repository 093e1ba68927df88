"""Follows a node's bridge in its database, and writes what the controller says: `weft-programmed`, `weft-purge`, and
that the switch is to take its settings again."""

from collections.abc import Callable
from concurrent.futures import Future

from ovsdb.changes import Changed, Lost, SessionEvent, Synced
from ovsdb.rows import PROGRAMMED, PURGE, parse_purging
from ovsdb.session import OvsdbSession
from ovsdb.txn import Txn
from ovsdb.view import BridgeEvent, BridgeView, OvsdbLost

OWED_SECONDS = 3600.0


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
        self._owed = False

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

    def ask_purge(self, timeout_s: float = OWED_SECONDS) -> "Future[int] | None":
        """Write Bridge.external_ids:weft-purge, one more than it was: what the datapath forwards by is to be worked
        out anew. Unlike an answer that nobody waits for any more, this stays owed while the database is away.

        The result is the number, 0 when there is no bridge. None: an earlier call has not been composed yet; what it
        will write is said now, and says as much.
        """
        if self._owed:
            return None
        self._owed = True

        def work(txn: Txn) -> int:
            self._owed = False
            row = txn.find("Bridge", self.bridge)
            if row is None:
                return 0
            number = parse_purging(txn.get(row, "external_ids")).asked + 1
            txn.set_keys(row, "external_ids", {PURGE: str(number)})
            return number

        future = self.session.submit(work, timeout_s)
        future.add_done_callback(self._given_up)
        return future

    def reconfigure(self, timeout_s: float = OWED_SECONDS) -> "Future[None]":
        """Have ovs-vswitchd give the settings of their Controller rows to the OpenFlow connections that it has now.
        Stays owed while the database is away.

        3.1 does so only while it configures itself (ofconn_reconfigure in ofproto/connmgr.c). A connection that comes
        later has what the last one to its target had, and the first one has defaults (ofservice_create): up to 8 s
        between two tries to connect, and, to `unix:`, no probes (rconn_connect in lib/rconn.c), so that a peer that
        hangs is connected for ever. 3.5 does it for every new connection (ofconn_create).

        It configures itself when a column changes that it reads (bridge_run in vswitchd/bridge.c). It reads next_cfg,
        which is there for clients to count up. It does not read external_ids of Bridge, Port and Controller.
        """

        def work(txn: Txn) -> None:
            txn.increment(txn.root(), "next_cfg")

        return self.session.submit(work, timeout_s)

    def _given_up(self, done: "Future[int]") -> None:
        if done.exception() is not None:
            self._owed = False

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
