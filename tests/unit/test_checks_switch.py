"""Checks of each node by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from checks_fixture import found, node, only, unprogrammed, world

from cli.checks.model import NodeState, Result
from cli.directory import PodInfo


def others() -> tuple[NodeState, NodeState]:
    return node("beta"), node("gamma")


def with_datapath(kind: str, *, module: bool) -> NodeState:
    state = node()
    assert state.view is not None
    assert state.facts is not None
    from msgspec.structs import replace as changed

    view = replace(state.view, bridge=replace(state.view.bridge, datapath_type=kind))
    return replace(state, view=view, facts=changed(state.facts, module=module))


def test_the_kernel_lacks_the_module() -> None:
    finding = only("kernel", world(with_datapath("system", module=False), *others()))
    assert "kernel 6.1.0-1-amd64 has not loaded the module openvswitch" in finding.what
    assert "modprobe openvswitch" in finding.remedy
    assert "datapathType=netdev" in finding.remedy


@pytest.mark.parametrize("module", [True, False])
def test_user_space_needs_no_module(module: bool) -> None:
    assert found("kernel", world(with_datapath("netdev", module=module), *others())) == []


@pytest.mark.parametrize(
    ("version", "is_old"), [("2.17.9", True), ("3.0.1", True), ("3.1.0", False), ("4.0.0", False)]
)
def test_the_version_of_open_vswitch(version: str, is_old: bool) -> None:
    findings = found("ovs-version", world(node(vswitchd=version), *others()))
    assert [each.result for each in findings] == ([Result.FAILED] if is_old else [])


def test_a_switch_that_does_not_answer() -> None:
    finding = only("switch", world(node(silent={"vswitchd": "it hangs"}), *others()))
    assert (finding.node, finding.what) == ("alpha", "it hangs")


def test_a_port_of_somebody_else_is_a_warning() -> None:
    state = node()
    assert state.view is not None
    view = replace(state.view, bridge=replace(state.view.bridge, foreign=frozenset({"eth9"})))
    (finding,) = found("switch", world(replace(state, view=view), *others()))
    assert (finding.result, finding.what.split()[:2]) == (Result.WARNING, ["port", "eth9"])


def test_an_agent_that_is_not_ready() -> None:
    finding = only("agent", world(node(unready=("no range yet",)), *others()))
    assert finding.what == "not ready: no range yet"


def test_an_agent_that_does_not_answer() -> None:
    finding = only("agent", world(node(unready=None, silent={"agent": "nothing listens"}), *others()))
    assert finding.what == "nothing listens"


def without_connection(*, flows: bool) -> NodeState:
    state = node()
    assert state.view is not None
    targets = dict.fromkeys(state.view.controllers, False)
    return replace(state, view=replace(state.view, controllers=targets), flows=state.flows if flows else ())


def test_a_switch_without_its_controller_says_why() -> None:
    finding = only("controller", world(without_connection(flows=True), *others()))
    assert finding.what == "the switch is not connected to its controller ssl:192.0.2.9:6653 (Connection refused)"


def test_a_switch_that_was_programmed_a_moment_ago_counts_as_connected() -> None:
    state = without_connection(flows=True)
    fresh = tuple(replace(each, age=1.0) for each in state.flows or ())
    assert found("controller", world(replace(state, flows=fresh), *others())) == []


def test_a_switch_without_flows() -> None:
    findings = found("controller", world(without_connection(flows=False), *others()))
    assert [each.what for each in findings][1:] == ["the switch has no flows of Weft"]


def test_a_bridge_without_a_controller() -> None:
    state = node()
    assert state.view is not None
    finding = only("controller", world(replace(state, view=replace(state.view, controllers={})), *others()))
    assert finding.what == "the bridge has no controller set"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"programmed": None}, "the controller has not confirmed its flows"),
        ({"programmed": "an older container"}, "the controller has not confirmed its flows"),
        ({"ofport": None}, "Open vSwitch has given it no number yet"),
        ({"ofport": None, "error": "no such device"}, "Open vSwitch cannot open the port: no such device"),
        ({"ofport": 77}, "its flows are not in the switch"),
    ],
)
def test_a_pod_that_is_not_programmed(changes: dict[str, object], words: str) -> None:
    finding = only("pods", world(unprogrammed(node(), **changes), *others()))
    assert finding.what == f"shop/web: not programmed: {words}"


def test_a_pod_without_a_port() -> None:
    made = world()
    pods = {"shop/lost": PodInfo("shop/lost", "beta", ())}
    finding = only("pods", replace(made, directory=replace(made.directory, pods=pods)))
    assert (finding.node, finding.what) == ("beta", "shop/lost: it has no port on its node")


def test_flows_that_cannot_be_read_are_not_held_against_pods() -> None:
    assert found("pods", world(node(flows=None), *others())) == []
