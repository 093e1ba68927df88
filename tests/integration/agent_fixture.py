"""One node of a lab without kubelets: the test is the runtime, and calls the real executable on the real agent.

    with agent_lab("x") as lab, Node(lab) as node:
        box = node.box("web")
        box.add()

Everything a `Node` made is gone at its end; it never waits for what a test has stopped.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest
from lab_fixture import (
    NodeState,
    agent_problem,
    in_node,
    node_config,
    node_state,
    pod,
    rows,
    run,
    settled,
    until,
    vsctl,
)

from cni.frame import Answer
from lab import names, netns
from lab.bringup import agent, ovsdb, vswitchd
from lab.lab import Lab, LabConfig
from lab.runtime import Attachment, Conflist, Runtime, RuntimeFailure, pod_attachment
from node_agent import wiring

WAIT = 30.0
NODE = "node1"
NETWORK = "weft"

Obj = dict[str, Any]
T = TypeVar("T")
_numbers = itertools.count(1)


@contextmanager
def agent_lab(name: str, **settings: Any) -> Iterator[Lab]:
    """A lab whose nodes are ready and run no pods."""
    with Lab.up(LabConfig(name=name, kubelets=False, **{"nodes": 1} | settings), replace=True) as lab:
        lab.wait_ready(WAIT)
        settled(lab)
        yield lab


def assign(lab: Lab, node: str, *cidrs: str) -> None:
    """Write a Node's ranges, as a controller manager does; none takes them away."""
    spec = {"podCIDR": cidrs[0] if cidrs else None, "podCIDRs": list(cidrs) or None}
    lab.api.request("PATCH", f"/api/v1/nodes/{node}", {"spec": spec}, "application/merge-patch+json")


@dataclass(frozen=True)
class Box:
    """A container: a network namespace, and how a runtime would attach it."""

    attachment: Attachment
    runtime: Runtime
    node: Node

    @property
    def path(self) -> Path:
        return Path(self.attachment.netns)

    def add(self) -> Obj:
        return self._called(lambda: self.runtime.add(self.attachment))

    def delete(self) -> None:
        self._called(lambda: self.runtime.delete(self.attachment))

    def check(self) -> None:
        self._called(lambda: self.runtime.check(self.attachment))

    def refused(self, verb: str = "add") -> RuntimeFailure:
        """The error of a call that must fail."""
        with pytest.raises(RuntimeFailure) as caught:
            getattr(self, verb)()
        return caught.value

    def having(self, **changes: Any) -> Box:
        """The same container, attached in another way."""
        return replace(self, attachment=replace(self.attachment, **changes))

    def speaking(self, version: str, **plugin: Any) -> Box:
        """The same container, with a configuration of another version or with more keys."""
        conflist = Conflist(NETWORK, version, ({"type": "weft", **plugin},))
        return replace(self, runtime=replace(self.runtime, conflist=conflist))

    def show(self, arguments: str) -> list[Obj]:
        """What `ip -j ARGUMENTS` prints inside."""
        return show(self.path.name, arguments)

    def output(self, *argv: str) -> str:
        """What a command prints that is run inside."""
        done = netns.run_in(self.path, lambda: subprocess.run(argv, capture_output=True, text=True, timeout=WAIT))
        return done.stdout

    def addresses(self, ifname: str = "eth0") -> list[str]:
        """Given addresses of the interface, as `address/prefix`, IPv4 first; none when there is no interface."""
        links = self.show("addr")
        infos = [info for link in links if link["ifname"] == ifname for info in link["addr_info"]]
        return [f"{info['local']}/{info['prefixlen']}" for info in infos]

    def port(self) -> str:
        """The name of its port, as ADD has told."""
        result = self.runtime.cached(self.attachment)
        assert result is not None
        return str(result["interfaces"][0]["name"])

    def _called(self, call: Callable[[], T]) -> T:
        return netns.run_in(self.node.namespace, call)


class Node:
    """One node of the lab, with containers that are detached and removed at the end."""

    def __init__(self, lab: Lab, name: str = NODE) -> None:
        self.lab = lab
        self.name = name
        self.config = node_config(lab, name)
        self.namespace = self.config.namespace
        self._undo = ExitStack()
        self.boxes: list[Box] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        with self._undo:
            for box in reversed(self.boxes):
                self._undo.callback(box.delete)

    def box(
        self,
        name: str,
        version: str = "1.1.0",
        namespace: str = "default",
        annotations: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Box:
        """A container of a new pod, in a new network namespace. `changes` are the attachment's."""
        meta = self.know(f"{name}-{next(_numbers)}", namespace, annotations)["metadata"]
        space = names.pod_namespace(self.lab.config.name, self.name, f"test/{meta['name']}")
        path = netns.create(space)
        self._undo.callback(netns.remove, space)
        attachment = pod_attachment(f"of-{meta['name']}", str(path), (meta["namespace"], meta["name"], meta["uid"]))
        box = Box(replace(attachment, **changes), self.runtime(version), self)
        self.boxes.append(box)
        return box

    def runtime(self, version: str = "1.1.0", **plugin: Any) -> Runtime:
        paths = self.config.paths
        conflist = Conflist(NETWORK, version, ({"type": "weft", **plugin},))
        env = {"WEFT_CNI_SOCKET": str(paths.cni_socket)}
        return Runtime(conflist, (self.config.lab_paths.relay.parent,), paths.cni_cache, env, deadline=WAIT)

    def call(self, verb: str, conf: object, env: Mapping[str, str] | None = None) -> Answer:
        """What the executable makes of any configuration and environment: exit status and stdout.

        `conf` is bytes for stdin, or an object to be written as JSON. Nothing may come on stderr.
        """
        paths = self.config.paths
        given = {"CNI_COMMAND": verb, "CNI_PATH": str(self.config.lab_paths.relay.parent), **(env or {})}
        done = subprocess.run(
            [str(self.config.lab_paths.relay)],
            input=conf if isinstance(conf, bytes) else json.dumps(conf).encode(),
            env={"WEFT_CNI_SOCKET": str(paths.cni_socket), **given},
            capture_output=True, timeout=2 * WAIT, check=False,
        )  # fmt: skip
        assert done.stderr == b""
        return Answer(done.returncode, done.stdout)

    def know(self, pod_name: str, namespace: str = "default", annotations: Mapping[str, str] | None = None) -> Obj:
        """Tell the API of a pod on this node; it is stored with a uid."""
        made = pod(pod_name, self.name, namespace)
        made["metadata"]["annotations"] = dict(annotations or {})
        (stored,) = self.lab.apply([made])
        return stored

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Name and addresses of every pod's row in the switch's database."""
        return rows(self.lab, self.name)

    def spare_addresses(self) -> tuple[str, str]:
        """An address of either family that no pod of the node has, both with the same number within their range."""
        taken = {address for _, addresses in self.rows() for address in addresses.split(",")}
        pairs = ((f"10.244.1.{n}", f"fd57:244:0:1::{n:x}") for n in range(200, 0, -1))
        return next(pair for pair in pairs if taken.isdisjoint(pair))

    def ofports(self) -> list[int]:
        """OpenFlow port numbers of the pods' ports."""
        listed = json.loads(vsctl(self.lab, self.name, "--format=json", "--columns=name,ofport", "list", "Interface"))
        pods = {name for name, _ in self.rows()}
        return [number for name, number in listed["data"] if name in pods]

    def state(self) -> NodeState:
        return node_state(self.lab, self.name)

    def back_at(self, before: NodeState) -> None:
        """Wait until nothing is left of what was done since; flows may be left of a DEL without a controller."""
        deadline = time.monotonic() + WAIT
        while self.state() != before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.state() == before

    def files(self) -> set[str]:
        """Every file of the node but logs, and what Open vSwitch names by pid."""
        root = self.config.paths.root
        found = (str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
        return {path for path in found if not path.startswith(("log/", "ovs/"))}

    def devices(self) -> tuple[str, ...]:
        """Host ends of veths."""
        return in_node(self.lab, self.name, wiring.host_interfaces)

    def qdiscs(self) -> set[str]:
        """What `tc qdisc show` prints on the node, by line."""
        return set(run("tc", "-n", self.namespace.name, "qdisc", "show").splitlines())

    def show(self, arguments: str) -> list[Obj]:
        """What `ip -j ARGUMENTS` prints on the node; nothing when there is no such device."""
        return show(self.namespace.name, arguments)

    def ip(self, arguments: str) -> None:
        """`ip ARGUMENTS` on the node; fails the test if it fails."""
        run("ip", "-n", self.namespace.name, *arguments.split())

    # The node's processes.

    @contextmanager
    def stopped(self, *processes: str) -> Iterator[None]:
        """Have processes hang (SIGSTOP) for a while, e.g. stopped(CONTROLLER)."""
        pids = [self.lab.processes.pid(each) for each in processes]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @property
    def agent(self) -> str:
        return agent(self.name)

    @property
    def vswitchd(self) -> str:
        return vswitchd(self.name)

    @property
    def ovsdb(self) -> str:
        return ovsdb(self.name)

    def kill_agent(self) -> None:
        self.lab.kill(self.agent)

    def start_agent(self) -> None:
        """Start it, and wait until it serves."""
        self.lab.start(self.agent)
        self.wait_ready()

    def wait_ready(self) -> None:
        until(lambda: agent_problem(self.lab, self.name) is None, f"agent of {self.name} ready", WAIT)


def show(namespace: str, arguments: str) -> list[Obj]:
    """What `ip -j -d -n NAMESPACE ARGUMENTS` prints; nothing when there is no such device."""
    argv = ["ip", "-j", "-d", "-n", namespace, *arguments.split()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT, check=False)
    return [entry for entry in json.loads(done.stdout or "[]") if entry]
