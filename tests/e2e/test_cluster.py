"""The cluster that the end-to-end tests run on is real Kubernetes, and leaves this machine as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster import cluster as clusters
from cluster import tools
from cluster.cluster import Cluster, ClusterError
from cluster.images import BUSYBOX, PAGE
from cluster.layout import LAB
from cluster.machine import KERNEL_SETTINGS, wait

from lab import netns
from lab.cleanup import marked_processes

SECONDS = 60.0
pytestmark = pytest.mark.timeout(300)


def test_the_nodes_are_there_and_say_that_they_have_no_network(bare: Cluster) -> None:
    nodes = {each["metadata"]["name"]: each for each in bare.get("nodes")["items"]}
    assert sorted(nodes) == ["node1", "node2"]
    for node in nodes.values():
        assert node["status"]["nodeInfo"]["kubeletVersion"] == tools.kubernetes_version()
        wait(lambda name=node["metadata"]["name"]: "cni plugin not initialized" in _ready(bare, name)["message"],
             "the node says that it has no network", SECONDS)  # fmt: skip
        assert len(node["spec"]["podCIDRs"]) == 2, "a range for each family"


def test_a_pod_of_the_hosts_network_runs_is_read_and_entered(bare: Cluster) -> None:
    with_pod(bare, "here", "node1", "echo hello; exec httpd -f -p 8099 -h /www")
    assert bare.kubectl("logs", "here") == "hello\n"
    assert bare.exec("default/here", "wget", "-qO-", "http://198.18.0.1:8099") == PAGE


def test_what_runs_goes_on_while_the_api_server_and_then_the_runtime_are_away(bare: Cluster) -> None:
    with_pod(bare, "stays", "node2", "exec sleep 1000")
    before = container(bare, "stays")
    with bare.without_api(), pytest.raises(ClusterError):
        bare.get("nodes")
    bare.node("node2").restart_runtime()
    wait(lambda: _enters(bare, "default/stays"), "the pod is entered again", SECONDS)
    assert container(bare, "stays") == before


def test_a_node_is_removed_and_comes_back_under_its_name(bare: Cluster) -> None:
    before = bare.get("node", "node2")["metadata"]["uid"]
    bare.remove_node(bare.node("node2"))
    wait(lambda: len(bare.get("nodes")["items"]) == 1, "Node node2 is gone", SECONDS)
    bare.add_node(bare.node("node2"))
    assert bare.get("node", "node2")["metadata"]["uid"] != before


def test_its_end_leaves_nothing(programs: None) -> None:
    settings = kernel_settings()
    cluster = clusters.up(nodes=1)
    with_pod(cluster, "left", "node1", "exec sleep 1000")
    clusters.down()
    assert marked_processes(LAB) == []
    assert not [name for name in netns.names() if name.startswith(f"weft-{LAB}")]
    assert not list(Path("/sys/fs/cgroup").glob(f"**/weft-{LAB}"))
    assert f"weft-{LAB}" not in Path("/proc/self/mounts").read_text()
    assert kernel_settings() == settings
    clusters.down()  # twice equals once


def with_pod(cluster: Cluster, name: str, node: str, script: str) -> None:
    """A pod of the node's network, running."""
    container = {"name": "only", "image": BUSYBOX, "command": ["sh", "-c", script]}
    spec: dict[str, Any] = {
        "hostNetwork": True,
        "nodeName": node,
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    # Until the controller manager has made the namespace's ServiceAccount, pods are refused.
    wait(lambda: "default" in cluster.kubectl("get", "serviceaccounts", "-o", "name"), "the ServiceAccount", SECONDS)
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", seconds=SECONDS + 10)


def container(cluster: Cluster, pod: str) -> str:
    return str(cluster.get("pod", pod)["status"]["containerStatuses"][0]["containerID"])


def kernel_settings() -> list[str]:
    return [Path("/proc/sys", name).read_text() for name in KERNEL_SETTINGS]


def _ready(cluster: Cluster, node: str) -> Any:
    conditions = cluster.get("node", node)["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {"message": ""})


def _enters(cluster: Cluster, pod: str) -> bool:
    try:
        return cluster.exec(pod, "sh", "-c", "echo here") == "here\n"
    except ClusterError:  # a kubelet that has just started knows no pods yet
        return False
