"""What a session tells its owner: all rows once, what changed since, or that the connection is gone."""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from ovsdb.rows import Row, Tables


class Kind(Enum):
    """What happened to a row; the values are the OVSDB library's."""

    CREATED = "create"
    MODIFIED = "update"
    DELETED = "delete"


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row's change.

    `values` are all columns of a created row, the changed ones of a modified row, the last ones of a deleted row.
    """

    table: str
    uuid: UUID
    kind: Kind
    values: Row


@dataclass(frozen=True, slots=True)
class Synced:
    """Connected: all rows as they are now. Whatever was known before is void."""

    tables: Tables


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed, in order."""

    changes: tuple[RowChange, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """Not connected, and why; told again when the reason changes. The session goes on trying."""

    reason: str


SessionEvent = Synced | Changed | Lost
