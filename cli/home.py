"""Where a node has its Open vSwitch and its agent, by the agent's settings. Runs on the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, structs

from node_agent.settings import AgentSettings
from ovsdb import appctl
from ovsdb.errors import OvsdbError

RUNDIR = "/run/openvswitch"
_SETTINGS = ("ovsdb", "bridge", "health-address")


class HomeWanted(Struct, frozen=True):
    """The agent's settings file; "" when nobody knows. `bridge` beats what it says, unless it is ""."""

    settings: str = ""
    bridge: str = ""


class Home(Struct, frozen=True):
    """`database`, `management` and `control` are paths of sockets, "" for one that is not there; `pid` is that of
    ovs-vswitchd, as its file says; `health` is the agent's health-address."""

    rundir: str
    bridge: str
    database: str
    management: str
    control: str
    pid: str
    health: str


def look(wanted: HomeWanted) -> Home:
    """Where things are on this node."""
    said = _defaults() | _settings(wanted.settings)
    kind, _, path = said["ovsdb"].partition(":")
    rundir = Path(path).parent if kind == "unix" else Path(RUNDIR)
    bridge = wanted.bridge or said["bridge"]
    control, pid = _control(rundir)
    return Home(
        rundir=str(rundir), bridge=bridge, database=_there(Path(path) if kind == "unix" else rundir / "db.sock"),
        management=_there(rundir / f"{bridge}.mgmt"), control=control, pid=pid, health=said["health-address"],
    )  # fmt: skip


def _defaults() -> dict[str, str]:
    known = {field.name.replace("_", "-"): field.default for field in structs.fields(AgentSettings)}
    return {name: str(known[name]) for name in _SETTINGS}


def _settings(path: str) -> dict[str, str]:
    """What the file says; nothing when it cannot be read, as from a container that does not have it."""
    try:
        found: Any = yaml.safe_load(Path(path).read_text()) if path else {}
    except (OSError, yaml.YAMLError):
        return {}
    return {name: str(found[name]) for name in _SETTINGS if name in found} if isinstance(found, dict) else {}


def _control(rundir: Path) -> tuple[str, str]:
    try:
        path = appctl.socket_of(rundir)
        return _there(path), (rundir / "ovs-vswitchd.pid").read_text()
    except (OvsdbError, OSError):
        return "", ""


def _there(path: Path) -> str:
    return str(path) if path.exists() else ""
