"""Switches that connect: which node's they are, and which are turned away and why."""

import pytest
from cluster_fixture import ModelSwitch, World, broken, dpid

from controller.core import Patience

PATIENCE = Patience(stranger=10, audit=60, retry=5)


@pytest.fixture
def world():
    made = World(PATIENCE)
    made.list_all()
    made.add_node("n1")
    made.run()
    return made


def programmed(session):
    return len(session.switch.flows) > 0


def test_a_switch_that_is_no_nodes_waits_and_is_then_refused_with_the_reason(world):
    session = world.connect_switch(ModelSwitch(0xAB))
    world.tick(9)
    assert session.why_refused is None
    world.tick(1)
    assert session.why_refused == (
        "datapath id 00000000000000ab is in no Node's weft.dev/datapath-id annotation: it is not a bridge of this"
        " cluster, or its agent cannot reach the Kubernetes API"
    )
    assert not session.waiting, "it was asked nothing"


def test_a_switch_whose_node_appears_in_time_is_programmed(world):
    session = world.connect("n2")
    world.tick(9)
    world.add_node("n2")
    world.run()
    world.tick(60)
    assert session.why_refused is None
    assert programmed(session)


def test_nobody_is_a_stranger_before_the_nodes_were_listed():
    world = World(PATIENCE)
    session = world.connect("n1")
    world.tick(100)
    assert session.why_refused is None
    world.add_node("n1")
    world.list_all()
    world.run()
    assert programmed(session)


def test_a_stranger_that_leaves_is_forgotten(world):
    session = world.connect_switch(ModelSwitch(0xAB))
    world.disconnect(session)
    world.tick(11)
    assert session.why_refused is None


def test_a_second_session_with_one_datapath_id_is_refused_and_the_first_goes_on(world):
    first = world.connect("n1")
    world.run()
    before = dict(first.switch.flows)
    second = world.connect("n1")
    assert second.why_refused == (
        f"datapath id {dpid('n1'):016x} of node n1 is connected already: two switches have one id, or the node's old"
        " connection has not timed out yet"
    )
    world.run()
    assert first.why_refused is None
    assert first.switch.flows == before
    assert not programmed(second)
    world.add_node("n2")
    world.run()
    assert len(first.switch.flows) > len(before)


def test_when_the_first_session_ends_the_next_is_welcome(world):
    first = world.connect("n1")
    world.run()
    world.disconnect(first)
    second = world.connect("n1")
    world.run()
    assert programmed(second)


def test_a_switch_that_comes_back_is_read_again(world):
    first = world.connect("n1")
    world.run()
    world.disconnect(first)
    first.switch.flows.popitem()
    again = world.connect_switch(first.switch)
    world.run()
    assert len(again.switch.changes) == 2
    assert len(again.switch.changes[-1]) == 1


def test_answers_of_a_session_that_has_ended_are_not_heard(world):
    first = world.connect("n1")
    late = first.answer()
    world.disconnect(first)
    second = world.connect("n1")
    world.tell(late)
    assert world.sent == []
    world.run()
    assert programmed(second)
    assert not programmed(first)


def test_a_node_that_gets_another_datapath_id_lets_its_old_switch_go(world):
    session = world.connect("n1")
    world.run()
    world.add_node("n1", datapath_id=0xBB)
    assert session.why_refused == f"datapath id {dpid('n1'):016x} is no longer that of node n1"
    world.run()
    renamed = world.connect_switch(ModelSwitch(0xBB))
    world.run()
    assert programmed(renamed)


def test_a_datapath_id_that_another_node_takes_over_is_let_go_first(world):
    session = world.connect("n1")
    world.run()
    world.add_node("n1", datapath_id=0xBB)
    world.add_node("n2", datapath_id=dpid("n1"))
    world.run()
    assert session.why_refused is not None
    again = world.connect_switch(session.switch)
    world.run()
    assert world.core.phases()["n2"].value == "idle"
    assert again.why_refused is None


def test_of_two_nodes_with_one_datapath_id_the_older_one_has_the_switch(world):
    world.add_node("n2", datapath_id=dpid("n1"), age=5)
    session = world.connect("n1")
    world.run()
    assert {name: phase.value for name, phase in world.core.phases().items()} == {"n1": "absent", "n2": "idle"}
    assert session.why_refused is None


@pytest.mark.parametrize("ovsdb", ["unix:/run/n1.sock", None])
def test_a_node_that_is_removed_is_not_watched_and_its_switch_refused(world, ovsdb):
    world.add_node("n1", ovsdb=ovsdb)
    session = world.connect("n1")
    world.run()
    world.delete("Node", "n1")
    assert world.watched == {}
    assert "n1" in (session.why_refused or "")
    world.run()
    assert world.sessions == []
    assert world.core.phases() == {}


def test_a_node_that_names_no_database_any_more_lets_its_switch_go_with_its_flows(world):
    session = world.connect("n1")
    world.run()
    before = dict(session.switch.flows)
    world.add_node("n1", ovsdb=None)
    assert world.watched == {}
    assert session.why_refused == "Node n1 no longer exists or names no weft.dev/ovsdb"
    world.run()
    assert session.switch.flows == before


def test_a_node_with_a_broken_annotation_keeps_its_switch(world):
    session = world.connect("n1")
    world.run()
    world.put(broken(world.nodes["n1"]))
    world.run()
    assert session.why_refused is None
    assert world.reasons() == ["BadAnnotation"]


# A switch that connects is to take the settings of its connection.


def test_a_switch_is_reconfigured_once_for_each_connection(world):
    session = world.connect("n1")
    world.run()
    assert world.reconfigured == ["n1"]
    world.tick(60)  # an audit
    world.add_pod("web", on="n1")
    world.add_port("n1", "web", "10.1.1.5", ofport=5)
    world.run()
    assert world.reconfigured == ["n1"]
    world.disconnect(session)
    world.run()
    assert world.reconfigured == ["n1"]
    world.connect("n1")
    world.run()
    assert world.reconfigured == ["n1", "n1"]


def test_a_switch_is_reconfigured_when_its_database_is_known():
    world = World(PATIENCE)
    world.add_node("n1")
    world.connect("n1")
    world.list_all()
    assert world.reconfigured == []
    world.run()
    assert world.reconfigured == ["n1"]


def test_a_stranger_is_not_reconfigured(world):
    world.connect_switch(ModelSwitch(0xAB))
    world.run()
    world.tick(10)
    assert world.reconfigured == []
