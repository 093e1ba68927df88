"""Pods of a lab with Weft: made and removed through the real CNI executable, whatever happens meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from cli.labs import show_reach
from lab.bringup import DAEMON, agent
from lab.cleanup import namespaces
from lab.lab import Lab, LabConfig
from lab.names import Family
from lab.status import ADD_MS

NAME = f"t-pods-{os.getpid()}"  # Two runs of the tests may overlap.
WAIT = 60.0
PLACE = "lab-test"


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabConfig(name=NAME, nodes=2), replace=True) as lab:
        lab.wait_ready(WAIT)
        yield lab


@pytest.fixture(autouse=True)
def _no_pods(lab: Lab) -> Iterator[None]:
    """A Kubernetes namespace to work in, and no pod left of one test in the next."""
    lab.apply([NAMESPACE])
    yield
    pods = lab.pods()
    lab.delete(pods)
    _wait_until_gone(lab, pods)


def _existing(lab: Lab) -> list[str]:
    return [n["metadata"]["name"] for n in lab.api.items("/api/v1/namespaces") if n["metadata"]["name"] == PLACE]


def _pod(name: str, node: str = "", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "agnhost", "args": ["netexec", "--http-port=8080", "--udp-port=8081"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": PLACE},
        "spec": {"containers": [container], **({"nodeName": node} if node else {}), **spec},
    }


def _ips(lab: Lab, name: str) -> list[str]:
    return [entry["ip"] for entry in lab.pod(f"{PLACE}/{name}")["status"]["podIPs"]]


def _wait_until_gone(lab: Lab, pods: Sequence[dict[str, Any]]) -> None:
    names = {pod["metadata"]["name"] for pod in pods}
    lab.wait_until(lambda: sorted(names & {pod["metadata"]["name"] for pod in lab.pods()}), "deleted pods", WAIT)


def _pod_namespaces() -> list[str]:
    return [name for name in namespaces(NAME) if "--" in name]


def _cached_results(lab: Lab) -> list[str]:
    return [path.name for path in lab.paths.root.glob("nodes/*/cni-cache/results/*")]


def test_pods_are_spread_over_the_nodes_and_reach_each_other(lab: Lab) -> None:
    lab.apply([_pod(f"p{i}") for i in range(4)])
    lab.wait_pods(WAIT)
    nodes = {pod["spec"]["nodeName"] for pod in lab.pods()}
    assert nodes == {"node1", "node2"}
    cells = lab.reachability(timeout=5.0)
    assert len(cells) == 4 * 3 * 2
    assert {cell.http for cell in cells} == {"ok"}


def test_a_pod_that_serves_nothing_is_reached_except_by_who_insists_on_http(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.apply([_pod("server"), _pod("silent", containers=[{"name": "c", "image": "registry.k8s.io/pause:3.9"}])])
    lab.wait_pods(WAIT)
    assert show_reach(NAME, 5.0)
    assert "4 of 4 paths work" in capsys.readouterr().out
    assert not show_reach(NAME, 5.0, http=True)
    assert "2 of 4 paths work" in capsys.readouterr().out


def test_a_pod_has_an_address_of_each_cidr_of_its_node_and_its_add_was_timed(lab: Lab) -> None:
    lab.apply([_pod("one", "node2")])
    lab.wait_pods(WAIT)
    v4, v6 = _ips(lab, "one")
    assert v4.startswith("10.244.2.")
    assert v6.startswith("fd57:244:0:2:")
    assert float(lab.pod(f"{PLACE}/one")["metadata"]["annotations"][ADD_MS]) > 0
    shown = lab.capture(f"{PLACE}/one", ["ip", "-o", "address", "show", "eth0"]).stdout
    assert f"{v4}/32" in shown
    assert f"{v6}/128" in shown


def test_a_deleted_pod_leaves_no_namespace_and_no_cached_result(lab: Lab) -> None:
    pods = [_pod(f"short-{i}") for i in range(3)]
    lab.apply(pods)
    lab.wait_pods(WAIT)
    assert len(_pod_namespaces()) == len(_cached_results(lab)) == 3
    lab.delete(pods)
    _wait_until_gone(lab, pods)
    assert _pod_namespaces() == []
    assert _cached_results(lab) == []


def test_a_pod_made_again_under_its_name_is_another_pod(lab: Lab) -> None:
    pod = _pod("again", "node1")
    lab.apply([pod])
    lab.wait_pods(WAIT)
    first = lab.pod(f"{PLACE}/again")["metadata"]["uid"]
    lab.delete([pod])
    _wait_until_gone(lab, [pod])
    lab.apply([pod])
    lab.wait_pods(WAIT)
    assert lab.pod(f"{PLACE}/again")["metadata"]["uid"] != first
    assert len(_pod_namespaces()) == 1


def test_a_pod_deleted_at_once_is_gone(lab: Lab) -> None:
    pods = [_pod(f"brief-{i}", "node1") for i in range(5)]
    lab.apply(pods)
    lab.delete(pods)
    _wait_until_gone(lab, pods)
    assert _pod_namespaces() == []


def test_an_add_that_fails_is_an_event_and_is_tried_again(lab: Lab) -> None:
    lab.kill(agent("node1"))
    try:
        lab.apply([_pod("patient", "node1")])
        events = f"/api/v1/namespaces/{PLACE}/events"
        lab.wait_until(lambda: [] if lab.api.items(events) else ["event"], "event", WAIT)
        event = lab.api.items(events)[0]
        assert event["reason"] == "FailedCreatePodSandBox"
        assert "(code 11)" in event["message"]
        assert event["involvedObject"]["name"] == "patient"
        assert _cached_results(lab) == []
    finally:
        lab.start(agent("node1"))
    lab.wait_ready(WAIT)
    lab.wait_pods(WAIT)
    assert len(_pod_namespaces()) == 1


def test_a_pod_can_be_deleted_while_its_agent_is_away(lab: Lab) -> None:
    pod = _pod("stuck", "node2")
    lab.apply([pod])
    lab.wait_pods(WAIT)
    lab.kill(agent("node2"))
    try:
        lab.delete([pod])
    finally:
        lab.start(agent("node2"))
    _wait_until_gone(lab, [pod])
    assert _pod_namespaces() == []


def test_deleting_a_kubernetes_namespace_deletes_its_pods(lab: Lab) -> None:
    lab.apply([_pod(f"many-{i}") for i in range(4)])
    lab.wait_pods(WAIT)
    lab.delete([NAMESPACE])
    lab.wait_until(lambda: _existing(lab), "deleted namespaces", WAIT)
    assert lab.pods() == []
    assert _pod_namespaces() == []


def test_a_completed_pod_gives_its_network_back(lab: Lab) -> None:
    job = [{"name": "c", "image": "any", "command": ["sh", "-c", "ip -o -4 address show eth0"]}]
    lab.apply([_pod("job", "node1", restartPolicy="Never", containers=job)])
    lab.wait_until(
        lambda: [] if lab.pod(f"{PLACE}/job")["status"]["phase"] == "Succeeded" else ["job"], "completed", WAIT
    )
    lab.wait_until(_pod_namespaces, "removed sandboxes", WAIT)


def test_kubectl_applies_and_deletes_pods(lab: Lab) -> None:
    kubectl = ["kubectl", f"--kubeconfig={lab.paths.kubeconfig}", "-n", PLACE]
    manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: k}\nspec: {containers: [{name: c, image: pause}]}\n"
    subprocess.run([*kubectl, "apply", "-f", "-"], input=manifest, check=True, text=True, timeout=WAIT)
    subprocess.run(
        [*kubectl, "wait", "--for=condition=Ready", "pod/k", "--timeout=60s"], check=True, timeout=2 * WAIT
    )
    subprocess.run([*kubectl, "delete", "pod", "k", "--timeout=60s"], check=True, timeout=2 * WAIT)
    assert _pod_namespaces() == []


def test_everything_finds_a_daemon_that_was_started_again(lab: Lab) -> None:
    port = lab.api.port
    lab.kill(DAEMON)
    lab.start(DAEMON)
    lab.wait_ready(WAIT)
    lab.apply([NAMESPACE, _pod("after", "node1")])
    lab.wait_pods(WAIT)
    assert lab.api.port == port


@pytest.mark.parametrize(("family", "tunnel"), [(Family.IPV4, "vxlan"), (Family.IPV6, "geneve")])
def test_single_family_labs_work_over_both_tunnels(family: Family, tunnel: str) -> None:
    config = LabConfig(name=f"{NAME}-1", nodes=2, family=family, tunnel=tunnel)
    with Lab.up(config, replace=True) as lab:
        lab.wait_ready(WAIT)
        lab.apply([NAMESPACE])
        lab.apply([_pod("a", "node1"), _pod("b", "node2")])
        lab.wait_pods(WAIT)
        cells = lab.reachability(timeout=5.0)
        assert [(cell.version, cell.http) for cell in cells] == [(family.versions[0], "ok")] * 2
