"""A node as its switch's database describes it, with the names for its numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cli.access import Access, Here
from cli.errors import CliError
from cli.where import DEFAULT_BRIDGE
from controller.policy.names import NO_POLICIES, PolicyNames
from node_agent.settings import HEALTH_ADDRESS
from openflow.render import Names
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT, Bridge, PodPort, Row, Tables, find_bridge, parse_bridge

HERE = Here()


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of a daemon on the machine where it runs: its settings, its logs, configurations beside them, and Open
    vSwitch's run directory there (None: that of the place)."""

    settings: Path | None = None
    logs: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()
    rundir: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where an agent tells about itself: its health-address, in the network namespace at this path (None: ours), or
    behind a unix socket that stands for it. `daemon` is another one's name where it is no agent."""

    address: str = HEALTH_ADDRESS
    netns: Path | None = None
    socket: Path | None = None
    daemon: str = "weft-agent"


@dataclass(frozen=True, slots=True)
class ControllerPlace:
    """A controller: where it runs ("" where that says nothing), where it can be asked (None: nowhere from here), what
    is known to be wrong with it, and what to look at on its machine: settings and logs."""

    name: str
    node: str = ""
    health: AgentPlace | None = None
    problems: tuple[str, ...] = ()
    sources: Sources = Sources()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's switch and its agent are reached. `node` is the name by which it is asked for, "" until its
    bridge says."""

    ovsdb: str
    management: Path
    bridge: str = DEFAULT_BRIDGE
    node: str = ""
    agent: AgentPlace = AgentPlace()
    access: Access = HERE
    sources: Sources = Sources()

    @property
    def rundir(self) -> Path:
        """Where ovs-vswitchd has its sockets and its pid file."""
        return self.management.parent


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node. `tunnel_ip` is its end of the tunnels, `controllers` says which are connected, `mtu` is the pods'."""

    node: str
    place: Place
    bridge: Bridge
    tunnel_ip: str
    mtu: int | None
    ovs_version: str
    controllers: Mapping[str, bool]

    @property
    def port_names(self) -> Mapping[int, str]:
        """Port names by OpenFlow number."""
        named = {port.ofport: name for name, port in self.bridge.ports.items() if port.ofport is not None}
        return named | {number: name for name, number in self.bridge.system.items() if number is not None}

    def number_of(self, port: str) -> int:
        """OpenFlow number of one of the bridge's own ports; CliError while Open vSwitch has not opened it."""
        number = self.bridge.system.get(port)
        if number is None:
            raise CliError(f"{self.node}: bridge {self.bridge.name} has no port {port}; is weft-agent running?")
        return number

    def pod_port(self, pod: str) -> PodPort | None:
        """The port of pod `<namespace>/<name>`, one that is programmed before one that is not."""
        found = [port for port in self.bridge.ports.values() if pod_key(port) == pod]
        return max(found, key=lambda port: (port.ready, port.ofport is not None), default=None)


@dataclass(frozen=True, slots=True)
class Silent:
    """A node whose switch or agent does not answer, and why."""

    node: str
    why: str


def pod_key(port: PodPort) -> str:
    """`<namespace>/<name>` of the pod behind a port."""
    return f"{port.namespace}/{port.pod}"


def read_node(place: Place, tables: Tables) -> NodeView:
    """The node behind these rows. Raises CliError when they have no such bridge."""
    bridge = parse_bridge(place.bridge, tables)
    row = find_bridge(place.bridge, tables)
    if bridge is None or row is None:
        known = ", ".join(sorted(each["name"] for each in tables["Bridge"].values())) or "none"
        raise CliError(f"{place.ovsdb}: there is no bridge {place.bridge} (bridges: {known}); give --bridge")
    controllers = [tables["Controller"][key] for key in tables["Bridge"][row]["controller"]]
    version = next((each["ovs_version"] for each in tables["Open_vSwitch"].values()), None)
    tunnel, gateway = (_interface(tables, name) for name in (TUNNEL_PORT, GATEWAY_PORT))
    return NodeView(
        node=place.node or bridge.node or "this node",
        place=place,
        bridge=bridge,
        tunnel_ip=tunnel["options"].get("local_ip", "") if tunnel else "",
        mtu=gateway["mtu_request"] if gateway else None,
        ovs_version=version or "",
        controllers={each["target"]: bool(each["is_connected"]) for each in controllers},
    )


def names_of(view: NodeView, pods: Iterable[str], nodes: Iterable[str], policy: PolicyNames = NO_POLICIES) -> Names:
    """Names for the numbers in a node's flows; `pods` as `<namespace>/<name>`, beside those on its bridge."""
    keys = {*pods, *map(pod_key, view.bridge.ports.values())}
    pairs = [(namespace, name) for namespace, _, name in (key.partition("/") for key in sorted(keys))]
    own = {view.bridge.node} - {""}
    found = Names.of(view.port_names, pairs, sorted({*nodes, *own}))
    return replace(found, owners={**policy.owners, **found.owners}, identities=policy.identities)


def _interface(tables: Tables, name: str) -> Row | None:
    return next((row for row in tables["Interface"].values() if row["name"] == name), None)
