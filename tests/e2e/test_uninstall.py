"""What `helm uninstall` and `weftctl cleanup` leave of Weft on the nodes and in the cluster: nothing."""

from __future__ import annotations

import json
import sys

import pytest
from cluster import control_plane, pki
from cluster.cluster import Cluster
from cluster.node import Node
from images_fixture import Built
from pods import deployment, run
from weft_fixture import RELEASE, SPACE

pytestmark = pytest.mark.timeout(400)

_FILES = ("/opt/cni/bin/weft", "/etc/cni/net.d/10-weft.conflist", "/run/weft", "/var/lib/weft")
_KINDS = ("nodes", "leases.coordination.k8s.io", "clusterroles", "clusterrolebindings", "secrets", "configmaps",
          "validatingadmissionpolicies", "validatingadmissionpolicybindings", "serviceaccounts", "daemonsets",
          "deployments", "poddisruptionbudgets")  # fmt: skip


@pytest.fixture(scope="module")
def before(bare: Cluster) -> dict[str, set[str]]:
    """What the nodes had before there was Weft."""
    return {node.name: network(node) for node in bare.nodes}


@pytest.fixture(scope="module")
def gone(before: dict[str, set[str]], weft: Cluster, built: Built) -> Cluster:
    """Weft was there, with pods that still run, and is not any more."""
    run(weft, deployment("left", 2))
    weft.helm("uninstall", RELEASE, "--namespace", SPACE, "--wait")
    said = weftctl("cleanup", "--namespace", SPACE, "--image", f"docker.io/weft/agent:{built.version}")
    print(said)
    return weft


def weftctl(*arguments: str) -> str:
    """What `weftctl` of this checkout prints, for the cluster's administrator."""
    done = control_plane.inside(
        sys.executable, "-m", "cli.main", *arguments, f"--kubeconfig={pki.kubeconfig('admin')}", seconds=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cleanup_refuses_while_weft_is_installed(before: dict[str, set[str]], weft: Cluster) -> None:
    with pytest.raises(AssertionError, match="still installed"):
        weftctl("cleanup", "--namespace", SPACE)


def test_the_nodes_network_is_as_it_was(before: dict[str, set[str]], gone: Cluster) -> None:
    for node in gone.nodes:
        after = network(node)
        assert (after - before[node.name], before[node.name] - after) == (set(), set())


def test_no_file_is_left(gone: Cluster) -> None:
    left = [f"{node.name}:{path}" for node in gone.nodes for path in _FILES if node.machine.inside(path).exists()]
    assert left == []


def test_nothing_of_weft_is_in_the_cluster(gone: Cluster) -> None:
    text = gone.kubectl("get", ",".join(_KINDS), "--all-namespaces", "-o", "name")
    assert [line for line in text.splitlines() if "weft" in line] == []
    annotations = [each["metadata"].get("annotations", {}) for each in gone.get("nodes")["items"]]
    assert not [key for each in annotations for key in each if key.startswith("weft.dev/")]


def test_cleanup_again_finds_nothing(gone: Cluster, built: Built) -> None:
    said = weftctl("cleanup", "--namespace", SPACE, "--image", f"docker.io/weft/agent:{built.version}")
    assert said.count("nothing of Weft is on this machine") == len(gone.nodes)


def network(node: Node) -> set[str]:
    """Devices, addresses, routes and rules of a node, and tables of nftables that are not kube-proxy's."""
    devices = json.loads(node.machine.run("ip", "-json", "addr"))
    flags = {f"{each['ifname']} {flag}" for each in devices for flag in each["flags"]}
    addresses = {f"{each['ifname']} {a['local']}/{a['prefixlen']}" for each in devices for a in each["addr_info"]}
    shown = [node.machine.run("ip", family, what) for family in ("-4", "-6") for what in ("route", "rule")]
    tables = [line for line in node.machine.run("nft", "list", "tables").splitlines() if "weft" in line]
    return {*flags, *addresses, *(line.strip() for text in shown for line in text.splitlines()), *tables}
