"""Reads a whole database once, over its local socket: every table and column, also those that Weft has no use for.

The sessions of `ovsdb.loop` follow the few columns that Weft knows. Somebody who looks for what is wrong wants the
rest too: what a connection failed of, where the certificates are. Source: RFC 7047, sections 4.1.2 (get_schema),
4.1.3 (transact) and 5.1 (values).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovsdb.errors import OvsdbError
from ovsdb.schema import DATABASE

TIMEOUT_SECONDS = 10.0
_CHUNK = 1 << 18

Rows = Mapping[str, Mapping[str, Any]]
"""Rows of a table by their id. A map column is a dict, a set a list, what may be missing None, and a reference the id
of its row."""
Dump = Mapping[str, Rows]
"""Rows by table."""


def read(socket_path: Path, timeout: float = TIMEOUT_SECONDS) -> Dump:
    """Every row behind the socket of an ovsdb-server. `timeout` is in seconds, for each wait.

    OvsdbError: it does not answer as it should; the message names the socket.
    """
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(str(socket_path))
            schema = _call(sock, "get_schema", [DATABASE])["tables"]
            tables = sorted(schema)
            selects = [{"op": "select", "table": table, "where": []} for table in tables]
            results = _call(sock, "transact", [DATABASE, *selects])
        return {
            table: _rows(result, schema[table]["columns"]) for table, result in zip(tables, results, strict=False)
        }
    except FileNotFoundError as e:
        raise OvsdbError(f"{socket_path}: no such socket; is ovsdb-server running?") from e
    except OSError as e:
        why = e.strerror or "no answer in time"
        raise OvsdbError(f"{socket_path}: cannot read the database: {why}; is ovsdb-server running?") from e
    except (ValueError, KeyError, TypeError) as e:
        raise OvsdbError(f"{socket_path}: what answers is no Open vSwitch database: {e}") from e


def _call(sock: socket.socket, method: str, params: list[Any]) -> Any:
    """The result of one request. ValueError: the connection ended, or it was refused."""
    sock.sendall(json.dumps({"method": method, "params": params, "id": method}).encode())
    held = b""
    while chunk := sock.recv(_CHUNK):
        held += chunk
        if not held.rstrip().endswith(b"}"):
            continue
        try:
            answer = json.loads(held)
        except ValueError:  # more is to come
            continue
        if answer.get("error"):
            raise ValueError(f"{method}: {answer['error']}")
        return answer["result"]
    raise ValueError("the connection was closed in the middle of an answer")


def _rows(result: Mapping[str, Any], columns: Mapping[str, Any]) -> Rows:
    """Rows of one select, sorted: by name where they have one."""
    rows = sorted(result["rows"], key=lambda row: (str(row.get("name", "")), row["_uuid"][1]))
    return {
        row["_uuid"][1]: {name: _shaped(row[name], columns[name]["type"]) for name in sorted(row) if name in columns}
        for row in rows
    }


def _shaped(value: Any, kind: Any) -> Any:
    """A column's value by its type: on the wire, a set of one is written as the one, and what is missing as a set."""
    plain = _plain(value)
    if not isinstance(kind, dict) or "value" in kind or (kind.get("min", 1), kind.get("max", 1)) == (1, 1):
        return plain
    several = plain if isinstance(plain, list) else [plain]
    return next(iter(several), None) if kind.get("max", 1) == 1 else several


def _plain(value: Any) -> Any:
    match value:
        case ["map", list(pairs)]:
            return {str(_plain(key)): _plain(item) for key, item in sorted(pairs, key=str)}
        case ["set", list(items)]:
            return [_plain(item) for item in items]
        case ["uuid" | "named-uuid", str(row)]:
            return row
        case _:
            return value
