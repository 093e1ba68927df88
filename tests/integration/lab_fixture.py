"""Whole clusters for tests that break them: a lab, its flows, its ledgers, its words, and CNI calls of our own.

A lab is a module's: it takes two seconds to come up, and is gone at the end whatever happened.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families
from stream_fixture import End

from lab import names, netns, node
from lab.bringup import CONTROLLER, agent
from lab.lab import Lab, LabConfig
from lab.node import NodeConfig
from lab.process import Processes
from lab.readiness import ask_agent
from lab.runtime import Attachment, Runtime, pod_attachment
from lab.sandbox import cni_runtime
from node_agent import wiring
from openflow import codec

WAIT = 30.0
BRIDGE = "br-int"
_HELLO, _VERSION = 0, 6
_HEADER = struct.Struct("!BBHI")

Obj = dict[str, Any]
T = TypeVar("T")


@contextmanager
def running_lab(name: str, *pods: Obj, **settings: Any) -> Iterator[Lab]:
    """A lab with its nodes and these pods ready."""
    with Lab.up(LabConfig(name=name, **settings), replace=True) as lab:
        lab.wait_ready(WAIT)
        lab.apply(pods)
        lab.wait_pods(WAIT)
        yield lab


def pod(name: str, on: str, namespace: str = "default") -> Obj:
    """A pod that does nothing, on a node."""
    return _pod(name, {"nodeName": on}, namespace)


def _pod(name: str, spec: Obj, namespace: str = "default") -> Obj:
    containers = [{"name": "c", "image": "registry.k8s.io/pause:3.9"}]
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "containers": containers}}


def until(ask: Callable[[], T], what: str, seconds: float = WAIT) -> T:
    """The first answer that is true; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return answer


def remove_pods(lab: Lab, *pods: Obj) -> None:
    lab.delete(pods)
    gone = {each["metadata"]["name"] for each in pods}
    lab.wait_until(lambda: sorted(gone & {each["metadata"]["name"] for each in lab.pods()}), "deleted pods", WAIT)


def node_config(lab: Lab, name: str) -> NodeConfig:
    return next(each for each in lab.config.node_configs() if each.name == name)


def in_node(lab: Lab, name: str, work: Callable[[], T]) -> T:
    return netns.run_in(node_config(lab, name).namespace, work)


def end(lab: Lab, name: str) -> End:
    """A running pod as an end of a stream."""
    ips = tuple(entry["ip"] for entry in lab.pod(name)["status"]["podIPs"])
    return End(name, lab.pod_namespace(name), ips)


# What is there.


def flows(lab: Lab, on: str) -> dict[bytes, bytes]:
    """All flows of a node's bridge, key → body, as the switch itself tells them."""
    found: dict[bytes, bytes] = {}
    with socket.socket(socket.AF_UNIX) as management:
        management.settimeout(WAIT)
        management.connect(str(lab.paths.node(on).ovs / f"{BRIDGE}.mgmt"))
        management.sendall(_HEADER.pack(_VERSION, _HELLO, _HEADER.size, 1) + codec.dump_request(2))
        while True:
            message = read_message(management)
            if message[1] == codec.MULTIPART_REPLY:
                found.update(codec.dump_flows(message))
                if not codec.dump_more(message):
                    return found


def read_message(peer: socket.socket) -> bytes:
    """The next OpenFlow message; ConnectionError at the end of the connection."""
    head = _read(peer, _HEADER.size)
    return head + _read(peer, _HEADER.unpack(head)[2] - _HEADER.size)


def _read(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = peer.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the peer has closed the connection")
        data += chunk
    return data


@dataclass(frozen=True)
class NodeState:
    """Everything that an attachment leaves on a node: host ends of veths, rows with their addresses, flows."""

    devices: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    flows: dict[bytes, bytes]


def node_state(lab: Lab, on: str) -> NodeState:
    return NodeState(in_node(lab, on, wiring.host_interfaces), rows(lab, on), flows(lab, on))


def rows(lab: Lab, on: str) -> tuple[tuple[str, str], ...]:
    """Name and addresses of every pod's Interface row."""
    listed = json.loads(vsctl(lab, on, "--format=json", "--columns=name,external_ids", "list", "Interface"))
    found = ((name, dict(ids[1])) for name, ids in listed["data"])
    return tuple(sorted((name, ids["weft-ips"]) for name, ids in found if "weft-ips" in ids))


def vsctl(lab: Lab, on: str, *arguments: str) -> str:
    return run("ovs-vsctl", f"--db=unix:{lab.paths.node(on).ovsdb_socket}", "--timeout=10", *arguments)


def bridge_ids(lab: Lab, on: str) -> dict[str, str]:
    """external_ids of a node's bridge."""
    listed = json.loads(vsctl(lab, on, "--format=json", "--columns=external_ids", "list", "Bridge", BRIDGE))
    ((ids,),) = listed["data"]
    return dict(ids[1])


def ofctl(lab: Lab, on: str, verb: str, *arguments: str) -> str:
    management = f"unix:{lab.paths.node(on).ovs / f'{BRIDGE}.mgmt'}"
    return run("ovs-ofctl", "-O", "OpenFlow15", verb, management, *arguments)


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"
    return done.stdout


# What is told.


def metrics(lab: Lab, number: int = 1) -> dict[tuple[str, ...], float]:
    """Counters and gauges of the controller, or of one of several: name and label values → value."""
    address = yaml.safe_load(lab.paths.controller(number).config.read_text())["health-address"]
    with urlopen(f"http://{address}/metrics", timeout=WAIT) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def flow_mods(lab: Lab) -> float:
    """How many flow-mods the controller that runs now has sent."""
    return sum(value for key, value in metrics(lab).items() if key[0] == "weft_flow_mods_total")


def connected(lab: Lab) -> float:
    """Switches that have a session with the controller."""
    return metrics(lab)[("weft_switches_connected",)]


def log_lines(path: Path) -> list[Obj]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def controller_log(lab: Lab) -> list[Obj]:
    return log_lines(lab.paths.log / "controller.log")


def problems(lab: Lab, reason: str) -> list[str]:
    """Messages of the problems that the controller's log has under this reason."""
    return [line["message"] for line in controller_log(lab) if line.get("reason") == reason]


def events(lab: Lab, reason: str) -> list[str]:
    found = lab.api.items("/api/v1/namespaces/default/events")
    return [each["message"] for each in found if each["reason"] == reason]


def settled(lab: Lab) -> None:
    """Wait until the controller that runs now has compared every switch with what it should be, and acted on it."""
    until(lambda: _compared(lab) >= lab.config.nodes, "every switch read and compared")


def _compared(lab: Lab) -> float:
    try:
        return metrics(lab).get(("weft_event_seconds_count", "Dumped"), 0)
    except OSError:  # it is just starting
        return 0


# Processes.


def start_controller(lab: Lab, **settings: Any) -> None:
    """Start the controller with changed settings; it must not run."""
    before = yaml.safe_load(lab.paths.controller_config.read_text())
    changed = {name.replace("_", "-"): value for name, value in settings.items()}
    node.write_settings(lab.paths.controller_config, before | changed)
    lab.start(CONTROLLER)


def agent_problem(lab: Lab, on: str) -> str | None:
    """Why the node's agent is not ready; None when it is, "" while it does not answer."""
    try:
        return in_node(lab, on, ask_agent)
    except OSError:
        return ""


def restart_agent(lab: Lab, on: str) -> None:
    """Kill the agent, start it, and wait until it serves."""
    lab.kill(agent(on))
    lab.start(agent(on))
    until(lambda: agent_problem(lab, on) is None, f"agent of {on} ready again")


def start_agent_and_controller(lab: Lab) -> None:
    """The rest of a lab that was made with `weft=False`, so that something could be changed before."""
    processes = Processes(lab.paths)
    with socket.create_server(("127.0.0.1", 0)) as free:
        health = free.getsockname()[1]
    api = node.api_settings("", lab.api.server)
    settings = node.controller_settings(lab.config.name, api, health, "info")
    node.write_settings(lab.paths.controller_config, settings)
    processes.start(node.controller_spec(lab.config.name))
    for each in lab.config.node_configs():
        processes.start(node.agent_spec(each))


# CNI calls without a kubelet.


@dataclass(frozen=True)
class Box:
    """An empty namespace of a pod that the API knows and no kubelet runs, and how a runtime would attach it."""

    attachment: Attachment
    namespace: Path
    runtime: Runtime
    node: Path

    def add(self, **changes: Any) -> Obj:
        """CNI ADD in the node's network, as a runtime does. Raises RuntimeFailure."""
        return netns.run_in(self.node, lambda: self.runtime.add(self._changed(changes)))

    def delete(self) -> None:
        netns.run_in(self.node, lambda: self.runtime.delete(self.attachment))

    def _changed(self, changes: dict[str, Any]) -> Attachment:
        a = self.attachment
        return Attachment(a.container, str(changes.get("path", a.netns)), a.ifname, a.args)


@contextmanager
def box(lab: Lab, on: str, name: str) -> Iterator[Box]:
    """A pod for CNI calls by hand; detached and forgotten at the end."""
    stored = _held_pod(lab, on, name)
    space = names.pod_namespace(lab.config.name, on, f"by-hand/{name}")
    config = node_config(lab, on)
    try:
        namespace = netns.create(space)
        meta = stored["metadata"]
        identity = (meta["namespace"], meta["name"], meta["uid"])
        attachment = pod_attachment(f"by-hand-{name}", str(namespace), identity)
        made = Box(attachment, namespace, cni_runtime(config), config.namespace)
        try:
            yield made
        finally:
            made.delete()
    finally:
        netns.remove(space)
        _merge(lab, stored, {"metadata": {"finalizers": None}})


def _held_pod(lab: Lab, on: str, name: str) -> Obj:
    """A pod that is bound to a node and not run by its kubelet: it is on its way out, and a finalizer holds it.

    Bound last: a kubelet that saw it before would have run it.
    """
    unbound = _pod(name, {"nodeSelector": {"nobody": "has-this-label"}})
    unbound["metadata"]["finalizers"] = ["test.weft.dev/by-hand"]
    (stored,) = lab.apply([unbound])
    lab.delete([stored])
    return _merge(lab, stored, {"spec": {"nodeName": on}})


def _merge(lab: Lab, obj: Obj, patch: Obj) -> Obj:
    return lab.api.request("PATCH", lab.api.path_of(obj), patch, "application/merge-patch+json")
