"""The userspace datapath knows where to send tunnel packets before the first one comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_fixture import running_lab, until

from lab.bringup import vswitchd
from lab.lab import Lab
from ovsdb import appctl


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


def _answers(lab: Lab) -> bool:
    return bool(appctl.version(lab.paths.node("node2").ovs))
