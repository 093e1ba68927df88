"""Checks of what is not one node's."""

from __future__ import annotations

from dataclasses import replace

from checks_fixture import found, node, only, world

from cli.checks.model import Controller, Result
from cli.directory import Directory, NodeInfo
from openflow.net import network


def test_an_api_that_does_not_answer() -> None:
    finding = only("api", world(directory=Directory(problems=("the Kubernetes API does not answer",))))
    assert (finding.node, finding.what) == ("", "the Kubernetes API does not answer")


def test_no_api_was_named() -> None:
    (finding,) = found("api", world(api="", directory=Directory()))
    assert (finding.result, "--kubeconfig" in finding.remedy) == (Result.UNKNOWN, True)


def test_a_node_without_an_agent() -> None:
    made = world()
    extra = NodeInfo("delta", False, (), None)
    finding = only("nodes", replace(made, directory=Directory({**made.directory.nodes, "delta": extra})))
    assert (finding.node, finding.what) == ("delta", "it is a Node, and no agent of Weft was found on it")


def test_other_nodes_are_not_missed_by_who_looks_at_one() -> None:
    made = world(node("alpha"))
    nodes = {**made.directory.nodes, "beta": NodeInfo("beta", True, (), None)}
    assert found("nodes", replace(made, directory=Directory(nodes))) == []


def test_a_node_that_is_not_ready() -> None:
    made = world()
    info = replace(made.directory.nodes["beta"], ready=False)
    finding = only("nodes", replace(made, directory=Directory({**made.directory.nodes, "beta": info})))
    assert (finding.node, finding.what) == ("beta", "Kubernetes says that the Node is not Ready")


def test_a_node_without_a_range() -> None:
    made = world()
    info = NodeInfo("beta", True, (), 1450)
    finding = only("nodes", replace(made, directory=Directory({**made.directory.nodes, "beta": info})))
    assert "--allocate-node-cidrs" in finding.remedy
    assert network("10.10.2.0/24") not in info.pod_cidrs


def test_a_controller_that_is_not_ready() -> None:
    broken = (Controller("weft-controller-1", "alpha", ("not ready: no list of Pods yet",)),)
    finding = only("controllers", world(controllers=broken))
    assert (finding.node, finding.what) == ("alpha", "weft-controller-1: not ready: no list of Pods yet")


def test_no_controller_at_all() -> None:
    assert only("controllers", world(controllers=())).what == "no controller runs: changes reach no switch"


def test_controllers_that_nobody_knows_of() -> None:
    (finding,) = found("controllers", world(controllers=None))
    assert finding.result is Result.UNKNOWN
