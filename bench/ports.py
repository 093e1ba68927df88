"""One client for both sides of `port-ready`: writes a port's rows and sees when somebody marks it as ready."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from bench.stage import BenchError
from ovsdb.changes import Changed, Kind, RowChange, SessionEvent, Synced
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import WATCH
from ovsdb.setup import add_port
from ovsdb.txn import Txn

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Mark:
    """`external_ids:key` = `value` on the row of a port in `table`: how the other side says that it is ready."""

    table: str
    key: str
    value: str


class PortClient:
    """Adds ports to a bridge of one switch, over one OVSDB connection."""

    def __init__(self, loop: OvsdbLoop, remote: str, bridge: str) -> None:
        self._bridge = bridge
        self._names: dict[UUID, str] = {}
        self._awaited: tuple[str, Mark] | None = None
        self._marked_at = 0.0
        self._changed = threading.Condition()
        self._session = loop.session(remote, WATCH)
        self._session.start(self._on_event)

    def ready_ms(self, name: str, interface: Mapping[str, object], mark: Mark) -> float:
        """Write the rows of port `name`, with these columns of its interface; how long until the mark, in ms.

        BenchError: it never does.
        """
        with self._changed:
            self._awaited, self._marked_at = (name, mark), 0.0
        started = time.perf_counter()
        written = self._session.submit(lambda txn: self._add(txn, name, interface))
        with self._changed:
            if not self._changed.wait_for(lambda: self._marked_at > 0.0, PATIENCE_SECONDS):
                raise BenchError(f"port {name}: no {mark.key}={mark.value} after {PATIENCE_SECONDS:g} s")
        written.result(PATIENCE_SECONDS)
        return (self._marked_at - started) * 1000

    def _add(self, txn: Txn, name: str, columns: Mapping[str, object]) -> None:
        bridge = txn.find("Bridge", self._bridge)
        if bridge is None:
            raise BenchError(f"there is no bridge {self._bridge}")
        add_port(txn, bridge, name, columns)

    def _on_event(self, event: SessionEvent) -> None:
        now = time.perf_counter()
        if isinstance(event, Synced):
            for rows in event.tables.values():
                self._names.update((uuid, row["name"]) for uuid, row in rows.items())
        elif isinstance(event, Changed):
            for change in event.changes:
                self._look_at(change, now)

    def _look_at(self, change: RowChange, now: float) -> None:
        if change.kind is Kind.CREATED:
            self._names[change.uuid] = change.values["name"]
        with self._changed:
            if self._awaited is None:
                return
            name, mark = self._awaited
            found = change.values.get("external_ids", {}).get(mark.key)
            if change.table == mark.table and self._names.get(change.uuid) == name and found == mark.value:
                self._awaited, self._marked_at = None, now
                self._changed.notify_all()
