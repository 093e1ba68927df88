"""Where a command finds its nodes: all of a lab's or a cluster's, or the one whose sockets are given.

Commands are written once, against `Fabric`; the three sources differ in how they find places and names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.access import Here
from cli.errors import CliError
from cli.view import AgentPlace, ControllerPlace, Place, Silent, Sources
from cli.where import Where, default_kubeconfig
from daemon.health import parse_address

if TYPE_CHECKING:
    from lab.config import LabState
    from lab.names import LabPaths
    from lab.node import NodeConfig

SYSTEM_RUNDIR = Path("/run/openvswitch")


@dataclass(frozen=True, slots=True)
class Fabric:
    """The nodes a command works on. `api` is the Kubernetes API to ask for names: a URL, a kubeconfig (then with a
    `context`, "" for its current one), or "". `namespace` is where Weft is installed in a cluster, "" in none.
    `controllers` are None where it is not known which there are; `silent` are nodes without a place to ask."""

    title: str
    places: tuple[Place, ...]
    api: str = ""
    context: str = ""
    namespace: str = ""
    controllers: tuple[ControllerPlace, ...] | None = None
    silent: tuple[Silent, ...] = ()

    def only(self, node: str) -> Fabric:
        """Just one of the nodes; CliError when it is not among them. "" keeps all."""
        if not node:
            return self
        found = tuple(place for place in self.places if place.node == node)
        silent = tuple(each for each in self.silent if each.node == node)
        # A single node goes by whatever name its bridge has, which is known only after reading it.
        unnamed = tuple(place for place in self.places if not place.node)
        if not found and not unnamed and not silent:
            known = ", ".join([place.node for place in self.places] + [each.node for each in self.silent])
            raise CliError(f"{self.title} has no node {node!r}: it has {known}")
        return replace(self, places=found or (() if silent else unnamed), silent=silent)


def find_fabric(where: Where, system: Path = SYSTEM_RUNDIR) -> Fabric:
    """The sockets that were named, else the lab, else the cluster; if nothing was named, the lab that is up, this
    machine's Open vSwitch, or the cluster that kubectl would talk to. Raises CliError."""
    return _find(where, system, _of_cluster)


def find_api(where: Where, system: Path = SYSTEM_RUNDIR) -> Fabric:
    """The same for who asks nothing but the Kubernetes API: in a cluster, Weft need not be there."""
    return _find(where, system, _api_of_cluster)


def _find(where: Where, system: Path, of_cluster: Callable[[Where], Fabric]) -> Fabric:
    if where.lab and where.says_sockets:
        raise CliError("--lab and --rundir, --ovsdb or --openflow exclude each other: give one")
    if where.says_sockets:
        return of_sockets(where)
    if where.lab:
        return _of_lab(where.lab, where)
    if where.says_cluster:
        return of_cluster(where)
    name = _running_lab()
    if name:
        return _of_lab(name, where)
    if system.is_dir():
        return of_sockets(Where(rundir=str(system), bridge=where.bridge))
    if _kubeconfigs():
        return of_cluster(where)
    raise CliError(
        f"there is nothing to look at: no lab is up, {system} does not exist, and there is no kubeconfig. Start a "
        "lab with `weftctl lab up`, point to a node's Open vSwitch with --rundir, or to a cluster with --kubeconfig"
    )


def _kubeconfigs() -> list[str]:
    """The kubeconfigs that kubectl would read and that are there."""
    return [path for path in default_kubeconfig().split(":") if path and Path(path).is_file()]


def _api_of_cluster(where: Where) -> Fabric:
    return Fabric("the cluster", (), where.kubeconfig or default_kubeconfig(), where.context, where.weft_namespace)


def _of_cluster(where: Where) -> Fabric:
    """A cluster's nodes, asked through its API."""
    from cli.cluster import fabric

    found = fabric.find(where)
    return Fabric(
        found.title, found.places, found.kubeconfig, where.context, where.weft_namespace, found.controllers,
        found.silent,
    )  # fmt: skip


def find_agents(where: Where, nodes: Sequence[str], addresses: Sequence[str]) -> list[tuple[str, AgentPlace]]:
    """The agents at these addresses, else those of these nodes (none: of all); each with the node that it is thought
    to be of, "" where only it knows. Raises CliError."""
    if addresses:
        if nodes or where.lab or where.says_sockets:
            raise CliError("--agent and --node, --lab, --rundir, --ovsdb or --openflow exclude each other: give one")
        return [("", _agent(each)) for each in dict.fromkeys(addresses)]
    fabric = find_fabric(where)
    places = [(node or place.node, place) for node in nodes or [""] for place in fabric.only(node).places]
    return list(dict.fromkeys((node, place.agent) for node, place in places))


def _agent(address: str) -> AgentPlace:
    try:
        parse_address(address)
    except ValueError as e:
        raise CliError(f"--agent: {e}") from e
    return AgentPlace(address)


def of_sockets(where: Where) -> Fabric:
    """One node by its sockets. `rundir` has both under their usual names; CliError says what is missing."""
    rundir = Path(where.rundir) if where.rundir else None
    if rundir is not None and not rundir.is_dir():
        raise CliError(f"--rundir {rundir}: there is no such directory")
    ovsdb = where.ovsdb or (f"unix:{rundir / 'db.sock'}" if rundir else "")
    management = _management(where, rundir)
    if not ovsdb or management is None:
        missing = "--openflow" if ovsdb else "--ovsdb"
        raise CliError(f"{missing} is missing: give both --ovsdb and --openflow, or --rundir for their usual places")
    netns = _netns_of(management.parent)
    place = Place(ovsdb, management, where.bridge, "", AgentPlace(netns=netns), Here(netns))
    api = where.kubeconfig or (default_kubeconfig() if where.context else "")
    return Fabric(str(rundir or management.parent), (place,), api, where.context)


def _netns_of(rundir: Path) -> Path | None:
    """The network namespace of the ovs-vswitchd with this run directory; None when it is ours, or cannot be told, as
    in a container that does not see its process."""
    try:
        process = Path("/proc") / (rundir / "ovs-vswitchd.pid").read_text().strip()
        found, ours = process / "ns" / "net", Path("/proc/self/ns/net")
        if (process / "comm").read_text().strip() != "ovs-vswitchd" or found.samefile(ours):
            return None
    except OSError:
        return None
    return found


def _management(where: Where, rundir: Path | None) -> Path | None:
    if not where.openflow:
        return rundir / f"{where.bridge}.mgmt" if rundir else None
    kind, _, path = where.openflow.partition(":")
    if kind != "unix" or not path.startswith("/"):
        raise CliError(f"--openflow {where.openflow!r}: give unix:/absolute/path of a bridge's .mgmt socket")
    return Path(path)


def choose_lab(up: Iterable[str], default: str = "lab") -> str:
    """Which lab is meant when none was named: `lab`, or the only one; "" when none is up. Raises CliError."""
    labs = sorted(up)
    if default in labs or not labs:
        return default if labs else ""
    if len(labs) > 1:
        raise CliError(f"several labs are up: {', '.join(labs)}; choose with --lab")
    return labs[0]


def _running_lab() -> str:
    from lab.names import LabPaths

    prefix = LabPaths("").root
    names = (path.name.removeprefix(prefix.name) for path in prefix.parent.glob(f"{prefix.name}*"))
    states = ((name, _state(name)) for name in names)
    return choose_lab(name for name, state in states if state is not None and state.complete)


def _state(lab: str) -> LabState | None:
    """What is remembered of a lab; None for a directory that only looks like a lab's."""
    from lab.config import read_state
    from lab.names import LabNameError

    try:
        return read_state(lab)
    except (LabNameError, OSError):
        return None


def _of_lab(name: str, where: Where) -> Fabric:
    """A lab's nodes, from its files: its API and controller may be dead, which is when people look."""
    from lab.config import read_state
    from lab.names import LabNameError, LabPaths

    try:
        state = read_state(name)
    except LabNameError as e:
        raise CliError(str(e)) from e
    if state is None:
        raise CliError(f"there is no lab {name!r}: `weftctl lab up --name {name}` makes one")
    places = tuple(_lab_place(node, where.bridge) for node in state.config.node_configs())
    api = where.kubeconfig or state.config.kubeconfig or _lab_api(LabPaths(name))
    return Fabric(f"lab {name!r}", places, api, controllers=tuple(_lab_controllers(LabPaths(name))))


def _lab_controllers(paths: LabPaths) -> Iterator[ControllerPlace]:
    """A lab's controllers, by their settings."""
    import yaml

    for path in sorted(paths.root.glob("controller*.yaml")):
        name = f"weft-{path.stem}"
        sources = Sources(path, (paths.log / f"{path.stem}.log",))
        try:
            address = str(yaml.safe_load(path.read_text())["health-address"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as e:
            yield ControllerPlace(name, problems=(f"its settings cannot be read: {e}",), sources=sources)
        else:
            yield ControllerPlace(name, health=AgentPlace(address, daemon="weft-controller"), sources=sources)


def _lab_place(node: NodeConfig, bridge: str) -> Place:
    from lab.names import AGENT_HEALTH_PORT

    ovs, agent = node.paths.ovs, AgentPlace(f"127.0.0.1:{AGENT_HEALTH_PORT}", node.namespace)
    logs = tuple(node.paths.log / f"{name}.log" for name in ("agent", "ovsdb", "vswitchd"))
    sources = Sources(node.paths.agent_config, logs, (node.paths.cni_conf,))
    remote, management = f"unix:{node.paths.ovsdb_socket}", ovs / f"{bridge}.mgmt"
    return Place(remote, management, bridge, node.name, agent, Here(node.namespace), sources)


def _lab_api(paths: LabPaths) -> str:
    """URL of the lab's API; "" when it has none, so that its switches can still be looked at."""
    import msgspec

    from lab.config import ApiReady

    try:
        port = msgspec.json.decode(paths.daemon_ready.read_bytes(), type=ApiReady).port
    except (OSError, msgspec.DecodeError):
        return ""
    return f"http://127.0.0.1:{port}"
