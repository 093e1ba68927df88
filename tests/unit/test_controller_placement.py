"""A controller beside each agent programs its own node as one for all would, and tells of what it should."""

import json

import pytest
from cluster_fixture import World, pod
from hypothesis import given
from hypothesis import strategies as st
from policy_objects_fixture import policy

from controller.placement import Placement
from kube.changes import Listed, Refused
from kube.netpol import parse_network_policy

NAMES = ("n1", "n2", "n3")
BROKEN = {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "banana"}}]}]}}


def cluster(placement: Placement, *listed: str, broken: int = 0) -> World:
    """Three nodes with a pod each and a policy between them, all switches connected to the one controller."""
    world = World(placement=placement)
    for name in NAMES:
        world.add_node(name, *listed)
        world.add_pod(f"of-{name}", on=name)
        world.add_port(name, f"of-{name}", "10.9.0.5", ofport=5)
        world.connect(name)
    world.put(parse_network_policy(json.dumps(policy("default/closed")).encode()))
    for number in range(broken):
        world.put(parse_network_policy(json.dumps(policy(f"default/broken-{number}") | BROKEN).encode()))
    world.list_all()
    world.run()
    return world


@pytest.mark.parametrize("name", NAMES)
def test_its_node_is_programmed_as_by_a_controller_of_all(name: str) -> None:
    whole, own = cluster(Placement()), cluster(Placement(name))
    programmed = {session.datapath_id: session.switch.flows for session in own.sessions if session.switch.flows}
    expected = {session.datapath_id: session.switch.flows for session in whole.sessions}
    (datapath,) = programmed
    assert own.core.cluster.membership.by_datapath()[datapath] == name
    assert programmed[datapath] == expected[datapath]
    assert own.watched.keys() == {name}
    assert own.core.phases().keys() == {name}


def test_another_node_s_switch_is_turned_away_with_the_reason() -> None:
    world = cluster(Placement("n1"))
    session = world.connect("n2")
    world.tick(1000)
    assert session.why_refused is not None
    assert "is not in the weft.dev/datapath-id annotation of Node n1, the only one" in session.why_refused
    assert "node-name" in session.why_refused


def test_its_node_may_come_later_and_come_again() -> None:
    world = World(placement=Placement("n2"))
    world.list_all()
    session = world.connect("n2")
    assert not session.switch.flows
    for _ in range(2):
        world.add_node("n1")
        world.add_node("n2")
        world.run()
        assert session.switch.flows
        world.delete("Node", "n2")
        assert not world.watched
        world.run()
        session = world.connect("n2")


def test_of_what_all_see_exactly_one_tells() -> None:
    worlds = [cluster(Placement(name), broken=30) for name in NAMES]
    told = [{problem.key for problem in world.reports if problem.reason == "PolicyPartIgnored"} for world in worlds]
    assert set.union(*told) == {f"default/broken-{number}" for number in range(30)}
    assert sum(map(len, told)) == 30
    assert all(told), "each tells of some"


def test_of_a_node_its_own_controller_tells() -> None:
    for name in NAMES:
        reports = cluster(Placement(name), "10.0.0.0/31").reports
        assert {problem.key for problem in reports if problem.reason == "PodCIDRTooSmall"} == {name}


def test_an_object_that_cannot_be_read_is_told_of_by_one_when_all_is_known() -> None:
    """Whoever lists Nodes last must not take itself for the only one, nor tell twice."""
    told = []
    for name in NAMES:
        world = World(placement=Placement(name))
        world.tell(Listed("Pod", (), frozenset({"default/odd"})), Refused("Pod", "default/odd", "it has no name"))
        for each in NAMES:
            world.add_node(each)
        assert not world.reports
        for _ in range(2):
            world.tell(Listed("Pod", (pod("even"),), frozenset({"default/odd"})))
            world.tell(*(Listed(kind, tuple(world.kinds()[kind].values())) for kind in ("Node", "Namespace")))
            world.tell(Listed("NetworkPolicy", ()))
        told += [problem.key for problem in world.reports]
    assert told == ["default/odd"]


@given(st.sets(st.text(max_size=20)), st.text(max_size=30))
def test_of_any_nodes_one_tells_and_those_that_go_change_nothing_for_the_rest(nodes: set[str], key: str) -> None:
    tellers = [node for node in nodes if Placement(node).tells_of(key, nodes)]
    assert len(tellers) == min(1, len(nodes))
    for gone in nodes - set(tellers):
        assert [node for node in nodes - {gone} if Placement(node).tells_of(key, nodes - {gone})] == tellers


def test_a_controller_of_all_tells_of_everything() -> None:
    assert Placement().tells_of("default/web", ())
