"""What a node's database tells the core: nothing of a bridge that is not the node's, all of one that is."""

from dataclasses import replace

from cluster_fixture import port

from controller import commands as c
from controller.bridge import bridge_state
from controller.nodes import Follower
from ovsdb.rows import GATEWAY_PORT, Bridge, ForeignPort, PortRefused, Purging, SystemPort
from ovsdb.view import BridgeGone, BridgeSeen, OvsdbLost, PortChanged, PortGone, Snapshot

WEB = port("web", ofport=5)
HEAD = BridgeSeen("br-int", "n1", "0.1", 1, "netdev")
NEEDY = Purging(needed=True)
BRIDGE = Bridge("br-int", "n1", "0.1", 1, "netdev", ports={"web": WEB}, system={GATEWAY_PORT: 2})
SNAPSHOT = Snapshot(HEAD, BRIDGE, (SystemPort(GATEWAY_PORT, 2, None),))


def told(*events):
    """What the last of these events makes."""
    follower = Follower("n1")
    *before, last = events
    for event in before:
        list(follower.take(event))
    return list(follower.take(last))


def snapshot(**changes):
    bridge = replace(BRIDGE, **changes)
    return Snapshot(replace(HEAD, node=bridge.node, purging=bridge.purging), bridge, SNAPSHOT.system)


def reasons(events):
    return [problem.reason for event in events if isinstance(event, c.PortProblem) for problem in event.problems]


def test_the_nodes_bridge_is_told_as_a_whole():
    assert told(SNAPSHOT) == [c.BridgeRead("n1", bridge_state([WEB], {GATEWAY_PORT: 2}))]


def test_after_a_reconnection_it_is_told_as_a_whole_again():
    assert told(SNAPSHOT, OvsdbLost("gone"), SNAPSHOT) == told(SNAPSHOT)
    assert told(SNAPSHOT, OvsdbLost("gone")) == []


def test_what_is_wrong_with_ports_is_told_with_the_bridge():
    (read,) = told(snapshot(foreign=frozenset({"eth7", "eth6"}), refused={"x": "port x: no"}))
    assert [(problem.key, problem.reason) for problem in read.problems] == [
        ("n1/eth6", "ForeignPort"), ("n1/eth7", "ForeignPort"), ("n1/x", "PortRefused"),
    ]  # fmt: skip


def test_ports_come_change_and_go():
    changed = replace(WEB, ofport=7)
    assert told(SNAPSHOT, PortChanged(changed)) == [c.PortProblem("n1", "n1/web", ()), c.PortSet("n1", changed)]
    assert told(SNAPSHOT, PortGone("web")) == [c.PortProblem("n1", "n1/web", ()), c.PortUnset("n1", "web")]
    assert told(SNAPSHOT, SystemPort(GATEWAY_PORT, 9, 4)) == [c.SystemPortSet("n1", GATEWAY_PORT, 9)]


def test_a_port_that_can_no_longer_be_read_is_taken_away_and_reported():
    unset, problem = told(SNAPSHOT, PortRefused("web", "port web: no"))
    assert unset == c.PortUnset("n1", "web")
    assert problem.problems[0].message == "port web: no"


def test_a_port_that_is_no_longer_a_pods_is_taken_away_and_reported():
    unset, problem = told(SNAPSHOT, ForeignPort("web"))
    assert unset == c.PortUnset("n1", "web")
    assert reasons([problem]) == ["ForeignPort"]


def test_a_database_without_the_bridge_has_no_ports():
    nothing = [c.BridgeRead("n1", bridge_state((), {}))]
    assert told(Snapshot(None, None)) == nothing
    assert told(SNAPSHOT, Snapshot(None, None)) == nothing
    assert told(SNAPSHOT, BridgeGone("br-int")) == nothing
    assert told(SNAPSHOT, BridgeGone("br-int"), PortGone("web")) == []


def test_a_bridge_that_is_made_later_is_told_from_then_on():
    history = [Snapshot(None, None), HEAD]
    assert told(*history) == [c.BridgeRead("n1", bridge_state((), {}))]
    assert told(*history, PortChanged(WEB))[-1] == c.PortSet("n1", WEB)


def test_another_nodes_bridge_is_a_problem_and_none_of_its_ports_is_told():
    (problem,) = told(snapshot(node="n2"))
    assert reasons([problem]) == ["WrongDatabase"]
    assert "bridge br-int of node n2" in problem.problems[0].message
    assert told(snapshot(node="n2"), PortChanged(WEB)) == []
    assert told(snapshot(node="n2"), SystemPort(GATEWAY_PORT, 9, 4)) == []


def test_a_bridge_that_nobody_has_claimed_is_told_once_its_agent_does():
    unclaimed = snapshot(node="")
    assert "of node (none)" in told(unclaimed)[0].problems[0].message
    assert told(unclaimed, PortChanged(replace(WEB, ofport=7)), HEAD) == [
        c.BridgeRead("n1", bridge_state([replace(WEB, ofport=7)], {GATEWAY_PORT: 2}))
    ]


def test_a_bridge_that_another_node_takes_over_is_told_no_more():
    taken = replace(HEAD, node="n2")
    assert reasons(told(SNAPSHOT, taken)) == ["WrongDatabase"]
    assert told(SNAPSHOT, taken, PortGone("web")) == []


def test_columns_of_the_bridge_that_change_are_no_news():
    assert told(SNAPSHOT, replace(HEAD, datapath_id=9)) == []


def test_whether_purges_are_needed_is_told_with_the_bridge_and_when_it_changes():
    (read,) = told(snapshot(purging=NEEDY))
    assert read.state.needs_purge
    assert told(SNAPSHOT, replace(HEAD, purging=NEEDY)) == [c.PurgeNeed("n1", needed=True)]
    assert told(snapshot(purging=NEEDY), HEAD) == [c.PurgeNeed("n1", needed=False)]


def test_how_far_purging_is_is_no_news():
    assert told(snapshot(purging=NEEDY), replace(HEAD, purging=replace(NEEDY, asked=7, served=6))) == []


def test_what_another_nodes_bridge_needs_is_not_told():
    assert told(snapshot(node="n2"), replace(HEAD, node="n2", purging=NEEDY)) == []
