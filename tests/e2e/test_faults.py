"""What goes on while parts of Kubernetes are away."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from cluster.cluster import Cluster
from cluster.images import PAGE
from cluster.machine import wait
from pods import Pod, await_rollout, closing, delete, deployment, pods_of, run
from stream_fixture import stream
from web import page

pytestmark = pytest.mark.timeout(600)

AWAY = 120.0
SECONDS = 90.0
FOUND_AGAIN = 150
"""Seconds until a Deployment is complete after the API was away. Kubernetes' own controllers and kube-proxy ask again
after half a minute to a minute (client-go: 30 s, and up to as much again at random), and by then some find their
rights not loaded yet and wait once more; without them no pod is made."""


@pytest.fixture(scope="module")
def open_pods(weft: Cluster) -> Iterator[list[Pod]]:
    run(weft, deployment("open", 2))
    yield pods_of(weft, "open")
    delete(weft, "open")


@pytest.fixture(scope="module")
def closed_pods(weft: Cluster) -> Iterator[list[Pod]]:
    """Pods that nobody may reach but their nodes."""
    run(weft, deployment("closed", 2), closing("closed"))
    yield pods_of(weft, "closed")
    weft.kubectl("delete", "networkpolicy", "closed")
    delete(weft, "closed")


def test_the_api_server_away_for_two_minutes(weft: Cluster, open_pods: list[Pod], closed_pods: list[Pod]) -> None:
    one, other = open_pods
    with weft.without_api(), stream(one.end, other.end) as flowing:
        until = time.monotonic() + AWAY
        while time.monotonic() < until:
            assert page(one.namespace, other.ips[0]) == PAGE
            assert all(not one.reaches(closed) for closed in closed_pods)
            time.sleep(1.0)
    assert flowing.lost() == []
    weft.apply(deployment("after", 2))
    await_rollout(weft, "after", FOUND_AGAIN)
    delete(weft, "after")


def test_a_nodes_kubelet_and_runtime_restarted(weft: Cluster, open_pods: list[Pod], closed_pods: list[Pod]) -> None:
    one, other = open_pods
    before = weft.get("pods", "-l", "app=open")["items"]
    with stream(one.end, other.end) as flowing:
        for node in weft.nodes:
            node.restart_runtime()
        flowing.wait_sent(100)
    assert flowing.lost() == []
    weft.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s", seconds=70)
    assert all(not one.reaches(closed) for closed in closed_pods)
    after = weft.get("pods", "-l", "app=open")["items"]
    assert [each["status"]["podIPs"] for each in after] == [each["status"]["podIPs"] for each in before]
    assert all(each["status"]["containerStatuses"][0]["restartCount"] == 0 for each in after)


def test_a_node_removed_and_added_under_its_name_is_clean(weft: Cluster, open_pods: list[Pod]) -> None:
    node = weft.node("node2")
    weft.remove_node(node)
    wait(lambda: len(weft.get("nodes")["items"]) == 1, "Node node2 is gone", SECONDS)
    weft.add_node(node)
    weft.kubectl("wait", "--for=condition=Ready", "node", node.name, "--timeout=120s", seconds=130)
    run(weft, deployment("fresh", 4))
    fresh = pods_of(weft, "fresh")
    assert {pod.node for pod in fresh} == {"node1", "node2"}
    for one in fresh:
        for other in fresh:
            assert all(page(one.namespace, ip) == PAGE for ip in other.ips)
    delete(weft, "fresh")
