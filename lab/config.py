"""What a lab is asked to be, and what is remembered of it on disk for later commands."""

from __future__ import annotations

from typing import Any

import msgspec

from lab import names
from lab.names import MAX_CONTROLLERS, MAX_NODES, Datapath, Family, LabPaths
from lab.node import NodeConfig

CENTRAL, NODE = "central", "node"
"""Where controllers are: few for all nodes, or one beside each agent."""

_PLACEMENTS = (CENTRAL, NODE)
_TUNNELS = ("geneve", "vxlan")
_MTU = range(1280, 65536)
_LOG_LEVELS = ("debug", "info", "warning", "error")


class LabConfigError(ValueError):
    """A setting of a lab is out of range; the message says which and what is allowed."""


class LabConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One lab: `nodes` counts them, `mtu` is the underlay's in bytes (at least IPv6's 1280).

    With a `kubeconfig`, an absolute path, it joins that cluster; without, it plays Kubernetes itself. Of several
    `controllers` one is active, by a Lease, which only a lab that plays Kubernetes can take along at its end. With
    the `placement` node each node has a controller that programs nothing else.

    Without `weft` neither controller nor agents are started: for running them by hand, under a debugger. Without
    `kubelets` nobody makes the pods real that the API assigns to nodes: the caller calls the CNI plugin itself.
    """

    name: str = "lab"
    nodes: int = 2
    controllers: int = 1
    placement: str = CENTRAL
    tunnel: str = "geneve"
    family: Family = Family.DUAL
    datapath: Datapath = Datapath.USERSPACE
    kubeconfig: str = ""
    mtu: int = 1500
    log_level: str = "info"
    weft: bool = True
    kubelets: bool = True

    def check(self) -> LabConfig:
        """This config; raises LabConfigError or LabNameError when it cannot be built."""
        names.check_lab_name(self.name)
        _check("nodes", self.nodes, range(1, MAX_NODES + 1), f"1 to {MAX_NODES}")
        most = 1 if self.kubeconfig else MAX_CONTROLLERS
        words = "1 in a cluster that is joined" if self.kubeconfig else f"1 to {MAX_CONTROLLERS}"
        _check("controllers", self.controllers, range(1, most + 1), words)
        _check("placement", self.placement, _PLACEMENTS, " or ".join(_PLACEMENTS))
        if self.placement == NODE and self.controllers > 1:
            raise LabConfigError(
                f"controllers={self.controllers} and placement=node exclude each other: then each node has its own"
            )
        _check("mtu", self.mtu, _MTU, f"{_MTU[0]} to {_MTU[-1]}")
        _check("tunnel", self.tunnel, _TUNNELS, " or ".join(_TUNNELS))
        if self.kubeconfig and not self.kubeconfig.startswith("/"):
            raise LabConfigError(f"kubeconfig={self.kubeconfig!r}: expected an absolute path")
        _check("log_level", self.log_level, _LOG_LEVELS, ", ".join(_LOG_LEVELS))
        return self

    @property
    def paths(self) -> LabPaths:
        return LabPaths(self.name)

    @property
    def elected(self) -> bool:
        """Whether there are several controllers, one of them active."""
        return self.controllers > 1

    @property
    def controller_numbers(self) -> range:
        """All of them; with the placement node, those of the nodes."""
        return range(1, (self.nodes if self.placement == NODE else self.controllers) + 1)

    def node_configs(self) -> tuple[NodeConfig, ...]:
        numbers = range(1, self.nodes + 1)
        kubeconfig = str(self.paths.nodes_kubeconfig) if self.kubeconfig else ""
        return tuple(
            NodeConfig(
                self.name, n, self.family, self.tunnel, self.datapath, kubeconfig, self.log_level, self.elected,
                n if self.placement == NODE else 1,
            )
            for n in numbers
        )  # fmt: skip


class LabState(msgspec.Struct, frozen=True):
    """The file `state.json`: the lab as asked for, and whether it came up whole.

    `owner` is what the Nodes are known by that it registers in another's cluster; "" when it plays its own.
    """

    config: LabConfig
    complete: bool = False
    owner: str = ""


class ApiReady(msgspec.Struct, frozen=True):
    """What the daemon tells when its API answers: the port on 127.0.0.1 of the root namespace."""

    port: int


class ClusterReady(msgspec.Struct, frozen=True):
    """What the daemon of a lab tells that has joined a cluster: the URL of its API server."""

    server: str


def _check(key: str, value: Any, allowed: Any, words: str) -> None:
    if value not in allowed:
        raise LabConfigError(f"{key}={value!r}: expected {words}")


def write_state(state: LabState) -> None:
    path = state.config.paths.state
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.rename(path)


def read_state(lab: str) -> LabState | None:
    """What is remembered of `lab`; None when there is no such lab."""
    try:
        return msgspec.json.decode(LabPaths(names.check_lab_name(lab)).state.read_bytes(), type=LabState)
    except FileNotFoundError:
        return None
