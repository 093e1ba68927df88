"""When the controller asks for a purge of a node's datapath flows: behind every change of flows, where needed."""

import json
from dataclasses import replace

from cluster_fixture import World
from policy_objects_fixture import policy

from controller import commands as c
from kube.netpol import parse_network_policy

CLOSED = parse_network_policy(json.dumps(policy("default/closed")).encode())


def world(*, needed=True):
    """A node with a pod and its port; its switch has not connected yet."""
    made = World()
    made.database("n1").needs_purge = needed
    made.add_node("n1")
    made.add_pod("web", on="n1")
    made.add_port("n1", "web", "10.1.1.5", ofport=5)
    made.list_all()
    made.run()
    return made


def running(*, needed=True):
    """A world whose one switch has everything; the list of purges starts empty."""
    made = world(needed=needed)
    session = made.connect("n1")
    made.run()
    made.purged.clear()
    return made, session


def another_pod(made):
    made.add_pod("db", on="n1")
    made.add_port("n1", "db", "10.1.1.6", ofport=6)
    made.run()


def another_label(made):
    """A pod that runs becomes another kind of pod, and all of its flows change."""
    made.put(replace(made.pods["default/web"], meta=replace(made.pods["default/web"].meta, labels={"app": "web"})))
    made.put(CLOSED)
    made.run()


def commands(made, *events):
    """What the core asks for, in its order; nothing of it is carried out."""
    return [command for event in events for command in made.core.handle(event)]


def test_a_change_is_followed_by_a_purge():
    made, session = running()
    another_label(made)
    assert made.purged == ["n1"] * len(session.switch.changes[1:])
    assert not session.switch.stale


def test_pods_that_come_and_go_are_followed_by_one_purge_a_moment_later():
    """Nobody has talked to them, or will: their ADD and DEL are not to pay for it one by one."""
    made, session = running()
    another_pod(made)
    made.delete("Pod", "default/db")
    made.run()
    assert len(session.switch.changes) > 2
    assert made.purged == []
    made.tick(1)
    assert made.purged == ["n1"]
    assert not session.switch.stale
    made.tick(1)
    assert made.purged == ["n1"]


def test_a_pod_that_comes_with_another_change_does_not_hold_its_purge_up():
    made, session = running()
    made.add_pod("db", on="n1")
    made.add_port("n1", "db", "10.1.1.6", ofport=6)
    another_label(made)
    assert made.purged
    made.tick(1)
    assert not session.switch.stale


def test_where_no_purge_is_needed_none_is_asked_for():
    made, session = running(needed=False)
    another_pod(made)
    another_label(made)
    made.tick(1)
    assert len(session.switch.changes) > 1
    assert made.purged == []


def test_nothing_is_purged_before_the_switch_has_confirmed_the_change():
    made, session = running()
    made.put(CLOSED)
    assert session.waiting
    assert made.purged == []
    made.tell(session.answer())
    assert made.purged == ["n1"]


def test_what_a_pod_waits_for_is_said_before_the_purge():
    made, session = running()
    made.add_pod("db", on="n1")
    made.add_port("n1", "db", "10.1.1.6", ofport=6)
    made.put(CLOSED)
    made.tell(session.answer())
    made.tell(made.databases["n1"].untold.popleft())
    assert commands(made, session.answer())[-1] == c.Announce("n1", "db", "c-db")
    assert commands(made, c.Tick(1.0)) == [c.Purge("n1")]


def test_an_event_that_changes_no_flow_purges_nothing():
    made, _session = running()
    made.set_port("n1", replace(made.row("n1", "web"), programmed=None))
    made.run()
    assert made.row("n1", "web").ready
    assert made.purged == []


def test_an_audit_purges_only_if_it_repairs_something():
    made, session = running()
    made.tick(61)
    made.run()
    assert made.purged == []
    session.switch.tamper(next(iter(session.switch.flows)), None)
    made.tick(61)
    made.run()
    assert made.sent[-1].repair
    assert made.purged == ["n1"]


def test_a_change_of_which_a_flow_was_refused_may_have_taken_effect():
    made, session = running()
    made.add_pod("db", on="n1")
    made.add_port("n1", "db", "10.1.1.6", ofport=6)
    made.tell(made.databases["n1"].untold.popleft())
    session.switch.malformed.add(made.sent[-1].change.add[0].key)
    made.tell(session.answer())
    assert made.purged == ["n1"]
    assert not session.switch.stale


def test_a_switch_that_connects_is_purged_once_it_was_read_also_if_its_flows_are_right():
    """A controller before this one, or a connection before this one, may have ended before it could ask."""
    made, session = running()
    flows = dict(session.switch.flows)
    made.disconnect(session)
    again = made.connect("n1", flows)
    assert made.purged == []
    made.run()
    assert again.switch.changes == []
    assert made.purged == ["n1"]


def test_a_need_that_is_found_later_is_met_for_what_was_changed_before():
    made, _session = running(needed=False)
    made.set_needs_purge("n1", needed=True)
    made.run()
    assert made.purged == ["n1"]


def test_when_the_need_is_gone_nothing_is_purged_any_more():
    made, _session = running()
    made.set_needs_purge("n1", needed=False)
    made.run()
    another_label(made)
    assert made.purged == []


def test_a_database_that_is_read_again_may_have_missed_a_request():
    made, _session = running()
    made.reread("n1")
    made.run()
    assert made.purged == ["n1"]


def test_a_need_of_a_node_that_is_gone_is_not_heard():
    made, _session = running()
    made.delete("Node", "n1")
    made.tell(c.PurgeNeed("n1", needed=True))
    assert made.purged == []


def test_each_node_is_purged_for_its_own_changes():
    made, _session = running()
    made.database("n2").needs_purge = True
    made.add_node("n2")
    made.connect("n2")
    made.run()
    made.purged.clear()
    another_label(made)
    assert set(made.purged) == {"n1"}
