"""A controller in each agent's pod, in place of a few for all nodes: installed so, and changed to and fro by helm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import weft_fixture
from cluster.cluster import Cluster
from cluster.images import PAGE
from cluster.machine import wait
from cluster.node import Node
from images_fixture import Built
from pods import Obj, Pod, closing, delete, deployment, pods_of, run
from stream_fixture import stream
from web import page
from weft_fixture import SPACE

pytestmark = pytest.mark.timeout(400)

SECONDS = 60.0
CERTIFICATES = 180.0


@pytest.fixture(scope="module")
def beside(bare: Cluster, built: Built) -> Cluster:
    """Two nodes with a controller each, Ready."""
    weft_fixture.load(bare, built)
    weft_fixture.install(bare, built, placement="node")
    return bare


@pytest.fixture(scope="module")
def pods(beside: Cluster) -> Iterator[list[Pod]]:
    run(beside, deployment("open", 2))
    yield pods_of(beside, "open")
    delete(beside, "open")


def test_there_is_a_controller_in_each_agent_s_pod_and_no_other(beside: Cluster) -> None:
    found = beside.get("pods", "-n", SPACE)["items"]
    containers = [{each["name"] for each in pod["spec"]["containers"]} for pod in found]
    assert sorted(map(sorted, containers)) == [["weft-agent", "weft-controller"]] * 2 + [["weft-ovs"]] * 2
    others = beside.get("secrets,leases,deployments", "-n", SPACE)["items"]
    # Helm keeps its releases in Secrets.
    assert [name for each in others if not (name := each["metadata"]["name"]).startswith("sh.helm.release.")] == []


def test_nothing_of_it_listens_for_others(beside: Cluster) -> None:
    for node in beside.nodes:
        listening = node.machine.run("ss", "-Hltn")
        assert ":9440" in listening, "the controller's health, for the node itself"
        assert ":6653" not in listening
        assert ":6640" not in listening


def test_pods_talk_as_policies_say(beside: Cluster, pods: list[Pod]) -> None:
    one, other = pods
    assert one.node != other.node
    assert all(page(one.namespace, ip) == PAGE for ip in other.ips)
    run(beside, deployment("closed", 2), closing("closed"))
    closed = pods_of(beside, "closed")
    wait(lambda: not any(each.reaches(to) for each in pods for to in closed), "nobody reaches them", SECONDS)
    beside.kubectl("delete", "networkpolicy", "closed")
    wait(lambda: all(each.reaches(to) for each in pods for to in closed), "all reach them", SECONDS)
    delete(beside, "closed")


@pytest.mark.parametrize("placement", ["central", "node"])
def test_another_placement_loses_nothing(beside: Cluster, built: Built, pods: list[Pod], placement: str) -> None:
    one, other = pods
    with stream(one.end, other.end) as flowing:
        weft_fixture.upgrade(beside, built, placement=placement)
        wait(lambda: _rolled(beside, placement), f"controllers and agents of placement {placement}", SECONDS)
        flowing.wait_sent(100)
    assert flowing.lost() == []
    # Where there were no certificates before, kubelets bring them to Open vSwitch within a minute or two.
    wait(lambda: all(connected(beside, node) for node in beside.nodes), "switches with a controller", CERTIFICATES)
    run(beside, deployment("after", 4))
    delete(beside, "after")


def connected(cluster: Cluster, node: Node) -> bool:
    """Whether the node's switch has its controller."""
    (pod,) = (
        each["metadata"]["name"]
        for each in cluster.get("pods", "-n", SPACE, "-l", "app.kubernetes.io/component=ovs")["items"]
        if each["spec"]["nodeName"] == node.name
    )
    command = ("ovs-vsctl", "--columns=is_connected", "--bare", "list", "Controller")
    return cluster.kubectl("exec", "-n", SPACE, pod, "--", *command).strip() == "true"


def _rolled(cluster: Cluster, placement: str) -> bool:
    """Whether all pods of Weft are of this placement, and ready."""
    found: list[Obj] = cluster.get("pods", "-n", SPACE)["items"]
    controllers = [each for each in found for c in each["spec"]["containers"] if c["name"] == "weft-controller"]
    component = {"central": "controller", "node": "agent"}[placement]
    return (
        len(found) == {"central": 6, "node": 4}[placement]
        and all(each["metadata"]["labels"]["app.kubernetes.io/component"] == component for each in controllers)
        and all(
            condition["status"] == "True"
            for each in found
            for condition in each["status"].get("conditions", ())
            if condition["type"] == "Ready"
        )
    )
