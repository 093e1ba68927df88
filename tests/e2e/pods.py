"""Pods of the end-to-end tests, and where their network namespaces are: there the tests send and receive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from cluster.cluster import Cluster
from cluster.images import BUSYBOX
from cluster.machine import wait
from stream_fixture import End
from web import page

from lab import netns

Obj = dict[str, Any]
READY_SECONDS = 60
_SERVICE_SECONDS = 60
_SPREAD = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Pod:
    """A pod that runs. `namespace` is the path of its network namespace, `ips` has IPv4 before IPv6."""

    name: str
    node: str
    ips: tuple[str, ...]
    namespace: Path

    @property
    def end(self) -> End:
        """The pod as an end of a stream of packets."""
        return End(self.node, self.namespace, self.ips)

    def reaches(self, other: Pod) -> bool:
        """Whether this pod gets the page of the other, in either family; a second is enough for each."""
        for ip in other.ips:
            try:
                page(self.namespace, ip, seconds=1.0)
            except TimeoutError:
                continue
            return True
        return False


def deployment(name: str, replicas: int, **container: Any) -> Obj:
    """Pods that serve `cluster.images.PAGE` at port 80, spread over the nodes; `container` has fields of theirs."""
    labels = {"app": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": _SPREAD,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    spec = {
        "terminationGracePeriodSeconds": 1,
        "topologySpreadConstraints": [spread],
        "containers": [{"name": "only", "image": BUSYBOX, **container}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def closing(name: str) -> Obj:
    """A policy by which nobody but their nodes may reach the pods of the deployment of that name."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"]},
    }


def service(name: str) -> Obj:
    """An address of each family for the pods of a deployment."""
    ports = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    spec = {"selector": {"app": name}, "ipFamilyPolicy": "RequireDualStack", "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def run(cluster: Cluster, *objects: Obj) -> None:
    """Apply the objects; returns when the deployments among them are complete. Raises ClusterError."""
    cluster.apply(*objects)
    for each in objects:
        if each["kind"] == "Deployment":
            await_rollout(cluster, each["metadata"]["name"])


def await_rollout(cluster: Cluster, deployment: str, seconds: int = READY_SECONDS) -> None:
    cluster.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={seconds}s", seconds=seconds + 10)


def await_service(cluster: Cluster, name: str) -> None:
    """Returns when the service answers every node, in each family. Raises MachineError.

    A deployment is complete as soon as its pods are ready. That they are the service's endpoints, each node's
    kube-proxy programs later (it rests for a second after the change before), and until then it refuses connections.
    """
    ips = cluster.get("service", name)["spec"]["clusterIPs"]
    for namespace, ip in product((netns.path_of(node.layout.namespace) for node in cluster.nodes), ips):
        wait(partial(_answers, namespace, ip), f"service {name} answers at {ip} in {namespace}", _SERVICE_SECONDS)


def delete(cluster: Cluster, *deployments: str) -> None:
    """Delete deployments and services of these names; returns when their pods are gone."""
    for name in deployments:
        cluster.kubectl("delete", "deployment,service", name, "--ignore-not-found")
        cluster.kubectl("wait", "--for=delete", "pod", "-l", f"app={name}", "--timeout=60s", seconds=70)


def pods_of(cluster: Cluster, deployment: str) -> list[Pod]:
    """Its pods, by node and name."""
    found = cluster.get("pods", "-l", f"app={deployment}", "--field-selector=status.phase=Running")["items"]
    alive = [each for each in found if "deletionTimestamp" not in each["metadata"]]
    pids = {node.name: _pids(node.ctr("task", "ls").splitlines()) for node in cluster.nodes}
    return sorted((_pod(each, pids) for each in alive), key=lambda pod: (pod.node, pod.name))


def on_each_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Pods by their node."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(pod.node, []).append(pod)
    return found


def _answers(namespace: Path, ip: str) -> bool:
    try:
        page(namespace, ip, seconds=1.0)
    except (ConnectionRefusedError, TimeoutError):
        return False
    return True


def _pod(found: Obj, pids: dict[str, dict[str, int]]) -> Pod:
    node = found["spec"]["nodeName"]
    container = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    ips = tuple(each["ip"] for each in found["status"]["podIPs"])
    return Pod(found["metadata"]["name"], node, ips, Path(f"/proc/{pids[node][container]}/ns/net"))


def _pids(lines: list[str]) -> dict[str, int]:
    """By container, from what `ctr task ls` prints: TASK, PID, STATUS."""
    return {fields[0]: int(fields[1]) for line in lines[1:] if (fields := line.split())[2:3] == ["RUNNING"]}
