"""What the cases stand on: a lab of their own without kubelets, pods that exist in its API only, and namespaces."""

import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from bench.plugin import Plugin, Pod
from lab import names, netns
from lab.config import LabConfig
from lab.lab import Lab
from lab.names import Family
from lab.node import NodeConfig
from lab.runtime import load_conflist

POLL_SECONDS = 0.02
WAIT_SECONDS = 30.0

Obj = dict[str, Any]


class BenchError(RuntimeError):
    """A case could not be carried out; the message says what was missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab of one node, on which nobody but the case attaches pods, unless it was asked for kubelets."""

    lab: Lab
    node: NodeConfig

    def pods(self, count: int, prefix: str) -> list[Obj]:
        """Pod objects bound to the node, once the controller knows them. They are not real until somebody ADDs."""
        made = self.lab.apply([pod_object(f"{prefix}-{i}", self.node.name) for i in range(count)])
        everywhere = len(self.lab.pods())
        wait_for(
            lambda: controller_metric(self.lab, "weft_pods") >= everywhere, "pods are not known to the controller"
        )
        return made

    def sandboxes(self, pods: Sequence[Obj], stack: ExitStack) -> list[Pod]:
        """A network namespace for each pod, as a container runtime would make it."""
        return [sandbox(self.lab.config.name, self.node.name, pod, stack) for pod in pods]

    def plugin(self) -> Plugin:
        """Weft's executable with the node's network configuration."""
        conflist = load_conflist(self.node.paths.cni_conf)
        config = {**conflist.plugins[0], "name": conflist.name, "cniVersion": conflist.cni_version}
        env = {"WEFT_CNI_SOCKET": str(self.node.paths.cni_socket), names.MARKER: self.lab.config.name}
        return Plugin(self.node.lab_paths.relay, config, self.node.namespace, env)


@contextmanager
def stage(name: str, *, weft: bool = True, family: Family = Family.DUAL, kubelets: bool = False) -> Iterator[Stage]:
    """A lab of one node, ready; everything is gone afterwards. A lab of that name from a run that died is removed."""
    wanted = LabConfig(name=name, nodes=1, weft=weft, family=family, kubelets=kubelets)
    with Lab.up(wanted, replace=True) as lab:
        if weft:
            lab.wait_ready()
        (node,) = lab.config.node_configs()
        yield Stage(lab, node)


def pod_object(name: str, node: str, **spec: Any) -> Obj:
    """A Pod in namespace `default` that is bound to `node`."""
    containers = [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "containers": containers, **spec},
    }


def sandbox(lab: str, node: str, pod: Obj, stack: ExitStack) -> Pod:
    """The namespace of one pod, under a name that the lab's own sweep knows, too."""
    meta = pod["metadata"]
    name = names.pod_namespace(lab, node, f"{meta['namespace']}/{meta['name']}")
    path = netns.create(name)
    stack.callback(netns.remove, name)
    args = {"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": meta["namespace"], "K8S_POD_NAME": meta["name"]}
    return Pod(secrets.token_hex(32), path, args | {"K8S_POD_UID": meta.get("uid", "")})


def controller_metric(lab: Lab, name: str) -> float:
    """The sum of a metric of the lab's controller over its labels, from /metrics."""
    settings = yaml.safe_load(lab.paths.controller_config.read_text())
    with urllib.request.urlopen(f"http://{settings['health-address']}/metrics", timeout=5) as answer:
        return metric_sum(answer.read().decode(), name)


def metric_sum(text: str, name: str) -> float:
    """The sum of a metric over its labels in Prometheus' text format."""
    lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def wait_for(holds: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Return when `holds()`; BenchError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} after {seconds:g} s")
        time.sleep(POLL_SECONDS)
