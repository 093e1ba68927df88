"""Every name, path and address a lab uses, computed from the lab's name and the node's number.

One place, so that `weftctl`, the daemon, the tests and the sweep of a killed lab agree on what belongs to
whom without asking each other. Pure: nothing here touches the machine.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

MARKER = "WEFT_LAB"
"""Environment variable that every process of a lab carries; its value is the lab's name."""

LAB = "lab.weft.dev/name"
"""Label of a lab's Nodes, and taint of those in another's cluster, whose own pods are not for a lab."""

MAX_NODES = 20
MAX_CONTROLLERS = 3
LEASE_NAMESPACE, LEASE_NAME = "weft-system", "weft-controller"
"""The Lease of controllers, where there are several."""
API_PORT = 6443
AGENT_HEALTH_PORT = 9443

_RUN = Path("/run")
_LAB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
_GATEWAY_HOST = 254

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class LabNameError(ValueError):
    """A lab name that cannot be used, with what is wrong about it."""


class Family(StrEnum):
    """The address families that the nodes and pods of a lab have."""

    DUAL = "dual"
    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def versions(self) -> tuple[int, ...]:
        return {Family.DUAL: (4, 6), Family.IPV4: (4,), Family.IPV6: (6,)}[self]


class Datapath(StrEnum):
    """What forwards the packets of a lab's switches: ovs-vswitchd itself, or the kernel's openvswitch module."""

    USERSPACE = "userspace"
    KERNEL = "kernel"

    @property
    def ovs_type(self) -> str:
        """The bridge's `datapath_type` in Open vSwitch's words (ovs-vswitchd.conf.db(5))."""
        return {Datapath.USERSPACE: "netdev", Datapath.KERNEL: "system"}[self]


class Underlay(StrEnum):
    """The two networks between nodes: one for people and the API, one for tunnels."""

    MANAGEMENT = "mgmt"
    TRANSPORT = "transport"


_SUBNETS: dict[Underlay, tuple[Network, ...]] = {
    Underlay.MANAGEMENT: (IPv4Network("198.18.0.0/24"), IPv6Network("fd57:e0::/64")),
    Underlay.TRANSPORT: (IPv4Network("198.18.1.0/24"), IPv6Network("fd57:e1::/64")),
}


@dataclass(frozen=True, slots=True)
class Interface:
    """An address on an underlay, with the prefix length of the underlay."""

    address: Address
    prefix_length: int


def check_lab_name(name: str) -> str:
    """Return `name` if it can name a lab; raise LabNameError if not.

    A name ending in `-node<number>` is refused: its underlay namespace could be read as another lab's node.
    """
    if not _LAB_NAME.fullmatch(name) or "--" in name:
        raise LabNameError(
            f"lab name {name!r}: use 1 to 20 of a-z, 0-9 and single hyphens, with a letter or digit at both ends"
        )
    if re.search(r"-node\d+$", name):
        raise LabNameError(f"lab name {name!r}: must not end in -node<number>, that is how nodes are called")
    return name


def node_name(number: int) -> str:
    return f"node{number}"


def controller_name(number: int) -> str:
    """How the process of a controller is called, and the controller on its Lease."""
    return "controller" if number == 1 else f"controller{number}"


def underlay_namespace(lab: str) -> str:
    return f"weft-{lab}"


def node_namespace(lab: str, node: str) -> str:
    return f"weft-{lab}-{node}"


def pod_namespace(lab: str, node: str, key: str) -> str:
    """The namespace of the pod `key` (`<namespace>/<name>`): a hash, because pod names may be 253 long."""
    return f"weft-{lab}-{node}--{hashlib.blake2s(key.encode(), digest_size=5).hexdigest()}"


def namespace_pattern(lab: str) -> re.Pattern[str]:
    """Matches exactly the network namespaces of `lab`."""
    return re.compile(rf"weft-{re.escape(lab)}(-node\d+(--[0-9a-f]+)?)?")


def host_interfaces(underlay: Underlay, number: int, family: Family) -> tuple[Interface, ...]:
    """The addresses of node `number` on an underlay, IPv4 before IPv6."""
    subnets = (net for net in _SUBNETS[underlay] if net.version in family.versions)
    return tuple(Interface(net[number], net.prefixlen) for net in subnets)


def gateway_interfaces(family: Family) -> tuple[Interface, ...]:
    """The addresses of the management gateway, which is also where nodes find the API server."""
    return host_interfaces(Underlay.MANAGEMENT, _GATEWAY_HOST, family)


def api_address(family: Family) -> str:
    """`host:port` of the API server as the nodes see it."""
    address = gateway_interfaces(family)[0].address
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{host}:{API_PORT}"


def pod_cidrs(number: int, family: Family) -> tuple[Network, ...]:
    both = (IPv4Network(f"10.244.{number}.0/24"), IPv6Network(f"fd57:244:0:{number:x}::/64"))
    return tuple(net for net in both if net.version in family.versions)


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where one node keeps its files."""

    root: Path

    @property
    def ovs(self) -> Path:
        return self.root / "ovs"

    @property
    def database(self) -> Path:
        return self.ovs / "conf.db"

    @property
    def ovsdb_socket(self) -> Path:
        return self.ovs / "db.sock"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def cni_socket(self) -> Path:
        return self.root / "cni.sock"

    @property
    def cni_conf(self) -> Path:
        return self.root / "cni-conf"

    @property
    def cni_cache(self) -> Path:
        return self.root / "cni-cache"

    @property
    def agent_config(self) -> Path:
        return self.root / "agent.yaml"


@dataclass(frozen=True, slots=True)
class ControllerPaths:
    """Where one controller keeps its files, below the lab's `root`."""

    root: Path
    name: str

    @property
    def config(self) -> Path:
        return self.root / f"{self.name}.yaml"

    @property
    def openflow_socket(self) -> Path:
        return self.root / f"{self.name.replace('controller', 'openflow')}.sock"

    @property
    def log(self) -> Path:
        return self.root / "log" / f"{self.name}.log"


@dataclass(frozen=True, slots=True)
class LabPaths:
    """Where a lab keeps its files: all of them under one directory, which `lab down` removes."""

    lab: str

    @property
    def root(self) -> Path:
        return _RUN / f"weft-{self.lab}"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "api" / "kubeconfig"

    @property
    def nodes_kubeconfig(self) -> Path:
        """Only of a lab that has joined a cluster: the kubeconfig of its agents."""
        return self.root / "api" / "nodes.kubeconfig"

    @property
    def daemon_ready(self) -> Path:
        """Written by the daemon when it serves; says on which port the lab's own API answers."""
        return self.root / "api" / "ready.json"

    @property
    def processes(self) -> Path:
        return self.root / "processes"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def relay(self) -> Path:
        return self.root / "bin" / "weft"

    @property
    def controller_config(self) -> Path:
        return self.controller(1).config

    @property
    def openflow_socket(self) -> Path:
        return self.controller(1).openflow_socket

    def controller(self, number: int) -> ControllerPaths:
        return ControllerPaths(self.root, controller_name(number))

    def node(self, node: str) -> NodePaths:
        return NodePaths(self.root / "nodes" / node)
