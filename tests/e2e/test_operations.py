"""weftctl on a real cluster, through its API: checks, looks and bundles, in pods that kubelets run."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import control_plane, pki
from cluster.cluster import Cluster
from cluster.machine import wait
from dbs_fixture import listed, thief
from pki_fixture import Certified
from pods import Pod, delete, deployment, on_each_node, pods_of, run
from weft_fixture import SPACE

from daemon import targets
from lab import netns

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def pods(weft: Cluster) -> Iterator[list[Pod]]:
    run(weft, deployment("seen", 4))
    yield pods_of(weft, "seen")
    delete(weft, "seen")


def weftctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`weftctl` of this checkout, for the cluster's administrator."""
    kubeconfig = f"--kubeconfig={pki.kubeconfig('admin')}"
    return control_plane.inside(sys.executable, "-m", "cli.main", *arguments, kubeconfig, seconds=120)


def test_all_is_well(pods: list[Pod]) -> None:
    wait(lambda: weftctl("check").returncode == 0, "a network in which nothing failed", 60)
    found = json.loads(weftctl("check", "-o", "json").stdout)["findings"]
    said = {(each["check"], each["node"]): each for each in found}
    assert said["ports", "node1"]["what"].startswith("open: OpenFlow by TLS at ")
    assert "also packets of 1450 bytes" in said["tunnel", "node1"]["what"]
    assert said["certificates", "node2"]["what"].endswith("names: weft-agent")


def test_switches_are_looked_into(pods: list[Pod]) -> None:
    done = weftctl("pods")
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[1] for line in done.stdout.splitlines() if " yes " in line} == {"node1", "node2"}
    (here, *_), (there, *_) = on_each_node(pods).values()
    done = weftctl("trace", f"default/{here.name}", f"default/{there.name}")
    assert (done.returncode, "delivered" in done.stdout) == (0, True), done.stderr


def test_kubectl_weft(weft: Cluster, pods: list[Pod], tmp_path: Path) -> None:
    script = tmp_path / "kubectl-weft"
    call = "from cli.main import plugin; plugin()"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "{call}" "$@"\n')
    script.chmod(0o755)
    env = ("env", f"PATH={tmp_path}:/usr/bin:/bin", f"KUBECONFIG={pki.kubeconfig('admin')}")
    done = control_plane.inside(*env, str(weft.programs / "kubectl"), "weft", "nodes")
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["node1", "yes"], ["node2", "yes"]], (
        done.stderr
    )


def held(weft: Cluster, secret: str, directory: Path) -> Certified:
    """What a Secret has, as files."""
    directory.mkdir()
    for name, value in weft.get("secret", secret, "-n", SPACE)["data"].items():
        (directory / name).write_bytes(base64.b64decode(value))
    return Certified(directory / "ca.crt", directory / "tls.crt", directory / "tls.key")


def test_an_agents_certificate_opens_no_nodes_database(weft: Cluster, tmp_path: Path) -> None:
    """Taken from one node, where every agent has the same, and tried from there on the others and on itself."""
    agent, controller = (thief(held(weft, f"weft-{side}-tls", tmp_path / side)) for side in ("agent", "controller"))
    here = netns.path_of(weft.node("node1").layout.namespace)
    for node in weft.get("nodes")["items"]:
        target = targets.parse(node["metadata"]["annotations"]["weft.dev/ovsdb"])
        assert target.kind == "ssl"
        address = (target.host, target.port)
        assert "Open_vSwitch" in netns.run_in(here, lambda address=address: listed(address, controller))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            netns.run_in(here, lambda address=address: listed(address, agent))


def test_a_bundle_has_everything_and_no_secret(weft: Cluster, pods: list[Pod], tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    done = weftctl("support-bundle", "--file", str(path))
    assert done.returncode == 0, done.stderr
    with tarfile.open(path) as tar:
        files = {each.name.partition("/")[2]: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]
    index = json.loads(files["index.json"])
    assert {node: each["answers"] for node, each in index["nodes"].items()} == {"node1": True, "node2": True}
    assert {name for name in index["missing"] if not name.endswith(".previous.log")} == set()
    assert [name for name in files if name.startswith("cluster/logs/weft-agent-")]
    for node in ("node1", "node2"):
        assert {"flows.txt", "ovsdb.json", "nft.txt", "routes.txt"} <= {
            name.removeprefix(f"nodes/{node}/") for name in files
        }
    held = b"".join(files.values())
    for secret in weft.get("secret", "-n", SPACE)["items"]:
        for name, value in secret["data"].items():
            if name.endswith(".key"):
                lines = base64.b64decode(value).splitlines()[1:-1]
                assert lines
                assert [line for line in lines if line in held] == [], f"{secret['metadata']['name']} {name}"
            assert value.encode() not in held
