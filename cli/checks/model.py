"""What the checks are given, and what they answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cli.directory import Directory
from cli.facts import Files, NodeFacts, Probed
from cli.flows import Seen
from cli.view import NodeView
from node_agent.settings import TUNNEL_PORTS
from openflow.flow import is_ours
from ovsdb.dump import Dump
from ovsdb.rows import TUNNEL_PORT


class Result(StrEnum):
    """How a check went. UNKNOWN: it could not be made here, which is not held against the network."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found at a node ("": in the cluster), in words, and what to do about it ("" when all is well)."""

    check: str
    node: str
    result: Result
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller and what is wrong with it. `node` is where it runs, "" where that is not known."""

    name: str
    node: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as far as it could be looked at: what is None is missing, and then `silent` says why, by part: `switch`
    for its database and flows, `vswitchd`, `agent` (what it says of its readiness), `facts`, `probes`."""

    node: str
    view: NodeView | None = None
    database: Dump = field(default_factory=dict)
    vswitchd: str = ""
    flows: tuple[Seen, ...] | None = None
    unready: tuple[str, ...] | None = None
    facts: NodeFacts | None = None
    probed: tuple[Probed, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Files | None:
        """The TLS files that Open vSwitch is told to use."""
        row = next(iter(self.database.get("SSL", {}).values()), None)
        return None if row is None else Files(row["ca_cert"], row["certificate"], row["private_key"])

    @property
    def tunnel(self) -> tuple[str, int]:
        """Type and UDP port of the tunnel; ("", 0) when there is none."""
        row = self._row("Interface", TUNNEL_PORT)
        kind = str(row.get("type", ""))
        if kind not in TUNNEL_PORTS:
            return "", 0
        return kind, int(row["options"].get("dst_port", TUNNEL_PORTS[kind]))

    @property
    def managers(self) -> tuple[str, ...]:
        """Where the database listens and connects to, in Open vSwitch's words."""
        return tuple(sorted(str(row["target"]) for row in self.database.get("Manager", {}).values()))

    @property
    def last_errors(self) -> tuple[str, ...]:
        """Why the switch has lost its controllers, by its own words."""
        rows = self.database.get("Controller", {}).values()
        return tuple(sorted({str(row["status"]["last_error"]) for row in rows if "last_error" in row["status"]}))

    def transport(self, bridge: str) -> str:
        """The interface that the switch has taken over for tunnels, on its bridge; "" when there is none."""
        row = self._row("Bridge", bridge)
        names = (self.database["Port"][each]["name"] for each in row.get("ports", ()))
        return next((str(name) for name in sorted(names) if name != bridge), "")

    def ours(self) -> int | None:
        """How many flows of Weft the switch has."""
        return None if self.flows is None else sum(is_ours(each.flow.cookie) for each in self.flows)

    def _row(self, table: str, name: str) -> Mapping[str, Any]:
        rows = self.database.get(table, {}).values()
        return next((row for row in rows if row["name"] == name), {})


@dataclass(frozen=True, slots=True)
class World:
    """Everything that was seen. `api` is the Kubernetes API that was asked, "" for none; `controllers` are None where
    it is not known which there are."""

    title: str
    nodes: tuple[NodeState, ...]
    directory: Directory = field(default_factory=Directory)
    api: str = ""
    controllers: tuple[Controller, ...] | None = None

    def state(self, node: str) -> NodeState | None:
        return next((each for each in self.nodes if each.node == node), None)

    def seen(self) -> Iterator[tuple[NodeState, NodeView]]:
        """The nodes whose databases answered."""
        return ((each, each.view) for each in self.nodes if each.view is not None)
