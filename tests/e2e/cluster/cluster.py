"""The cluster as a whole: up, down, and what tests do to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import cgroups, control_plane, images, pki, tools
from cluster.layout import CONTROL, FAMILY, LAB, PATHS, ROOT, NodeLayout
from cluster.machine import HOLDER, Machine, processes, wait
from cluster.node import Node
from lab import netns, underlay
from lab.cleanup import sweep
from lab.underlay import UnderlayConfig

MTU = 1500
_UNDERLAY = UnderlayConfig(LAB, FAMILY, MTU)
_LOGS = ROOT / "build" / "e2e" / "logs"
_WRAPPER = ROOT / "build" / "e2e" / "kubectl"
_NODE_SECONDS = 60.0


class ClusterError(RuntimeError):
    """Something of the cluster did not do as it was told."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs. `nodes` are those it was started with."""

    nodes: tuple[Node, ...]
    programs: Path
    archives: list[Path] = field(default_factory=list)

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def kubectl(self, *arguments: str, stdin: str = "", seconds: float = 60.0) -> str:
        """Run `kubectl` as administrator; what it printed. Raises ClusterError with what it complained of."""
        done = control_plane.call(self.programs, *arguments, stdin=stdin, seconds=seconds)
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """What `kubectl get` finds, as the API has it."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in objects))

    def helm(self, *arguments: str, seconds: float = 180.0) -> str:
        """Run `helm` as administrator; what it printed. Raises ClusterError with what it complained of."""
        flags = (f"--kubeconfig={pki.kubeconfig('admin')}",)
        done = control_plane.inside(str(self.programs / "helm"), *flags, *arguments, seconds=seconds)
        if done.returncode != 0:
            raise ClusterError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def import_images(self, *archives: Path) -> None:
        """Give image archives to every node, and to nodes that are added later."""
        self.archives.extend(archives)
        for node in self.nodes:
            images.import_images(node, archives)

    def exec(self, pod: str, *argv: str, seconds: float = 60.0) -> str:
        """What a command prints in a pod, `<namespace>/<name>`."""
        namespace, name = pod.split("/")
        return self.kubectl("exec", "-n", namespace, name, "--", *argv, seconds=seconds)

    @contextmanager
    def without_api(self) -> Iterator[None]:
        """The API server is away in the block, and ready again after it."""
        processes().stop(control_plane.API_SERVER)
        try:
            yield
        finally:
            processes().start_again(control_plane.API_SERVER)
            control_plane.wait_ready(self.programs)

    def remove_node(self, node: Node) -> None:
        """The machine is gone at once, with all that runs there, and the Node is deleted."""
        _end_programs(node.layout)
        cgroups.remove(node.layout)
        underlay.detach_node(LAB, node.layout.number)
        netns.remove(node.layout.namespace)
        self.kubectl("delete", "node", node.name, "--wait=false")

    def add_node(self, node: Node) -> None:
        """A new machine with the node's name; returns when its Node is there."""
        underlay.attach_node(_UNDERLAY, node.layout.number)
        node.start(self.archives)
        self.wait_for_node(node)

    def wait_for_node(self, node: Node) -> None:
        """Return when there is such a Node, with its range of pods' addresses. Raises MachineError."""
        wait(lambda: self._has_range(node.name), f"Node {node.name} is there", _NODE_SECONDS)

    def _has_range(self, node: str) -> bool:
        found = self.kubectl("get", "node", node, "--ignore-not-found", "-o", "jsonpath={.spec.podCIDRs}")
        return found != ""


def up(nodes: int = 2) -> Cluster:
    """Start a cluster, in place of one that may be there; returns when its Nodes are known. They are not Ready,
    because there is no network yet. Raises ToolsError, MachineError or ClusterError; then
    what was begun is taken away.
    """
    programs = tools.programs()
    down()
    try:
        return _start(programs, nodes)
    except BaseException:
        keep_logs()
        down()
        raise


def down() -> None:
    """Take the cluster away, however it was left. Twice equals once."""
    for node in _known_nodes():
        _end_programs(node)
    # Containers after those who would start them again; what the sweep finds are the rest.
    cgroups.remove()
    sweep(LAB)
    _WRAPPER.unlink(missing_ok=True)


def running() -> Cluster:
    """The cluster that was started before, perhaps by another process. Raises ClusterError when there is none."""
    nodes = _known_nodes()
    if not nodes or not processes().running(control_plane.API_SERVER):
        raise ClusterError("there is no cluster; start one: make cluster-up")
    programs = tools.programs()
    return Cluster(tuple(Node(node, programs) for node in nodes), programs)


def _start(programs: Path, count: int) -> Cluster:
    layouts = [NodeLayout(number) for number in range(1, count + 1)]
    underlay.create(_UNDERLAY)
    pki.make()
    for layout in layouts:
        underlay.attach_node(_UNDERLAY, layout.number)
    control_plane.start(programs)
    cluster = Cluster(tuple(Node(layout, programs) for layout in layouts), programs)
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes:
        cluster.wait_for_node(node)
    _write_wrapper(programs)
    return cluster


def _write_wrapper(programs: Path) -> None:
    """A kubectl for people, which is where the API is."""
    space = netns.path_of(control_plane.NAMESPACE)
    kubectl = f"{programs}/kubectl --kubeconfig={pki.kubeconfig('admin')}"
    _WRAPPER.write_text(f'#!/bin/sh\nexec nsenter --net={space} {kubectl} "$@"\n')
    _WRAPPER.chmod(0o755)


def _known_nodes() -> list[NodeLayout]:
    directory = PATHS.root / "nodes"
    names = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    return [NodeLayout(int(name.removeprefix("node"))) for name in names]


def _end_programs(node: NodeLayout) -> None:
    """The machine itself last: the others are in its namespaces."""
    names = [each.spec.name for each in processes().records() if each.spec.name.startswith(node.process(""))]
    for name in sorted(names, key=lambda name: name == node.process(HOLDER)):
        processes().stop(name)


def keep_logs() -> None:
    """What programs and containers had to say, for whoever looks for the reason of something: in build/e2e/logs."""
    shutil.rmtree(_LOGS, ignore_errors=True)
    for directory in (CONTROL, *(node.files for node in _known_nodes())):
        for log in directory.glob("*.log"):
            _keep(log, _LOGS / directory.name / log.name)
    for node in _known_nodes():
        pods = Machine(node).inside("/var/log/pods") if processes().running(node.process(HOLDER)) else Path("/none")
        for log in pods.glob("*/*/*.log"):
            _keep(log, _LOGS / node.name / "pods" / log.relative_to(pods))


def _keep(log: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, target)
