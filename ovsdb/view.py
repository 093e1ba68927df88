"""From row changes to events: what a node's bridge looks like, and which of its ports changed.

Pure: rows come in as plain values, events go out. Only ports that a change touches are looked at again, so a change
on a node with 250 pods costs one port, not 250. The law: events applied in order give what `parse_bridge` reads from
the same rows (property test).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ovsdb.changes import Kind, RowChange
from ovsdb.rows import (
    Bridge,
    ForeignPort,
    PodPort,
    PortReading,
    PortRefused,
    Purging,
    Row,
    SystemPort,
    Tables,
    bridge_of,
    find_bridge,
    read_port,
)


@dataclass(frozen=True, slots=True)
class BridgeSeen:
    """The bridge's own columns. `controllers`: whether connected, by target; empty when that is not followed."""

    name: str
    node: str
    version: str
    datapath_id: int | None
    datapath_type: str
    controllers: Mapping[str, bool] = field(default_factory=dict)
    purging: Purging = field(default_factory=Purging)


@dataclass(frozen=True, slots=True)
class BridgeGone:
    """The bridge was deleted, and all its ports with it."""

    name: str


@dataclass(frozen=True, slots=True)
class PortChanged:
    """A pod's port is new or changed."""

    port: PodPort


@dataclass(frozen=True, slots=True)
class PortGone:
    """A port, of whatever kind, is not on the bridge any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything as it is now; whatever was told before is void. `bridge` is None when there is none of the name."""

    head: BridgeSeen | None
    bridge: Bridge | None
    system: tuple[SystemPort, ...] = ()


@dataclass(frozen=True, slots=True)
class OvsdbLost:
    """No connection to the node's database. What was told last may be out of date; a Snapshot follows."""

    reason: str


PortEvent = PortChanged | SystemPort | ForeignPort | PortRefused | PortGone
"""The newest event for a port's name replaces all earlier ones for that name."""
BridgeEvent = Snapshot | BridgeSeen | BridgeGone | PortEvent | OvsdbLost


class BridgeView:
    """Follows one bridge of a database: feed it rows and changes, take events."""

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge
        self._tables: dict[str, dict[UUID, dict[str, Any]]] = {}
        self._uuid: UUID | None = None
        self._head: BridgeSeen | None = None
        self._owner: dict[UUID, UUID] = {}  # interface -> port
        self._read: dict[UUID, PortReading] = {}

    def sync(self, tables: Tables) -> Snapshot:
        """Start from all rows."""
        self._tables = {name: {key: dict(row) for key, row in rows.items()} for name, rows in tables.items()}
        self._owner = {i: port for port, row in self._tables["Port"].items() for i in row["interfaces"]}
        self._uuid, self._head, self._read = find_bridge(self.bridge, self._tables), None, {}
        if self._uuid is None:
            return Snapshot(None, None)
        row = self._tables["Bridge"][self._uuid]
        self._head = self._see(row)
        self._read = {port: self._classify(port) for port in row["ports"]}
        found = [reading for reading in self._read.values() if isinstance(reading, SystemPort)]
        system = tuple(sorted(found, key=lambda port: port.name))
        return Snapshot(self._head, bridge_of(row, self._read.values()), system)

    def apply(self, changes: Iterable[RowChange]) -> list[BridgeEvent]:
        """Take changes, in order; what they mean. Goings come before comings, so a name that comes again stays."""
        dirty: set[UUID] = set()
        for change in changes:
            dirty |= self._touched(change)
            self._store(change)
            dirty |= self._touched(change)
        return [*self._head_events(dirty), *self._port_events(dirty)]

    def _touched(self, change: RowChange) -> set[UUID]:
        """Ports to look at again, as the rows stand."""
        if change.table == "Port":
            return {change.uuid}
        if change.table == "Interface":
            return {self._owner[change.uuid]} if change.uuid in self._owner else set()
        if change.table == "Bridge" and "ports" in change.values:
            row = self._tables["Bridge"].get(change.uuid)
            return set(row["ports"]) ^ set(change.values["ports"]) if row else set(change.values["ports"])
        return set()

    def _store(self, change: RowChange) -> None:
        rows = self._tables[change.table]
        row = rows.get(change.uuid, {})
        if change.table == "Port" and (change.kind is Kind.DELETED or "interfaces" in change.values):
            for interface in row.get("interfaces", ()):
                self._owner.pop(interface, None)
            if change.kind is not Kind.DELETED:
                self._owner |= dict.fromkeys(change.values["interfaces"], change.uuid)
        if change.kind is Kind.DELETED:
            rows.pop(change.uuid, None)
        else:
            rows[change.uuid] = {**row, **change.values}

    def _head_events(self, dirty: set[UUID]) -> list[BridgeEvent]:
        before, self._uuid = self._uuid, find_bridge(self.bridge, self._tables)
        head = None if self._uuid is None else self._see(self._tables["Bridge"][self._uuid])
        known, self._head = self._head, head
        if before != self._uuid:
            # Another bridge row under the name: all its ports are news, and all those of the old one are gone.
            dirty |= set(self._read) | (set(self._tables["Bridge"][self._uuid]["ports"]) if self._uuid else set())
        if head is None:
            return [] if known is None else [BridgeGone(self.bridge)]
        return [] if head == known else [head]

    def _port_events(self, dirty: set[UUID]) -> list[BridgeEvent]:
        present = self._tables["Bridge"][self._uuid]["ports"] if self._uuid else frozenset()
        gone = [PortGone(self._read.pop(port).name) for port in dirty - present if port in self._read]
        came: list[PortReading] = []
        for port in dirty & present:
            reading = self._classify(port)
            if reading != self._read.get(port):
                self._read[port] = reading
                came.append(reading)
        events = [PortChanged(port) if isinstance(port, PodPort) else port for port in sorted(came, key=_name)]
        return [*sorted(gone, key=_name), *events]

    def _see(self, row: Row) -> BridgeSeen:
        head = bridge_of(row, ())
        rows = [self._tables["Controller"][key] for key in row.get("controller", ())]
        connected = {controller["target"]: controller["is_connected"] for controller in rows}
        own = (head.name, head.node, head.version, head.datapath_id, head.datapath_type)
        return BridgeSeen(*own, connected, head.purging)

    def _classify(self, port: UUID) -> PortReading:
        row = self._tables["Port"][port]
        return read_port(self.bridge, row, [self._tables["Interface"][key] for key in row["interfaces"]])


def _name(event: PortReading | PortGone) -> str:
    return event.name
