"""A lab that joins a cluster instead of playing one: here the embedded API without nodes, on a real socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from weftctl_fixture import typed, weftctl

from kube.endpoint import from_kubeconfig
from lab import cleanup, cluster
from lab.access import AccessError
from lab.api.app import make_app
from lab.api.builtin import NODES, PODS
from lab.api.errors import ApiError
from lab.api.handle import LabApi
from lab.api.kubeconfig import kubeconfig
from lab.api.server import ApiServer, local_socket, serve
from lab.bringup import DAEMON
from lab.cluster import ClusterError
from lab.lab import Lab, LabConfig, LabError
from lab.names import LAB, LabPaths
from lab.remote import RemoteNodeApi

NAME = f"t-joined-{os.getpid()}"  # Two runs of the tests may overlap.
OTHER = f"{NAME}-2"
WAIT = 30.0
_ROOT = Path(__file__).parents[2]
_UP = (
    "import sys; from lab.lab import Lab, LabConfig;"
    "Lab.up(LabConfig(name=sys.argv[1], nodes=1, kubeconfig=sys.argv[2])); print('up', flush=True)"
)

Obj = dict[str, Any]


@dataclass
class Cluster:
    """A cluster that is there before any lab. `kubeconfig` is the way to it."""

    kubeconfig: Path
    api: LabApi = field(default_factory=LabApi)
    port: int = 0
    server: ApiServer | None = None

    def start(self) -> None:
        self.server = serve(make_app(self.api), [local_socket(self.port)])
        self.port = int(self.server.urls[0].rpartition(":")[2])
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig(f"http://localhost:{self.port}")))

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()

    def nodes(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.api.list(NODES).items]

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.api.list(PODS).items]

    def pod(self, name: str) -> Obj:
        return self.api.get(PODS, name, "default")

    def add_node(self, name: str, cidr: str) -> Obj:
        return self.api.create(NODES, {"metadata": {"name": name}, "spec": {"podCIDRs": [cidr]}})


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from _cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def lab(guests: Cluster) -> Iterator[Lab]:
    config = LabConfig(name=NAME, nodes=2, kubeconfig=str(guests.kubeconfig))
    with Lab.up(config, replace=True) as lab:
        lab.wait_ready(WAIT)
        yield lab


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of one test alone, and no lab of it afterwards."""
    try:
        yield from _cluster(tmp_path)
    finally:
        cleanup.sweep(OTHER)


def _cluster(directory: Path) -> Iterator[Cluster]:
    made = Cluster(directory / "kubeconfig")
    made.start()
    yield made
    made.stop()


def _pod(name: str, **spec: Any) -> Obj:
    containers = [{"name": "c", "image": "agnhost", "args": ["netexec", "--http-port=8080"]}]
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def _until(holds: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def _remove(lab: Lab, guests: Cluster, *pods: Obj) -> None:
    lab.delete(pods)
    gone = {pod["metadata"]["name"] for pod in pods}
    _until(lambda: not gone & set(guests.pods()), "deleted pods are gone")


def _pod_spaces(name: str = NAME) -> list[str]:
    return [space for space in cleanup.namespaces(name) if "--" in space]


def test_its_nodes_are_nodes_of_the_cluster_that_nobodys_pods_run_into(lab: Lab, guests: Cluster) -> None:
    assert guests.nodes() == ["node1", "node2"]
    node = guests.api.get(NODES, "node1")
    assert node["spec"]["podCIDRs"] == ["10.244.1.0/24", "fd57:244:0:1::/64"]
    assert node["spec"]["taints"] == [{"key": LAB, "value": NAME, "effect": "NoSchedule"}]
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
    assert all("lastHeartbeatTime" in condition for condition in node["status"]["conditions"])
    # Weft's own agents and controller work against the cluster.
    assert node["metadata"]["annotations"]["weft.dev/tunnel-ip"] == "198.18.1.1"


def test_its_programs_use_the_kubeconfig_and_it_has_no_api_of_its_own(lab: Lab, guests: Cluster) -> None:
    assert lab.api.server == f"http://localhost:{guests.port}"
    for file in (lab.paths.controller_config, lab.paths.node("node1").agent_config):
        settings = yaml.safe_load(file.read_text())
        assert "api-server" not in settings
        assert Path(settings["kubeconfig"]).is_relative_to(lab.paths.root)
    assert lab.status().api == lab.api.server
    assert lab.status().healthy


def test_pods_applied_through_the_lab_run_on_it_and_reach_each_other(lab: Lab, guests: Cluster) -> None:
    pods = [_pod("a", nodeName="node1"), _pod("b", nodeName="node2"), _pod("c")]
    stored = lab.apply(pods)
    try:
        lab.wait_pods(WAIT, stored)
        cells = lab.reachability(timeout=5.0)
        assert len(cells) == 3 * 2 * 2
        assert [cell for cell in cells if not (cell.ok and cell.http == "ok")] == []
        assert lab.capture("a", ["ip", "-o", "addr", "show", "eth0"]).stdout.count("inet") >= 2
        annotations = guests.pod("c")["metadata"]["annotations"]
        assert float(annotations["lab.weft.dev/cni-add-ms"]) > 0
    finally:
        _remove(lab, guests, *pods)
    assert _pod_spaces() == []


def test_the_command_line_works_as_on_any_lab(lab: Lab, guests: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(_pod("typed")))
    try:
        applied = weftctl("lab", "apply", "-f", str(file), "--wait", "--name", NAME)
        assert (applied.status, applied.out) == (0, "pod default/typed applied\n"), applied.err
        assert "1 pods are ready" in applied.err
        assert "typed" in weftctl("lab", "get", "pods", "--name", NAME).out
        assert [row["NAME"] for row in _rows("get", "nodes")] == ["node1", "node2"]
        assert typed("lab", "exec", "--name", NAME, "typed", "--", "sh", "-c", "exit 7").status == 7
        status = weftctl("lab", "status", "--name", NAME)
        assert (status.status, status.lines[0]) == (
            0,
            f"lab {NAME!r}: 2 of 2 nodes ready, 1 of 1 pods ready, geneve, dual, API http://localhost:{guests.port}",
        )
        assert weftctl("lab", "kubeconfig", "--name", NAME).lines == [str(lab.paths.kubeconfig)]
        # Pod ranges are what only the cluster's API knows.
        (first, *_) = lab.nodes()[0]["spec"]["podCIDRs"]
        assert first in weftctl("nodes", "--lab", NAME).out
    finally:
        _remove(lab, guests, _pod("typed"))


def _rows(*arguments: str) -> list[dict[str, str]]:
    lines = [line.split() for line in weftctl("lab", *arguments, "--name", NAME).lines]
    return [dict(zip(lines[0], line, strict=False)) for line in lines[1:]]


def test_pods_that_are_not_meant_for_the_lab_are_none_of_its_business(lab: Lab, guests: Cluster) -> None:
    guests.api.create(PODS, _pod("elsewhere"), "default")
    guests.add_node("theirs", "10.9.0.0/24")
    guests.api.create(PODS, _pod("theirs", nodeName="theirs"), "default")
    try:
        lab.wait_ready(0.0)
        lab.wait_pods(0.0)
        assert (lab.status().ready_nodes, lab.status().pods) == (2, 0)
        conditions = guests.pod("elsewhere")["status"]["conditions"]
        assert "2 with a taint" in conditions[0]["message"]
        with pytest.raises(LabError, match=f"theirs is on theirs, which is not a node of lab {NAME}"):
            lab.exec("theirs", ["true"])
    finally:
        for name in ("elsewhere", "theirs"):
            lab.api.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")
        guests.api.delete(NODES, "theirs")


def test_an_api_that_is_away_costs_no_pod(lab: Lab, guests: Cluster) -> None:
    pods = [_pod("steady", nodeName="node1"), _pod("late", nodeName="node1")]
    lab.apply(pods[:1])
    lab.wait_pods(WAIT)
    before = _pod_spaces()
    guests.stop()
    time.sleep(0.5)
    assert _pod_spaces() == before
    guests.start()
    try:
        lab.apply(pods[1:])
        lab.wait_pods(WAIT)
        assert len(_pod_spaces()) == len(before) + 1
        assert lab.capture("steady", ["ping", "-c1", "-W5", guests.pod("late")["status"]["podIP"]]).returncode == 0
    finally:
        _remove(lab, guests, *pods)


def test_a_pod_deleted_while_the_api_was_away_is_taken_down_when_it_is_back(lab: Lab, guests: Cluster) -> None:
    pod = _pod("brief", nodeName="node2")
    lab.apply([pod])
    lab.wait_pods(WAIT)
    guests.stop()
    guests.api.edit(PODS, ("default", "brief"), lambda old: {**old, "status": {"phase": "Failed"}}, "status")
    guests.api.delete(PODS, "brief", "default")
    guests.start()
    _until(lambda: not _pod_spaces(), "its network is removed")


def test_a_daemon_started_again_finds_its_nodes(lab: Lab, guests: Cluster) -> None:
    before = guests.api.get(NODES, "node1")["metadata"]["uid"]
    lab.kill(DAEMON)
    lab.start(DAEMON)
    _until(lambda: lab.ready_nodes() == ["node1", "node2"], "nodes are ready")
    assert guests.api.get(NODES, "node1")["metadata"]["uid"] == before
    pod = _pod("after", nodeName="node1")
    lab.apply([pod])
    lab.wait_pods(WAIT)
    _remove(lab, guests, pod)


def test_down_takes_its_nodes_and_their_pods_out_and_nothing_else(fresh: Cluster) -> None:
    fresh.add_node("theirs", "10.9.0.0/24")
    fresh.api.create(PODS, _pod("theirs", nodeName="theirs"), "default")
    config = LabConfig(name=OTHER, nodes=1, kubeconfig=str(fresh.kubeconfig))
    with Lab.up(config) as lab:
        lab.wait_ready(WAIT)
        lab.apply([_pod("mine", nodeName="node1")])
        lab.wait_pods(WAIT)
        fresh.kubeconfig.unlink()  # the lab has a copy
    assert (fresh.nodes(), fresh.pods()) == (["theirs"], ["theirs"])


def test_a_cluster_that_is_away_does_not_keep_the_lab_and_is_told(fresh: Cluster) -> None:
    up = typed("lab", "up", "--nodes", "1", "--name", OTHER, "--kubeconfig", str(fresh.kubeconfig))
    assert up.status == 0, up.err
    assert f"in the cluster of {fresh.kubeconfig}" in up.err
    fresh.stop()
    down = typed("lab", "down", "--name", OTHER)
    assert down.status == 0
    assert f"kubectl --kubeconfig {fresh.kubeconfig} delete node -l {cluster.OWNER}=" in down.err
    assert "removed lab" in down.err
    assert not LabPaths(OTHER).root.exists()
    assert cleanup.namespaces(OTHER) == []
    assert fresh.nodes() == ["node1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nodes_of_a_lab_that_was_ended_half_way_are_removed(fresh: Cluster, number: int) -> None:
    argv = [sys.executable, "-c", _UP, OTHER, str(fresh.kubeconfig)]
    with subprocess.Popen(argv, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        _until(lambda: fresh.nodes() or starter.poll() is not None, "a Node appears")
        starter.send_signal(number)
        out, _ = starter.communicate(timeout=WAIT)
    assert out == ""  # it was not up yet
    if number == signal.SIGKILL:
        assert fresh.nodes() == ["node1"]
        cleanup.sweep(OTHER)
    assert fresh.nodes() == []
    assert not LabPaths(OTHER).root.exists()


def _refused(fresh: Cluster, error: type[Exception], match: str) -> None:
    before = fresh.api.version
    with pytest.raises(error, match=match):
        Lab.up(LabConfig(name=OTHER, nodes=2, kubeconfig=str(fresh.kubeconfig)))
    assert not LabPaths(OTHER).root.exists()
    assert cleanup.namespaces(OTHER) == []
    assert fresh.api.version == before


def test_a_node_of_the_same_name_is_refused_and_stays(fresh: Cluster) -> None:
    fresh.add_node("node2", "10.9.0.0/24")
    _refused(fresh, ClusterError, "has a Node node2 already")
    assert fresh.nodes() == ["node2"]


@pytest.mark.parametrize("cidr", ["10.244.2.0/25", "10.244.0.0/16", "fd57:244:0:1::/64"])
def test_pod_ranges_that_overlap_are_refused(fresh: Cluster, cidr: str) -> None:
    fresh.add_node("theirs", cidr)
    _refused(fresh, ClusterError, f"its Node theirs has pods in {cidr}")


def test_an_api_that_does_not_answer_is_refused(fresh: Cluster) -> None:
    fresh.stop()
    _refused(fresh, ClusterError, f"cannot be joined: the API at http://localhost:{fresh.port} does not answer")


def test_a_kubeconfig_that_nodes_cannot_use_is_refused(fresh: Cluster) -> None:
    document = yaml.safe_load(fresh.kubeconfig.read_text())
    document["users"][0]["user"] = {"exec": {"command": "get-token"}}
    fresh.kubeconfig.write_text(yaml.safe_dump(document))
    _refused(fresh, AccessError, "exec: a program that fetches credentials")


def test_weftctl_refuses_in_one_sentence(fresh: Cluster) -> None:
    fresh.add_node("node1", "10.9.0.0/24")
    ran = weftctl("lab", "up", "--name", OTHER, "--kubeconfig", str(fresh.kubeconfig))
    assert ran.status == 2
    assert "has a Node node1 already" in ran.err
    assert len(ran.err.splitlines()) == 2  # what it was about to build, and why not


def test_a_node_that_somebody_makes_meanwhile_is_not_taken(lab: Lab, guests: Cluster) -> None:
    theirs = cluster.as_guest({"metadata": {"name": "x", "labels": {LAB: "other"}}, "spec": {}}, "another-owner")
    lab.api.request("POST", "/api/v1/nodes", theirs)
    try:
        with pytest.raises(ApiError) as refused:
            _remote(lab, "x", "mine").register(theirs, {})
        assert refused.value.code == 409
        _remote(lab, "x", "another-owner").register(theirs, {"phase": "found again"})
        assert guests.api.get(NODES, "x")["status"] == {"phase": "found again"}
    finally:
        guests.api.delete(NODES, "x")


def _remote(lab: Lab, node: str, owner: str) -> RemoteNodeApi:
    return RemoteNodeApi(from_kubeconfig(str(lab.paths.kubeconfig)), node, owner)
