"""The keeper and the controller that a Lease names, on a real switch: whom it connects to, and that a change of hands
costs no flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from keeper_fixture import VIEW, Host, host

from node_agent.attach import Attacher, NodeNetwork, Surroundings
from node_agent.bridge import NodeBridge
from node_agent.controllers import ControllerView
from node_agent.status import Status
from node_agent.view import NodeView
from ovsdb.appctl import rundir_of
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import OWN

ONE, TWO = "tcp:127.0.0.1:6661", "tcp:127.0.0.1:6662"
WAIT = 10.0
WHY = "there is no Lease a/b"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path) as made:
        yield made


def told(target: str | None, problem: str = "") -> NodeView:
    return replace(VIEW, controller=ControllerView(target, problem))


def targets(node: Host) -> list[object]:
    return [row[0] for row in node.rows("Controller", "target") if isinstance(row, list)]


def flows(node: Host) -> str:
    return node.ovs.ofctl("-O", "OpenFlow15", "dump-flows", "--no-stats", "br-int")


def test_without_a_controller_everything_else_is_kept_and_told_as_not_ready(node: Host) -> None:
    node.keep(told(None, WHY))
    assert node.keeper.problem == f"no controller is known yet: {WHY}"
    assert targets(node) == []
    assert node.keeper.network is not None
    assert node.device("weft-gw0")["addresses"]
    node.kept(told(ONE))
    assert targets(node) == [ONE]


def test_what_the_switch_has_stays_while_nothing_is_known(node: Host) -> None:
    """Over an upgrade from the setting controllers, too, and when the agent starts while the API is away."""
    node.kept()
    before = targets(node)
    node.restart_agent()
    node.kept(told(None, WHY))
    assert targets(node) == before == ["tcp:127.0.0.1:6653"]


def test_a_change_of_hands_is_followed_and_costs_no_flow(node: Host) -> None:
    node.kept(told(ONE))
    node.ovs.ofctl("-O", "OpenFlow15", "add-flow", "br-int", "priority=7,ip,actions=drop")
    before = flows(node)
    assert "priority=7" in before
    for target in (TWO, ONE, TWO):
        node.kept(told(target))
        assert targets(node) == [target]
        assert flows(node) == before
    node.kept(told(TWO, "it was deleted"))
    assert targets(node) == [TWO]


def test_a_controller_that_is_away_is_told_when_one_has_to_be_there(node: Host) -> None:
    """While the API is away, none need be; the node would be taken out of service just as it is back."""
    node.kept(told(ONE))
    expected: list[bool] = []
    with OvsdbLoop() as loop:
        bridge = NodeBridge(loop.session(node.ovs.remote, OWN), "br-int", controller_seconds=0.0)
        bridge.start()
        bridge.wait_ready(WAIT)
        around = Surroundings(_no_network, list, lambda _: (), lambda _: False, lambda _: {}, lambda _: "")
        attacher = Attacher(bridge, around, seed=1)
        status = Status(bridge, rundir_of(node.ovs.remote), attacher, lambda: ["other"], lambda: bool(expected))

        def missing() -> list[str]:
            return [text for _, text in status.reasons() if f"no connection to its controller ({ONE})" in text]

        assert missing() == []
        expected.append(True)
        assert len(missing()) == 1


def _no_network() -> NodeNetwork:
    raise AssertionError("STATUS asks for no address when none can be given")
