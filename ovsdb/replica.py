"""The OVSDB library's replica of a database, told as plain values: all rows once, then what changed.

This is where rows of the library end: they are mutable, belong to one thread and keep the whole replica alive, so
nothing but dicts, sets and scalars passes. The cost of a change is that of the row it touches.
"""

import errno
import os
from typing import Any

from ovsdb.changes import Kind, RowChange
from ovsdb.library import idl, jsonrpc, reconnect, stream, timeval
from ovsdb.rows import Tables
from ovsdb.schema import Interest, schema_of
from ovsdb.tls import TlsStream

# A switch on this host is back a moment after it restarts; one across the network is asked more patiently.
LOCAL_BACKOFF_MS, REMOTE_BACKOFF_MS, MAX_BACKOFF_MS = 100, 1000, 4000


class _Reconnect(reconnect.Reconnect):  # type: ignore[misc]
    """The library's back-off, which also remembers why there is no connection: the library only logs it."""

    reason = ""
    session: jsonrpc.Session | None = None

    def disconnected(self, now: int, error: Any) -> None:
        why = self._refused() or _text(error)
        self.reason = f"{'connection lost' if self.state.is_connected else 'cannot connect'}: {why}"
        super().disconnected(now, error)

    def _refused(self) -> str:
        """What TLS says of the connection that ends; "" when there is none, or nothing is wrong with it."""
        session = self.session
        if session is None:
            return ""
        ended = session.rpc.stream if session.rpc is not None else session.stream
        if not isinstance(ended, TlsStream):
            return ""
        ended.gave_up()
        return ended.failure


def _text(error: Any) -> str:
    if error == jsonrpc.EOF:
        return "closed by the server"
    if error == errno.ENOENT:
        return "no such socket (is ovsdb-server running?)"
    return os.strerror(error) if isinstance(error, int) and error > 0 else str(error or "timed out")


class Replica(idl.Idl):  # type: ignore[misc]
    """Replica of the columns of `interest` of the database at `remote`; to be run by one thread."""

    def __init__(self, remote: str, interest: Interest) -> None:
        helper = idl.SchemaHelper(schema_json=schema_of(interest))
        for table, columns in interest.items():
            helper.register_columns(table, list(columns))
        super().__init__(remote, helper, leader_only=False)
        self._reconnect = _Reconnect(timeval.msec())
        self._session = _connection(remote, self._reconnect)
        self._changes: list[RowChange] = []

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """The library's hook: `updates` has the old values of just the columns that changed."""
        kind = Kind(event)
        columns = updates._data if kind is Kind.MODIFIED else row._table.columns
        values = {column: plain(row._data[column]) for column in columns}
        self._changes.append(RowChange(row._table.name, row.uuid, kind, values))

    def take_changes(self) -> tuple[RowChange, ...]:
        """What changed since the last call."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def snapshot(self) -> Tables:
        """All rows."""
        return {
            name: {row.uuid: {c: plain(row._data[c]) for c in table.columns} for row in table.rows.values()}
            for name, table in self.tables.items()
        }

    @property
    def generation(self) -> int | None:
        """Which connection the rows are of; None while they are not those of the connection that is up now."""
        current = self._session.get_seqno()
        fresh = self._session.is_connected() and self.state == self.IDL_S_MONITORING
        return current if fresh and self._last_seqno == current else None

    @property
    def reason(self) -> str:
        """Why there is no connection; "" before the first attempt has failed."""
        return self._reconnect.reason

    def start_over(self, reason: str) -> None:
        """Drop the connection and make a new one."""
        self._reconnect.reason = reason
        self.force_reconnect()


def _connection(remote: str, backoff: _Reconnect) -> jsonrpc.Session:
    session = backoff.session = jsonrpc.Session(backoff, None, [remote])
    session.pick_remote()
    local = not stream.stream_or_pstream_needs_probes(remote)
    backoff.set_backoff(REMOTE_BACKOFF_MS, MAX_BACKOFF_MS)
    if local:
        # set_backoff() has a floor of a second, which suits networks. A local socket needs no probes either.
        backoff.min_backoff = LOCAL_BACKOFF_MS
        backoff.set_probe_interval(0)
    backoff.enable(timeval.msec())
    return session


def plain(datum: Any) -> Any:
    """A column's value without the library: dict, frozenset, scalar, or None for an empty optional scalar.

    Reads the library's atoms directly: its own `to_python` converts a 250-port bridge three times over, and turns
    references into row objects, which must not leave the thread.
    """
    if datum.type.is_map():
        return {key.value: value.value for key, value in datum.values.items()}
    if datum.type.n_max == 1:
        return next((key.value for key in datum.values), None)
    return frozenset(key.value for key in datum.values)
