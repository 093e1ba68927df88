"""Pods of real kubelets talk: on one node and across, to Services by kube-proxy, to the API server, and to nodes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import permutations

import pytest
from cluster.cluster import Cluster
from cluster.images import BUSYBOX, PAGE
from cluster.layout import API_SERVICE, gateway_addresses
from cluster.machine import wait
from pods import Pod, await_service, delete, deployment, on_each_node, pods_of, run, service
from traffic_fixture import DATAGRAM, Sender, answering
from web import echo, echoing, page, serving

from lab import netns

pytestmark = pytest.mark.timeout(300)

MEGABYTE = 1 << 20
DNS = 53
SECONDS = 10.0
_PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}


@pytest.fixture(scope="module")
def web(weft: Cluster) -> Iterator[list[Pod]]:
    """Two pods on each node, kept alive by the kubelet's probes."""
    run(weft, deployment("web", 4, readinessProbe=_PROBE, livenessProbe=_PROBE, startupProbe=_PROBE), service("web"))
    await_service(weft, "web")
    yield pods_of(weft, "web")
    delete(weft, "web")


@pytest.fixture(params=[0, 1], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> int:
    """The place of a family in `Pod.ips`, and in a Service's clusterIPs."""
    return int(request.param)


@pytest.fixture
def cluster_ip(weft: Cluster, web: list[Pod], family: int) -> str:
    return str(weft.get("service", "web")["spec"]["clusterIPs"][family])


def test_pods_have_an_address_of_each_family(web: list[Pod]) -> None:
    assert {node: len(pods) for node, pods in on_each_node(web).items()} == {"node1": 2, "node2": 2}
    assert all([":" in ip for ip in pod.ips] == [False, True] for pod in web)
    assert len({ip for pod in web for ip in pod.ips}) == 8


def test_pods_reach_pods_on_their_node_and_on_the_other(web: list[Pod], family: int) -> None:
    for one, other in permutations(web, 2):
        assert page(one.namespace, other.ips[family]) == PAGE


def test_pods_reach_a_service(web: list[Pod], cluster_ip: str) -> None:
    for pod in web:
        for _ in range(8):  # whichever endpoint it is, on either node, the pod itself included
            assert page(pod.namespace, cluster_ip) == PAGE


def test_nodes_reach_pods_by_the_service_and_by_address(
    weft: Cluster, web: list[Pod], family: int, cluster_ip: str
) -> None:
    for node in weft.nodes:
        namespace = netns.path_of(node.layout.namespace)
        for address in (cluster_ip, *(pod.ips[family] for pod in web)):
            assert page(namespace, address) == PAGE


def test_pods_reach_the_api_server_by_its_service_and_by_its_addresses(web: list[Pod]) -> None:
    for pod in web:
        for target in ((API_SERVICE, 443), *((each, 6443) for each in gateway_addresses())):
            netns.run_in(pod.namespace, lambda target=target: socket.create_connection(target, SECONDS).close())


def test_datagrams_of_dns_sizes_come_and_are_answered_across_nodes(web: list[Pod], family: int) -> None:
    one, other = web[0], web[-1]
    assert one.node != other.node
    with echoing(other.namespace, (other.ips[family], DNS)):
        for size in (64, 512, 1232):  # a question; the classic limit; that of today (DNS flag day 2020)
            assert echo(one.namespace, (other.ips[family], DNS), size) == size


def test_datagrams_reach_a_service(web: list[Pod], family: int, cluster_ip: str) -> None:
    with ExitStack() as stack:
        for pod in web:
            stack.enter_context(answering(pod.namespace, DNS))
        for pod in web:
            assert Sender(pod.namespace).heard_as((cluster_ip, DNS), DATAGRAM)


def test_a_megabyte_by_http_comes_whole(web: list[Pod], family: int) -> None:
    for other in web[1:]:
        with serving(other.namespace, other.ips[family], "x" * MEGABYTE) as port:
            assert page(web[0].namespace, other.ips[family], port) == "x" * MEGABYTE


def test_a_static_pod_has_the_network_too(weft: Cluster, web: list[Pod]) -> None:
    """The kubelet makes a Pod for it, whose uid is another than the one that it tells the runtime."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "static", "namespace": "default", "labels": {"app": "static"}},
        "spec": {"containers": [{"name": "only", "image": BUSYBOX}], "terminationGracePeriodSeconds": 1},
    }
    file = weft.node("node1").static_pods / "static.json"
    file.write_text(json.dumps(pod))
    try:
        wait(lambda: pods_of(weft, "static"), "the static pod runs", 60)
        (static,) = pods_of(weft, "static")
        for ip in static.ips:
            assert page(web[-1].namespace, ip) == PAGE
        for ip in web[-1].ips:
            assert page(static.namespace, ip) == PAGE
    finally:
        file.unlink()
    wait(lambda: weft.get("pods", "-l", "app=static")["items"] == [], "the static pod is gone", 60)


def test_a_probe_that_fails_restarts_the_container(weft: Cluster) -> None:
    failing = {"httpGet": {"path": "/none", "port": 80}, "periodSeconds": 1, "failureThreshold": 1}
    run(weft, deployment("failing", 1, livenessProbe=failing))
    try:
        weft.kubectl(
            "wait", "pod", "-l", "app=failing", "--timeout=60s",
            "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", seconds=70,
        )  # fmt: skip
    finally:
        delete(weft, "failing")
