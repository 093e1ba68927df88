"""Brings a lab up: namespaces first, then the API and the switches side by side, then Weft.

Each step leaves a lab that the sweep can take away, so whoever is interrupted here needs no bookkeeping.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from pathlib import Path

import msgspec

from kube.endpoint import Endpoint, from_kubeconfig, from_url
from lab import names, node, underlay
from lab.client import ApiClient
from lab.config import NODE, ApiReady, LabConfig
from lab.names import Datapath
from lab.node import NodeConfig
from lab.process import Processes, ProcessSpec
from lab.underlay import UnderlayConfig

DAEMON = "daemon"
CONTROLLER = names.controller_name(1)

_START_SECONDS = 30.0
_KERNEL_DATAPATH = Path("/sys/module/openvswitch")


class BringUpError(RuntimeError):
    """The machine cannot hold a lab, or a part of it did not start; then the message has the end of its log."""


def controller(number: int) -> str:
    """The process name of one of several controllers."""
    return names.controller_name(number)


def agent(of: str) -> str:
    """The process name of a node's agent."""
    return f"{of}/agent"


def vswitchd(of: str) -> str:
    return f"{of}/vswitchd"


def ovsdb(of: str) -> str:
    return f"{of}/ovsdb"


def bring_up(config: LabConfig) -> None:
    """Build and start everything; returns when the API answers and every process was started."""
    check_machine(config.datapath)
    node.build_relay()
    _make_networks(config)
    nodes = config.node_configs()
    for each in nodes:
        node.prepare(each)
    processes = Processes(config.paths)
    processes.start(_daemon_spec(config))
    _start_switches(processes, nodes)
    endpoint = wait_for_api(config, processes)
    if config.weft:
        _start_weft(config, processes, endpoint)


def wait_for_api(config: LabConfig, processes: Processes) -> Endpoint:
    """Where the lab's API answers, once it does: on 127.0.0.1, or wherever the cluster is that it has joined."""
    _wait_for(config.paths.daemon_ready, processes, DAEMON)
    if config.kubeconfig:
        return from_kubeconfig(str(config.paths.kubeconfig))
    port = msgspec.json.decode(config.paths.daemon_ready.read_bytes(), type=ApiReady).port
    return from_url(f"http://127.0.0.1:{port}")


def _wait_for(path: Path, processes: Processes, name: str) -> None:
    """Return when the process has made `path`; BringUpError when it ended instead, or took too long."""
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists():
        if not processes.running(name) or time.monotonic() > deadline:
            raise BringUpError(f"the lab's {name} did not start:\n{log_tail(processes, name)}")
        time.sleep(0.01)


def log_tail(processes: Processes, name: str, lines: int = 8) -> str:
    """The end of what a process has said, with the name of its log."""
    record = next(record for record in processes.records() if record.spec.name == name)
    with open(record.spec.log, errors="replace") as log:
        said = log.read().splitlines()[-lines:]
    return "\n".join([f"{record.spec.log}:", *(f"  {line}" for line in said)])


def check_machine(datapath: Datapath, module: Path = _KERNEL_DATAPATH) -> None:
    """Raise BringUpError when this machine lacks what a lab needs. `module`: where sysfs has the kernel datapath."""
    if os.geteuid() != 0:
        raise BringUpError("a lab makes network namespaces: run it as root")
    missing = [program for program in ("ovsdb-server", "ovs-vswitchd", "ovsdb-tool") if shutil.which(program) is None]
    if missing:
        raise BringUpError(f"{', '.join(missing)} not found: install Open vSwitch (Debian: openvswitch-switch)")
    if datapath is Datapath.KERNEL and not module.exists():
        raise BringUpError(
            f"the kernel datapath needs the openvswitch module, and {module} does not exist: `modprobe openvswitch` "
            "loads it; the userspace datapath needs no module"
        )


def _make_networks(config: LabConfig) -> None:
    wanted = UnderlayConfig(config.name, config.family, config.mtu)
    underlay.create(wanted)
    for each in config.node_configs():
        underlay.attach_node(wanted, each.number)


def _daemon_spec(config: LabConfig) -> ProcessSpec:
    argv = (sys.executable, "-m", "lab.daemon", "--name", config.name)
    return ProcessSpec(
        name=DAEMON, argv=argv, log=str(config.paths.log / "daemon.log"), env=node.python_environment()
    )


def _start_switches(processes: Processes, nodes: tuple[NodeConfig, ...]) -> None:
    """All databases before the first switch: a switch that finds none waits a second before it looks again."""
    for each in nodes:
        processes.start(node.ovsdb_spec(each))
    for each in nodes:
        node.wait_for_socket(each.paths.ovsdb_socket)
        processes.start(node.vswitchd_spec(each))


def _start_weft(config: LabConfig, processes: Processes, endpoint: Endpoint) -> None:
    api = node.api_settings(str(config.paths.kubeconfig) if config.kubeconfig else "", endpoint.server)
    if config.elected:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.LEASE_NAMESPACE}}
        ApiClient(endpoint).apply([namespace])
    for number in config.controller_numbers:
        settings = node.controller_settings(config.name, api, _free_port(), config.log_level)
        if config.elected:
            settings = node.candidate_settings(config.name, number, settings)
        if config.placement == NODE:
            settings = node.own_settings(config.name, number, settings)
        node.write_settings(config.paths.controller(number).config, settings)
        processes.start(node.controller_spec(config.name, number))
    if not config.elected:
        # A switch that finds no controller waits a second before it looks again, so the agents come after it.
        for number in config.controller_numbers:
            _wait_for(config.paths.controller(number).openflow_socket, processes, controller(number))
    for each in config.node_configs():
        processes.start(node.agent_spec(each))


def _free_port() -> int:
    """A port of 127.0.0.1 that is free now. Settled here, so that it stays the same over restarts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
