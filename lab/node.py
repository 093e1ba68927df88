"""What one lab node consists of beside its network: Open vSwitch, the agent, and their settings.

The settings keys of the agent and of the controller appear here and nowhere else in the lab.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cni import conflist
from lab import names, netns
from lab.names import ControllerPaths, Datapath, Family, LabPaths, NodePaths
from lab.process import ProcessSpec

BRIDGE = "br-int"
TRANSPORT_INTERFACE = "eth1"

_LEASE = f"{names.LEASE_NAMESPACE}/{names.LEASE_NAME}"
_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_ROOT = Path(__file__).resolve().parent.parent
_RELAY = _ROOT / "build" / "weft"
_SOCKET_SECONDS = 20.0


class NodeError(RuntimeError):
    """A node could not be prepared or started."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node of one lab. `tunnel` is geneve or vxlan; `kubeconfig` is "" where the lab plays Kubernetes itself;
    `elected` says that there are several controllers, one of them active; `controller` is else the number of the one
    that programs this node."""

    lab: str
    number: int
    family: Family
    tunnel: str
    datapath: Datapath
    kubeconfig: str = ""
    log_level: str = "info"
    elected: bool = False
    controller: int = 1

    @property
    def name(self) -> str:
        return names.node_name(self.number)

    @property
    def lab_paths(self) -> LabPaths:
        return LabPaths(self.lab)

    @property
    def paths(self) -> NodePaths:
        return self.lab_paths.node(self.name)

    @property
    def namespace(self) -> Path:
        return netns.path_of(names.node_namespace(self.lab, self.name))


def agent_settings(node: NodeConfig) -> dict[str, Any]:
    ovsdb = f"unix:{node.paths.ovsdb_socket}"
    return {
        "node-name": node.name,
        **api_settings(node.kubeconfig, f"http://{names.api_address(node.family)}"),
        "ovsdb": ovsdb,
        "published-ovsdb": ovsdb,
        "cni-socket": str(node.paths.cni_socket),
        "bridge": BRIDGE,
        "datapath-type": node.datapath.ovs_type,
        "transport-interface": TRANSPORT_INTERFACE,
        "tunnel-type": node.tunnel,
        **(
            {"controller-lease": _LEASE}
            if node.elected
            else {"controllers": [_openflow(node.lab_paths.controller(node.controller))]}
        ),
        "health-address": f"127.0.0.1:{names.AGENT_HEALTH_PORT}",
        "log-level": node.log_level,
    }


def controller_settings(lab: str, api: Mapping[str, str], health_port: int, log_level: str) -> dict[str, Any]:
    """`api` is from `api_settings`."""
    return {
        **api,
        "openflow-listen": f"unix:{LabPaths(lab).openflow_socket}",
        "health-address": f"127.0.0.1:{health_port}",
        "log-level": log_level,
    }


def candidate_settings(lab: str, number: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one of several controllers: `settings`, with what is its own."""
    target = _openflow(LabPaths(lab).controller(number))
    own = {"openflow-listen": target, "advertise": target, "identity": names.controller_name(number)}
    return {**settings, "lease": _LEASE, **own}


def own_settings(lab: str, number: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a controller for the node of this number alone: `settings`, with what is its own."""
    own = {"openflow-listen": _openflow(LabPaths(lab).controller(number)), "node-name": names.node_name(number)}
    return {**settings, **own}


def _openflow(controller: ControllerPaths) -> str:
    return f"unix:{controller.openflow_socket}"


def api_settings(kubeconfig: str, url: str) -> dict[str, str]:
    """How a program reaches the API: by a kubeconfig, or when that is "" at a URL without credentials."""
    return {"kubeconfig": kubeconfig} if kubeconfig else {"api-server": url}


def prepare(node: NodeConfig) -> None:
    """Make the node's directories, its settings file, an empty switch database and its CNI configuration."""
    for directory in (node.paths.ovs, node.paths.log, node.paths.cni_cache):
        directory.mkdir(parents=True)
    write_settings(node.paths.agent_config, agent_settings(node))
    _create_database(node)
    install_cni(node)


def write_settings(path: Path, settings: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(settings, sort_keys=False))


def ovsdb_spec(node: NodeConfig) -> ProcessSpec:
    remote = f"--remote=punix:{node.paths.ovsdb_socket}"
    return _ovs_spec(node, "ovsdb", ("ovsdb-server", str(node.paths.database), remote))


def vswitchd_spec(node: NodeConfig) -> ProcessSpec:
    # Self-confinement would forbid the switch to connect to a controller's socket outside its own directory.
    argv = ("ovs-vswitchd", f"unix:{node.paths.ovsdb_socket}", "--no-self-confinement")
    return _ovs_spec(node, "vswitchd", argv)


def agent_spec(node: NodeConfig) -> ProcessSpec:
    return ProcessSpec(
        name=f"{node.name}/agent",
        argv=(sys.executable, "-m", "node_agent.main", "--config", str(node.paths.agent_config)),
        log=str(node.paths.log / "agent.log"),
        namespace=str(node.namespace),
        env={**_ovs_environment(node), **python_environment()},
    )


def controller_spec(lab: str, number: int = 1) -> ProcessSpec:
    paths = LabPaths(lab).controller(number)
    return ProcessSpec(
        name=paths.name,
        argv=(sys.executable, "-m", "controller.main", "--config", str(paths.config)),
        log=str(paths.log),
        env=python_environment(),
    )


def python_environment() -> dict[str, str]:
    """Lets `python -m` find this very tree, from whatever directory it is started."""
    return {"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}


def wait_for_socket(path: Path) -> None:
    """Return when `path` exists; NodeError when it does not within a generous time."""
    deadline = time.monotonic() + _SOCKET_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise NodeError(f"{path} did not appear within {_SOCKET_SECONDS:.0f} s; see the logs beside it")
        time.sleep(0.005)


def install_cni(node: NodeConfig) -> None:
    """Put the CNI executable and the network configuration where the node's kubelet looks for them."""
    conflist.install(_RELAY, conflist.render_conflist(), node.lab_paths.relay.parent, node.paths.cni_conf)


def build_relay() -> None:
    """Build the CNI executable if it is missing or older than its source."""
    if _RELAY.exists() and shutil.which("make") is None:
        return
    try:
        subprocess.run(["make", "-s", "-C", str(_ROOT / "cni")], check=True, capture_output=True, text=True)
    except FileNotFoundError as e:
        raise NodeError("make is missing, and the CNI executable is not built: install make and gcc") from e
    except subprocess.CalledProcessError as e:
        raise NodeError(f"cannot build the CNI executable:\n{e.stderr}") from e


def _ovs_spec(node: NodeConfig, name: str, argv: tuple[str, ...]) -> ProcessSpec:
    logging = (f"--log-file={node.paths.log}/{name}.log", "-vconsole:off", "-vfile:info")
    return ProcessSpec(
        name=f"{node.name}/{name}",
        argv=(*argv, "--pidfile", *logging),
        log=str(node.paths.log / f"{name}.out"),
        namespace=str(node.namespace),
        env=_ovs_environment(node),
    )


def _ovs_environment(node: NodeConfig) -> dict[str, str]:
    """Every path Open vSwitch compiles in, moved to the node's own directory."""
    directory = str(node.paths.ovs)
    return dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), directory)


def _create_database(node: NodeConfig) -> None:
    """An empty database whose one row keeps the switch small: twenty of them share a machine."""
    row = {
        "external_ids": ["map", [["system-id", f"weft-{node.lab}-{node.name}"]]],
        "other_config": ["map", [["n-handler-threads", "1"], ["n-revalidator-threads", "1"]]],
    }
    insert = ["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": row}]
    _ovsdb_tool("create", str(node.paths.database), str(_SCHEMA))
    _ovsdb_tool("transact", str(node.paths.database), json.dumps(insert))


def _ovsdb_tool(*arguments: str) -> None:
    try:
        subprocess.run(["ovsdb-tool", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as e:
        raise NodeError("ovsdb-tool is missing: install openvswitch-switch") from e
    except subprocess.CalledProcessError as e:
        raise NodeError(f"ovsdb-tool {arguments[0]}: {e.stderr.strip()}") from e
