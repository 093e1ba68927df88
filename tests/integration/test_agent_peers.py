"""The userspace datapath knows where to send tunnel packets before the first one comes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from lab_fixture import running_lab, until

from kube.annotations import TUNNEL_IP
from lab import names
from lab.bringup import vswitchd
from lab.lab import Lab
from ovsdb import appctl

WRONG = "02:00:00:00:00:99"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-peers", nodes=3) as lab:
        yield lab


def known(lab: Lab, node: str) -> set[str]:
    table = appctl.ask(lab.paths.node(node).ovs, "tnl/neigh/show")
    return {word for line in table.splitlines() for word in line.split() if word.startswith("198.18.1.")}


def others(lab: Lab, node: str) -> set[str]:
    numbers = range(1, lab.config.nodes + 1)
    return {f"198.18.1.{number}" for number in numbers if f"node{number}" != node}


@pytest.mark.parametrize("node", ["node1", "node2", "node3"])
def test_every_node_knows_every_other(lab: Lab, node: str) -> None:
    until(lambda: known(lab, node) >= others(lab, node), "all peers in the datapath's table")


def test_a_datapath_that_was_restarted_knows_them_again(lab: Lab) -> None:
    lab.kill(vswitchd("node2"))
    lab.start(vswitchd("node2"))
    until(lambda: _answers(lab) and known(lab, "node2") >= others(lab, "node2"), "all peers in the new table")


def test_a_peer_that_comes_is_not_taken_for_one_that_had_its_address(lab: Lab) -> None:
    namespace = ("ip", "-n", names.node_namespace(lab.config.name, "node1"), "neigh")
    device = ("198.18.1.3", "dev", "br-phy")
    right = _mac(lab, "198.18.1.3")
    subprocess.run((*namespace, "replace", *device, "lladdr", WRONG, "nud", "stale"), check=True)
    appctl.ask(lab.paths.node("node1").ovs, "tnl/neigh/set", "br-phy", "198.18.1.3", WRONG)
    gone = {"metadata": {"annotations": {TUNNEL_IP: None}}}  # its agent puts it back
    lab.api.request("PATCH", "/api/v1/nodes/node3", gone, "application/merge-patch+json")
    until(lambda: _mac(lab, "198.18.1.3") == right, "the peer's own MAC in the datapath's table")
    said = subprocess.run((*namespace, "show", *device), check=True, capture_output=True, text=True).stdout
    assert WRONG not in said


def _mac(lab: Lab, address: str) -> str:
    """By which node1's datapath knows a peer."""
    table = appctl.ask(lab.paths.node("node1").ovs, "tnl/neigh/show")
    return next((line.split()[1] for line in table.splitlines() if line.split()[:1] == [address]), "")


def _answers(lab: Lab) -> bool:
    return bool(appctl.version(lab.paths.node("node2").ovs))
