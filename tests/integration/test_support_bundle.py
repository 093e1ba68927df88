"""weftctl support-bundle on a lab: what is in the archive, and what it says of nodes that do not answer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_fixture import stopped
from bundle_fixture import Bundle, bundle, unpack
from lab_fixture import agent_problem, pod, running_lab, settled, until
from weftctl_fixture import typed, weftctl

from lab.bringup import CONTROLLER, agent, ovsdb, vswitchd
from lab.lab import Lab

NAME = f"t-wbundle-{os.getpid()}"
OF_NODE = {
    "ovsdb.json", "bridge.json", "facts.json", "probes.json", "flows.txt", "flows-in-words.txt", "links.txt",
    "routes.txt", "neighbours.txt", "sysctls.txt", "versions.txt", "nft.txt", "openflow-groups.txt",
    "openflow-ports.txt", "appctl/dpctl-dump-flows.txt", "appctl/coverage-show.txt", "agent/metrics.txt",
    "agent/readyz.txt", "agent/cni-failures.json", "settings/agent.yaml", "settings/10-weft.conflist",
    "logs/agent.log", "logs/vswitchd.log", "logs/ovsdb.log",
}  # fmt: skip
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed", "namespace": "default"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab(NAME, pod("one", "node1"), pod("two", "node2"), POLICY) as lab:
        yield lab


@pytest.fixture(scope="module")
def whole(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    settled(lab)
    return bundle(tmp_path_factory.mktemp("whole") / "w.tar.gz", "--lab", NAME)


def test_everything_of_every_node(whole: Bundle) -> None:
    for name in ("node1", "node2"):
        assert whole.under(f"nodes/{name}") >= OF_NODE
    assert whole.index["missing"] == {}
    assert set(whole.index["nodes"]) == {"node1", "node2"}
    assert whole.err.splitlines() == [f"looking at lab '{NAME}'; this takes a few seconds"]


def test_the_index_names_every_file_with_its_size(whole: Bundle) -> None:
    assert whole.index["files"] == {name: len(data) for name, data in whole.files.items() if name != "index.json"}


def test_what_is_in_the_files(whole: Bundle) -> None:
    node = "nodes/node1"
    assert "actions=" in whole.text(f"{node}/flows.txt")
    assert "pod/default/one" in whole.text(f"{node}/flows-in-words.txt")
    assert "weft-gw0 up mtu 1450" in whole.text(f"{node}/links.txt")
    assert "10.244.2.0/24 via 10.244.1.0 dev weft-gw0" in whole.text(f"{node}/routes.txt")
    assert "table inet weft" in whole.text(f"{node}/nft.txt")
    assert "net/ipv4/ip_forward = 1" in whole.text(f"{node}/sysctls.txt")
    assert "weft_cni_request_seconds_bucket" in whole.text(f"{node}/agent/metrics.txt")
    assert "OFPST_GROUP_DESC reply" in whole.text(f"{node}/openflow-groups.txt")
    assert '"event":' in whole.text(f"{node}/logs/agent.log")
    assert "node-name: node1" in whole.text(f"{node}/settings/agent.yaml")
    rows = whole.json(f"{node}/ovsdb.json")
    assert {"br-int", "br-phy"} == {row["name"] for row in rows["Bridge"].values()}


def test_the_controller_and_the_cluster(whole: Bundle) -> None:
    assert "weft_switches_connected 2.0" in whole.text("controllers/weft-controller/health/metrics.txt")
    assert whole.under("controllers/weft-controller") >= {"settings/controller.yaml", "logs/controller.log"}
    assert {each["metadata"]["name"] for each in whole.json("cluster/nodes.json")} == {"node1", "node2"}
    assert [each["spec"]["nodeName"] for each in whole.json("cluster/pods.json")] == ["node1", "node2"]
    (policy,) = whole.json("cluster/networkpolicies.json")
    assert policy["spec"] == POLICY["spec"]
    assert whole.json("check.json")["findings"]


def test_only_its_owner_may_read_it(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    bundle(path, "--lab", NAME)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["b.tar.gz"]


def test_one_node(lab: Lab, tmp_path: Path) -> None:
    found = bundle(tmp_path / "b.tar.gz", "--lab", NAME, "--node", "node2")
    assert found.under("nodes") == {f"node2/{name}" for name in found.under("nodes/node2")}


def test_a_node_by_its_sockets(lab: Lab, tmp_path: Path) -> None:
    found = bundle(tmp_path / "b.tar.gz", "--rundir", str(lab.paths.node("node1").ovs))
    assert "weft-gw0 up mtu 1450" in found.text("nodes/node1/links.txt")
    assert found.index["missing"] == {
        "cluster/": "no Kubernetes API was named: give --kubeconfig or --context",
    }


def test_the_end_of_a_log(lab: Lab, tmp_path: Path) -> None:
    log = lab.paths.node("node1").log / "agent.log"
    before = log.read_bytes()
    try:
        with log.open("ab") as file:
            file.write(b"".join(b"line %06d\n" % number for number in range(200_000)))
        found = bundle(tmp_path / "b.tar.gz", "--lab", NAME, "--log-mib", "1")
        lines = found.text("nodes/node1/logs/agent.log").splitlines()
        assert (1 << 20) - 20 < len(found.files["nodes/node1/logs/agent.log"]) <= 1 << 20
        assert lines[-1] == "line 199999"
        assert len({len(line) for line in lines}) == 1  # the first is whole
    finally:
        log.write_bytes(before)


def test_a_file_that_is_there_is_not_overwritten(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_text("precious")
    ran = weftctl("support-bundle", "--lab", NAME, "--file", str(path))
    assert (ran.status, ran.out) == (2, "")
    assert f"{path} exists already; give another --file" in ran.err
    assert path.read_text() == "precious"


def test_a_place_that_cannot_be_written_to(lab: Lab) -> None:
    ran = weftctl("support-bundle", "--lab", NAME, "--file", "/nowhere/b.tar.gz")
    assert (ran.status, "cannot write /nowhere/b.tar.gz: No such file or directory" in ran.err) == (2, True)


def test_by_default_it_is_here_and_has_the_date(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = weftctl("support-bundle", "--lab", NAME)
    (path,) = tmp_path.iterdir()
    assert ran.out == f"{path.name}\n"
    assert path.name.startswith("weft-support-20")
    assert unpack(path).under("nodes/node1") >= OF_NODE


def test_a_node_that_is_dead_is_named_and_stops_nothing(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with stopped(lab, agent("node2"), vswitchd("node2"), ovsdb("node2")):
        ran = typed("support-bundle", "--lab", NAME, "--file", str(path))
    assert (ran.status, ran.out) == (0, f"{path}\n")
    found = unpack(path)
    assert found.under("nodes/node1") >= OF_NODE
    assert found.index["nodes"]["node1"] == {"answers": True, "silent": {}}
    assert found.index["nodes"]["node2"]["answers"] is False
    assert set(found.index["missing"]) >= {"nodes/node2/switch", "nodes/node2/agent", "nodes/node2/appctl"}
    assert "nodes/node2/switch is missing: unix:" in ran.err
    # What a dead node still has is there: its network, settings and logs.
    assert found.under("nodes/node2") >= {"links.txt", "settings/agent.yaml", "logs/vswitchd.log"}
    until(lambda: agent_problem(lab, "node2") is None, "agent ready again")


def test_a_controller_that_is_dead_is_named(lab: Lab, tmp_path: Path) -> None:
    with stopped(lab, CONTROLLER):
        found = bundle(tmp_path / "b.tar.gz", "--lab", NAME)
    assert "does not run" in found.index["missing"]["controllers/weft-controller/health"]
    assert "logs/controller.log" in found.under("controllers/weft-controller")
    assert found.json("check.json")["well"] is False


def test_files_that_are_not_there_are_named(lab: Lab, tmp_path: Path) -> None:
    log = lab.paths.node("node1").log / "ovsdb.log"
    hidden = log.with_suffix(".hidden")
    log.rename(hidden)
    try:
        found = bundle(tmp_path / "b.tar.gz", "--lab", NAME)
    finally:
        hidden.rename(log)
    assert "No such file" in found.index["missing"]["nodes/node1/logs/ovsdb.log"]
