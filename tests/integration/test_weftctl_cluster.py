"""weftctl on a cluster, through its API: every command says what it says of the same nodes looked at directly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_fixture import certificate, dropped, stopped
from bundle_fixture import unpack
from exec_fixture import FORBIDDEN, ROOT, Door, door_to, pods
from lab_fixture import agent_problem, settled, until
from weftctl_fixture import WAIT, Ran, demo_lab, places, weftctl

from lab.bringup import agent, vswitchd
from lab.lab import Lab

NAME = f"t-wcluster-{os.getpid()}"
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "open", "namespace": "bank"},
    "spec": {"podSelector": {}, "ingress": [{}]},
}
Obj = dict[str, Any]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        lab.wait_pods(WAIT, lab.apply([*pods(lab), POLICY]))
        settled(lab)
        yield lab


@pytest.fixture(scope="module")
def door(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door_to(lab, certificate(tmp_path_factory.mktemp("door") / "tls", "localhost")) as door:
        yield door


@pytest.fixture
def kubeconfig(door: Door, tmp_path: Path) -> str:
    return str(door.kubeconfig(tmp_path / "kubeconfig", contexts=("main", "elsewhere")))


def directly(*arguments: str) -> Ran:
    return weftctl(*arguments, "--lab", NAME)


def no_ages(text: str) -> str:
    """Without what passes between two looks: ages, and the times since when."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b\d+[smh](\d+[smh])?\b", "·", text)


@pytest.mark.parametrize(
    "command",
    [
        "nodes",
        "pods",
        "flows",
        "flows --node node2 --table classify",
        "flows --raw --pod shop/cart",
        "policy",
        "reach",
    ],
)
def test_the_same_as_directly(lab: Lab, kubeconfig: str, command: str) -> None:
    ran = weftctl(*command.split(), "--kubeconfig", kubeconfig)
    assert (ran.status, ran.err) == (0, "")
    assert no_ages(ran.out) == no_ages(directly(*command.split()).out)
    assert len(ran.lines) > 1


def test_a_packet_is_followed_from_node_to_node(lab: Lab, kubeconfig: str) -> None:
    pod = places(lab)
    ran = weftctl("trace", pod.here, pod.away, "--kubeconfig", kubeconfig)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == directly("trace", pod.here, pod.away).out
    assert "delivered" in ran.out


def test_what_policies_say_is_compared_with_the_switches(lab: Lab, kubeconfig: str) -> None:
    pod = places(lab)
    ran = weftctl("explain", pod.here, pod.away, "--kubeconfig", kubeconfig)
    assert (ran.status, ran.err) == (0, "")
    assert "the switches' flows do the same" in ran.out


def test_agents_are_asked(lab: Lab, kubeconfig: str) -> None:
    found = json.loads(weftctl("cni", "-o", "json", "--kubeconfig", kubeconfig).out)
    same = json.loads(directly("cni", "-o", "json").out)
    assert [each["node"] for each in found["nodes"]] == ["node1", "node2"]
    # Runtimes go on asking for STATUS.
    of_pods = [[each for each in told["latencies"] if each["verb"] in ("ADD", "DEL")] for told in (found, same)]
    assert of_pods[0] == of_pods[1] != []


def test_all_is_well(kubeconfig: str) -> None:
    ran = weftctl("check", "--kubeconfig", kubeconfig)
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[-1] == "13 checks of 2 nodes: all is well"
    assert "weft-controller-0 is ready" in ran.out


def failed(kubeconfig: str, check: str) -> list[tuple[str, str]]:
    findings = json.loads(weftctl("check", "-o", "json", "--kubeconfig", kubeconfig).out)["findings"]
    return [(f["node"], f["what"]) for f in findings if (f["check"], f["result"]) == (check, "failed")]


def test_probes_go_from_node_to_node(lab: Lab, kubeconfig: str) -> None:
    with dropped(lab, "udp dport 6081"):
        found = failed(kubeconfig, "tunnel")
    assert ("node1", "node2 (10.244.2.1) does not answer through the tunnel: no answer") in found


def test_an_agent_that_does_not_run(lab: Lab, kubeconfig: str) -> None:
    with stopped(lab, agent("node2")):
        (found,) = failed(kubeconfig, "agent")
        ran = weftctl("cni", "--kubeconfig", kubeconfig)
    assert found == ("node2", "nothing listens at 127.0.0.1:9443 of its node: weft-agent does not run")
    assert (ran.status, "node2 does not answer: nothing listens" in ran.err) == (2, True)
    until(lambda: agent_problem(lab, "node2") is None, "agent ready again")


def test_a_switch_that_does_not_run(lab: Lab, kubeconfig: str) -> None:
    with stopped(lab, vswitchd("node1")):
        ran = weftctl("flows", "--kubeconfig", kubeconfig)
    assert ran.status == 2
    assert "node1 does not answer" in ran.err
    assert "node2" in ran.out
    settled(lab)


def test_a_bundle_has_the_pods_logs_too(lab: Lab, kubeconfig: str, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    ran = weftctl("support-bundle", "--kubeconfig", kubeconfig, "--file", str(path))
    assert (ran.status, ran.out) == (0, f"{path}\n")
    found = unpack(path)
    assert (
        found.text("cluster/logs/weft-agent-node1.weft-agent.log")
        == "the log of weft-agent-node1: password=REDACTED\n"
    )
    assert found.under("nodes/node2") >= {
        "flows.txt", "ovsdb.json", "nft.txt", "links.txt", "routes.txt", "agent/metrics.txt",
        "agent/cni-failures.json", "openflow-groups.txt", "appctl/dpctl-dump-flows.txt", "settings/agent.yaml",
        "versions.txt",
    }, found.index["missing"]  # fmt: skip
    assert "weft_switches_connected 2.0" in found.text("controllers/weft-controller-0/health/metrics.txt")
    assert found.index["nodes"]["node1"] == {"answers": True, "silent": {}}
    # What the lab's API does not have is named, and nothing else is missing.
    not_there = {f"cluster/{kind}.json" for kind in ("leases", "daemonsets", "deployments", "configmaps")}
    assert set(found.index["missing"]) <= not_there


# Who may not, and what is not there.


def test_somebody_without_the_right_to_execute_is_told_so(door: Door, tmp_path: Path) -> None:
    path = door.kubeconfig(tmp_path / "k", token=FORBIDDEN)
    ran = weftctl("nodes", "--kubeconfig", str(path))
    assert (ran.status, ran.out) == (2, "")
    assert 'User "me" cannot create resource "exec"' in ran.err
    assert "container weft-agent of pod weft-system/weft-agent-node1" in ran.err


def test_a_bundle_without_that_right_has_what_the_api_tells(door: Door, tmp_path: Path) -> None:
    kubeconfig, path = door.kubeconfig(tmp_path / "k", token=FORBIDDEN), tmp_path / "b.tar.gz"
    ran = weftctl("support-bundle", "--kubeconfig", str(kubeconfig), "--file", str(path))
    assert ran.status == 0
    found = unpack(path)
    assert "cluster/pods.json" in found.files
    assert found.index["nodes"]["node1"]["answers"] is False
    assert 'cannot create resource "log"' in found.index["missing"]["cluster/logs/weft-agent-node1.weft-agent.log"]


def test_a_node_in_whose_agent_nothing_can_be_executed_leaves_the_others(door: Door, kubeconfig: str) -> None:
    door.broken.add("weft-agent-node1")
    try:
        ran = weftctl("nodes", "--kubeconfig", kubeconfig)
    finally:
        door.broken.clear()
    assert ran.status == 2
    assert [line.split()[0] for line in ran.lines] == ["NODE", "node2", "node1"]
    assert "node1 does not answer: cannot execute in container weft-agent" in ran.err


def test_another_context(kubeconfig: str) -> None:
    ran = weftctl("nodes", "--kubeconfig", kubeconfig, "--context", "elsewhere")
    assert (ran.status, ran.out) == (2, "")
    assert "cannot look for Weft's pods in namespace weft-system: GET https://localhost:9/" in ran.err


def test_a_context_that_is_not_there(kubeconfig: str) -> None:
    ran = weftctl("nodes", "--kubeconfig", kubeconfig, "--context", "nowhere")
    assert (ran.status, ran.out) == (2, "")
    assert "nowhere" in ran.err


def test_a_namespace_without_weft(kubeconfig: str) -> None:
    ran = weftctl("nodes", "--kubeconfig", kubeconfig, "--weft-namespace", "shop")
    assert (ran.status, ran.out) == (2, "")
    assert "has no agents of Weft in namespace shop: give the one that Weft is installed in" in ran.err


def test_a_node_that_is_not_there(kubeconfig: str) -> None:
    ran = weftctl("flows", "--kubeconfig", kubeconfig, "--node", "node9")
    assert (ran.status, "has no node 'node9': it has node1, node2" in ran.err) == (2, True)


def test_who_may_reach_whom_is_asked_of_the_api_alone(door: Door, tmp_path: Path) -> None:
    """So it can be asked before Weft is there, and by somebody who may not execute."""
    before = len(door.execs)
    kubeconfig = door.kubeconfig(tmp_path / "k", token=FORBIDDEN)
    ran = weftctl("reach", "--kubeconfig", str(kubeconfig), "--weft-namespace", "nowhere")
    assert (ran.status, ran.err, len(door.execs)) == (0, "", before)
    assert ran.out == directly("reach").out


# As kubectl's plugin.


@pytest.fixture
def path_with_plugin(tmp_path: Path) -> str:
    """A PATH on which kubectl finds the plugin, as after an installation."""
    script = tmp_path / "bin" / "kubectl-weft"
    script.parent.mkdir()
    call = "import sys; from cli.main import plugin; sys.argv[0] = 'kubectl-weft'; plugin()"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "{call}" "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}:{os.environ['PATH']}"


def kubectl_weft(path: str, kubeconfig: str, *arguments: str, **env: str) -> Ran:
    done = subprocess.run(
        ["kubectl", "weft", *arguments], env=os.environ | {"PATH": path, "KUBECONFIG": kubeconfig} | env,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def test_kubectl_runs_it_on_its_current_context(path_with_plugin: str, kubeconfig: str, tmp_path: Path) -> None:
    """Although a lab is up on this machine. What it needed for that is gone when it has ended."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ran = kubectl_weft(path_with_plugin, kubeconfig, "nodes", TMPDIR=str(scratch))
    assert (ran.status, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.lines] == ["NODE", "node1", "node2"]
    assert list(scratch.iterdir()) == []


def test_it_calls_itself_by_the_name_it_is_called_by(path_with_plugin: str, kubeconfig: str) -> None:
    said = kubectl_weft(path_with_plugin, kubeconfig, "--help").out
    assert said.startswith("Usage: kubectl weft [OPTIONS] COMMAND")
    assert "\n  lab " not in said
    detailed = kubectl_weft(path_with_plugin, kubeconfig, "check", "--help").out
    assert "`kubectl weft check --node node1`" in " ".join(detailed.split())
    assert "weftctl" not in detailed
    wrong = kubectl_weft(path_with_plugin, kubeconfig, "trace", "a/b", "c/d")
    assert wrong.status == 2
    assert wrong.err.startswith("kubectl weft: ")
    assert "see `kubectl weft pods`" in wrong.err


def test_a_lab_can_still_be_named(path_with_plugin: str, lab: Lab, kubeconfig: str, door: Door) -> None:
    before = len(door.execs)
    ran = kubectl_weft(path_with_plugin, kubeconfig, "nodes", "--lab", NAME)
    assert (ran.status, len(door.execs)) == (0, before)


# Places that are found when nothing is said.


def test_sockets_are_for_their_owner_only(kubeconfig: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        assert weftctl("nodes", "--kubeconfig", kubeconfig).status == 0
        open_to_others = [each.stat().st_mode & 0o077 for each in scratch.iterdir()]
    finally:
        shutil.rmtree(scratch)
    assert open_to_others == [0]


def test_a_kubeconfig_beside_sockets_only_tells_names(lab: Lab, kubeconfig: str, door: Door) -> None:
    before = len(door.execs)
    rundir = str(lab.paths.node("node1").ovs)
    ran = weftctl("nodes", "--rundir", rundir, "--kubeconfig", kubeconfig)
    assert (ran.status, len(door.execs)) == (0, before)
    assert ran.lines[1].split()[:2] == ["node1", "yes"]
