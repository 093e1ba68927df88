"""What a request may do to the rows while its transaction is composed.

A `Txn` wraps the OVSDB library's transaction so that failure is loud: the library logs a value of the wrong type and
goes on without it, and reports a row it does not have as an attribute error. Rows are handles of the library and
must not leave the function that got them: they belong to the loop's thread.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ovsdb.errors import OvsdbError
from ovsdb.library import idl

Handle = Any
"""A row of the library: only to be passed back to `Txn`."""

Names = Mapping[str, Mapping[str, uuid.UUID]]
"""Row ids by table and name, for tables that have a name column."""


class Txn:
    """One transaction under composition. Reads see what it has written so far."""

    def __init__(self, replica: idl.Idl, names: Names) -> None:
        self._idl = replica
        self._names = names
        self._txn = idl.Transaction(replica)
        self._made: dict[tuple[str, str], Handle] = {}
        self._hidden: set[uuid.UUID] = set()

    def root(self) -> Handle:
        """The one row of Open_vSwitch. OvsdbError: the database was never initialised."""
        rows = self.rows("Open_vSwitch")
        if len(rows) != 1:
            raise OvsdbError(f"Open_vSwitch has {len(rows)} rows instead of 1: run `ovs-vsctl init` on this database")
        return rows[0]

    def find(self, table: str, name: str) -> Handle | None:
        """The row of that name, or None; rows made and unlinked in this transaction count."""
        made = self._made.get((table, name))
        if made is not None and made.uuid not in self._hidden:
            return made
        known = self._names[table].get(name)
        return None if known is None or known in self._hidden else self._idl.tables[table].rows[known]

    def rows(self, table: str) -> tuple[Handle, ...]:
        """All rows of a table, with those made in this transaction."""
        return tuple(self._idl.tables[table].rows.values())

    def get(self, row: Handle, column: str) -> Any:
        """A column: map as dict, optional scalar or None, references as a list of handles, other sets as a list."""
        kind = row._table.columns[column].type
        value = getattr(row, column, None)
        if kind.is_scalar() or kind.is_map():
            return {} if value is None and kind.is_map() else value
        if kind.n_max == 1:
            return value[0] if value else None
        return value or []

    def insert(self, table: str, columns: Mapping[str, Any]) -> Handle:
        """A new row. Rows that nothing refers to vanish at commit: link it in the same transaction."""
        row = self._txn.insert(self._idl.tables[table])
        self.update(row, columns)
        if "name" in columns:
            self._made[table, columns["name"]] = row
        return row

    def update(self, row: Handle, columns: Mapping[str, Any]) -> None:
        """Set columns to whole values; what is equal already is not sent."""
        for column, value in columns.items():
            if row._data is not None and _plain(self.get(row, column)) == _plain(value):
                continue
            setattr(row, column, value if value is not None else [])
            if column not in row._changes:
                raise OvsdbError(f"{row._table.name}.{column} cannot be {value!r}")

    def set_keys(self, row: Handle, column: str, values: Mapping[str, str]) -> None:
        """Set keys of a map column and leave its other keys as they are, whoever writes them."""
        present = self.get(row, column)
        for key, value in values.items():
            if present.get(key) != value:
                row.setkey(column, key, value)

    def remove_keys(self, row: Handle, column: str, keys: Iterable[str]) -> None:
        """Remove keys of a map column; absent ones do not matter."""
        present = self.get(row, column)
        for key in keys:
            if key in present:
                row.delkey(column, key)

    def increment(self, row: Handle, column: str) -> None:
        """One more than it is; somebody else who counts at the same time is counted, too.

        The library's own `increment` counts only what else a transaction changes.
        """
        row.verify(column)
        self.update(row, {column: self.get(row, column) + 1})

    def link(self, parent: Handle, column: str, row: Handle) -> None:
        """Add a reference by mutation: parents with many references are neither read nor sent whole."""
        parent.addvalue(column, row)
        # A mutation of a row that is gone meanwhile would succeed and do nothing. (The root row is never gone.)
        if "name" in parent._table.columns:
            self.guard(parent)

    def unlink(self, parent: Handle, column: str, row: Handle) -> None:
        """Remove a reference; the row goes with its last one."""
        linked = parent._mutations.get("_inserts", {}).get(column, set())
        if row in linked:
            # Linked in this very transaction. OVSDB would delete first, then insert: the row would stay.
            linked.remove(row)
        else:
            parent.delvalue(column, row)
        self._hidden.add(row.uuid)

    def guard(self, row: Handle) -> None:
        """Let the commit fail (and be tried again) if the row, which has a name, has been deleted by then."""
        row.verify("name")

    def commit(self) -> str:
        """Send it. A status of `ovs.db.idl.Transaction`; INCOMPLETE: the answer is still to come."""
        return str(self._txn.commit())

    def abort(self) -> None:
        self._txn.abort()

    @property
    def error(self) -> str:
        """Why ovsdb-server refused it."""
        return str(self._txn.get_error())


def _plain(value: Any) -> Any:
    """A form in which a column's present and wanted values compare equal, whatever sequence they came in."""
    if isinstance(value, list | tuple | set | frozenset):
        return frozenset(getattr(item, "uuid", item) for item in value) or None
    return None if value == {} else value
