"""Upgrades and rollbacks by helm, under a stream of packets between pods of two nodes, a hundred a second.

Rolling controllers and agents loses nothing. What restarting Open vSwitch costs is in docs/e2e.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import images_fixture
import pytest
import weft_fixture
from cluster.cluster import Cluster, ClusterError
from cluster.machine import wait
from figures import record
from images_fixture import Built
from pods import Obj, delete, deployment, pods_of, run
from stream_fixture import End, stream
from weft_fixture import RELEASE, SPACE

pytestmark = pytest.mark.timeout(400)

ROLLED = ("deployment/weft-controller", "daemonset/weft-agent")
INTERVAL = 0.01
SECONDS = 60.0


@pytest.fixture(scope="module")
def newer(weft: Cluster) -> Built:
    """Another version, which the nodes have."""
    made = images_fixture.built("0.0.2-test")
    weft_fixture.load(weft, made)
    return made


@pytest.fixture(scope="module")
def ends(weft: Cluster) -> Iterator[tuple[End, End]]:
    """A pod of each node."""
    run(weft, deployment("ends", 2))
    one, other = pods_of(weft, "ends")
    assert one.node != other.node
    yield one.end, other.end
    delete(weft, "ends")


def test_an_upgrade_of_controllers_and_agents_loses_nothing(
    weft: Cluster, newer: Built, ends: tuple[End, End]
) -> None:
    switches = pods(weft, "ovs")
    with stream(*ends, interval=INTERVAL) as flowing:
        weft_fixture.upgrade(weft, newer)
        await_rollout(weft)
        flowing.wait_sent(100)
    record("upgrade of controllers and agents", sent=flowing.sent(), lost=len(flowing.lost()))
    assert flowing.lost() == []
    assert images(weft) == {newer.version}
    assert pods(weft, "ovs") == switches, "Open vSwitch goes on until somebody restarts it"


def test_pods_come_and_go_after_an_upgrade(weft: Cluster, newer: Built) -> None:
    run(weft, deployment("after", 4))
    delete(weft, "after")


def test_a_value_that_is_wrong_is_refused_before_anything_changes(weft: Cluster, newer: Built) -> None:
    before = weft.helm("history", RELEASE, "--namespace", SPACE, "--output", "json")
    with pytest.raises(ClusterError, match="tunnelType"):
        weft_fixture.upgrade(weft, newer, tunnelType="gre")
    assert weft.helm("history", RELEASE, "--namespace", SPACE, "--output", "json") == before


def test_a_rollback_loses_nothing_and_keeps_the_certificates(
    weft: Cluster, newer: Built, built: Built, ends: tuple[End, End]
) -> None:
    secret = weft.get("secret", "weft-agent-tls", "-n", SPACE)["data"]
    with stream(*ends, interval=INTERVAL) as flowing:
        weft.helm("rollback", RELEASE, "1", "--namespace", SPACE)
        await_rollout(weft)
        flowing.wait_sent(100)
    record("rollback of controllers and agents", sent=flowing.sent(), lost=len(flowing.lost()))
    assert flowing.lost() == []
    assert images(weft) == {built.version}
    assert weft.get("secret", "weft-agent-tls", "-n", SPACE)["data"] == secret


def test_a_restart_of_open_vswitch_is_over_when_its_flows_are_back(weft: Cluster, ends: tuple[End, End]) -> None:
    """In user space nothing is forwarded without ovs-vswitchd: packets are lost, and then no more."""
    with stream(*ends, interval=INTERVAL) as flowing:
        for pod in sorted(pods(weft, "ovs")):
            weft.kubectl("delete", "pod", "-n", SPACE, pod, "--wait=true", seconds=120)
            wait(lambda: _ready(weft, "ovs") == len(weft.nodes), "Open vSwitch runs again", SECONDS)
        flowing.wait_sent(300)
    record("Open vSwitch restarted on both nodes", sent=flowing.sent(), lost=len(flowing.lost()), **flowing.outages())
    with stream(*ends, interval=INTERVAL) as afterwards:
        afterwards.wait_sent(200)
    assert afterwards.lost() == []


def await_rollout(cluster: Cluster) -> None:
    for workload in ROLLED:
        cluster.kubectl("rollout", "status", "-n", SPACE, workload, "--timeout=120s", seconds=130)


def images(cluster: Cluster) -> set[str]:
    """Versions of what controllers and agents run."""
    found: list[Obj] = [*_pods(cluster, "controller"), *_pods(cluster, "agent")]
    return {each["spec"]["containers"][0]["image"].rpartition(":")[2] for each in found}


def pods(cluster: Cluster, component: str) -> set[str]:
    return {each["metadata"]["name"] for each in _pods(cluster, component)}


def _pods(cluster: Cluster, component: str) -> list[Obj]:
    found: list[Obj] = cluster.get("pods", "-n", SPACE, "-l", f"app.kubernetes.io/component={component}")["items"]
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def _ready(cluster: Cluster, component: str) -> int:
    conditions = (each["status"].get("conditions", ()) for each in _pods(cluster, component))
    return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in each) for each in conditions)
