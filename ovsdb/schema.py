"""The part of the Open_vSwitch schema that Weft reads and writes, and which session registers what.

Carried in code rather than read from `vswitch.ovsschema`: the controller need not have Open vSwitch installed,
and a session starts without parsing a schema of which it uses a twentieth. Source: ovs-vswitchd.conf.db(5);
an integration test compares it with the installed schema.
"""

from collections.abc import Mapping
from typing import Any, Final

DATABASE: Final = "Open_vSwitch"

Interest = Mapping[str, tuple[str, ...]]
"""Columns to replicate, by table. What is not named is not sent: interface statistics, above all."""

_MAP: Final = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
_SET: Final = {"key": "string", "min": 0, "max": "unlimited"}
_MAYBE: Final = {"key": "string", "min": 0, "max": 1}
_MAYBE_INT: Final = {"key": "integer", "min": 0, "max": 1}


def _refs(table: str, at_least: int = 0) -> dict[str, Any]:
    return {"key": {"type": "uuid", "refTable": table}, "min": at_least, "max": "unlimited"}


COLUMNS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Open_vSwitch": {
        "bridges": _refs("Bridge"),
        "ovs_version": _MAYBE,
        "datapath_types": _SET,
        "iface_types": _SET,
        "other_config": _MAP,
        "next_cfg": "integer",
        "ssl": {"key": {"type": "uuid", "refTable": "SSL"}, "min": 0, "max": 1},
        "manager_options": _refs("Manager"),
    },
    "SSL": {
        "private_key": "string",
        "certificate": "string",
        "ca_cert": "string",
        "bootstrap_ca_cert": "boolean",
        "external_ids": _MAP,
    },
    "Manager": {"target": "string", "external_ids": _MAP},
    "Bridge": {
        "name": "string",
        "ports": _refs("Port"),
        "datapath_id": _MAYBE,
        "datapath_type": "string",
        "fail_mode": _MAYBE,
        "protocols": _SET,
        "controller": _refs("Controller"),
        "external_ids": _MAP,
        "other_config": _MAP,
    },
    "Port": {
        "name": "string",
        "interfaces": _refs("Interface", 1),
        "qos": {"key": {"type": "uuid", "refTable": "QoS"}, "min": 0, "max": 1},
        "external_ids": _MAP,
    },
    "QoS": {"type": "string", "external_ids": _MAP},
    "Interface": {
        "name": "string",
        "type": "string",
        "ofport": _MAYBE_INT,
        "ofport_request": _MAYBE_INT,
        "ifindex": _MAYBE_INT,
        "error": _MAYBE,
        "external_ids": _MAP,
        "options": _MAP,
        "mac": _MAYBE,
        "mtu_request": _MAYBE_INT,
    },
    "Controller": {
        "target": "string",
        "type": _MAYBE,
        "is_connected": "boolean",
        "max_backoff": _MAYBE_INT,
        "inactivity_probe": _MAYBE_INT,
        "connection_mode": _MAYBE,
    },
}

WATCH: Final[Interest] = {
    "Open_vSwitch": ("next_cfg",),
    "Bridge": ("name", "ports", "datapath_id", "datapath_type", "external_ids"),
    "Port": ("name", "interfaces", "external_ids"),
    "Interface": ("name", "ofport", "ofport_request", "ifindex", "error", "external_ids"),
}
"""What the controller follows: bridges, their ports, and who is behind them. `next_cfg` it only writes, one more than
it was (`BridgeWatch.reconfigure`)."""

OWN: Final[Interest] = {table: tuple(columns) for table, columns in COLUMNS.items()}
"""What the agent follows and writes: its whole switch, less statistics and status."""


def schema_of(interest: Interest) -> dict[str, Any]:
    """The database schema (RFC 7047, section 3.2) of just these columns. KeyError: a column we do not know."""
    return {
        "name": DATABASE,
        "version": "8.0.0",
        "tables": {table: _table(table, columns) for table, columns in interest.items()},
    }


def _table(table: str, columns: tuple[str, ...]) -> dict[str, Any]:
    known = COLUMNS[table]
    return {"isRoot": table == DATABASE, "columns": {name: {"type": known[name]} for name in columns}}
