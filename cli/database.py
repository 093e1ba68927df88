"""Reads the rows that commands need from one or many switch databases, side by side."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final

from ovsdb.changes import Lost, SessionEvent, Synced
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import Tables
from ovsdb.schema import Interest

TIMEOUT_SECONDS = 10.0
_AT_A_TIME = 64
"""Each is a program that is started in a pod, where the database is in a cluster."""

ROWS: Final[Interest] = {
    "Open_vSwitch": ("ovs_version",),
    "Bridge": ("name", "ports", "datapath_id", "datapath_type", "external_ids", "controller"),
    "Port": ("name", "interfaces", "external_ids"),
    "Interface": ("name", "ofport", "ifindex", "error", "external_ids", "options", "mtu_request"),
    "Controller": ("target", "is_connected"),
}


def read(remotes: Iterable[str], timeout: float = TIMEOUT_SECONDS) -> Mapping[str, Tables | str]:
    """The rows behind each remote (`unix:PATH`, `tcp:IP:PORT`), or why they cannot be had, in words."""
    found: dict[str, Tables | str] = {}
    waiting = list(dict.fromkeys(remotes))
    while waiting:
        batch, waiting = waiting[:_AT_A_TIME], waiting[_AT_A_TIME:]
        with OvsdbLoop("weftctl") as loop:
            asked = {remote: _ask(loop, remote) for remote in batch}
            found |= {remote: _answer(remote, future, timeout) for remote, future in asked.items()}
    return found


def _ask(loop: OvsdbLoop, remote: str) -> "Future[Tables | str]":
    future: Future[Tables | str] = Future()

    def told(event: SessionEvent) -> None:
        if future.done():
            return
        if isinstance(event, Synced):
            future.set_result(event.tables)
        elif isinstance(event, Lost):
            future.set_result(event.reason)

    try:
        loop.session(remote, ROWS).start(told)
    except ValueError as e:
        future.set_result(str(e))
    return future


def _answer(remote: str, future: "Future[Tables | str]", timeout: float) -> Tables | str:
    try:
        return future.result(timeout)
    except FutureTimeout:
        return f"{remote}: no answer within {timeout:g} s"
