"""What the controller programs, when, and what it announces."""

from dataclasses import replace

from cluster_fixture import World, flows_of, namespace, pod, port

from controller import commands as c
from controller.switch import Phase
from kube.changes import Connected, Disconnected, Listed
from kube.objects import MIRROR
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT


def world(*, listed=True):
    """A node with a pod and its port; its switch has not connected yet."""
    made = World()
    made.add_node("n1")
    made.add_pod("web", on="n1")
    made.add_port("n1", "web", "10.1.1.5", ofport=5)
    if listed:
        made.list_all()
    made.run()
    return made


def running():
    """A world whose one switch has everything, and that switch; the lists of what was done start empty."""
    made = world()
    session = made.connect("n1")
    made.run()
    made.sent.clear()
    made.announced.clear()
    return made, session.switch


def holds(switch, row):
    return dict(flows_of(row)).items() <= switch.flows.items()


# Before everything is known.


def test_nothing_is_read_or_sent_before_all_kinds_were_listed():
    made = world(listed=False)
    session = made.connect("n1", {b"\0\0\1": bytes(8)})
    made.tell(Listed("Node", tuple(made.nodes.values())))
    made.tell(Listed("Pod", tuple(made.pods.values())))
    made.run()
    assert not made.core.ready
    assert session.switch.flows == {b"\0\0\1": bytes(8)}
    assert made.core.phases() == {"n1": Phase.ABSENT}
    made.tell(Listed("Namespace", ()))
    made.run()
    assert not made.core.ready
    made.tell(Listed("NetworkPolicy", ()))
    made.run()
    assert made.core.ready
    assert holds(session.switch, made.row("n1", "web"))


def test_nothing_is_sent_before_the_nodes_database_was_read():
    made = World()
    made.list_all()
    made.add_node("n1")
    session = made.connect("n1", {b"\0\0\1": bytes(8)})
    assert not session.waiting
    made.run()
    assert session.switch.changes != []


def test_a_node_without_a_database_is_left_as_it_is():
    made = World()
    made.list_all()
    made.add_node("n1", ovsdb=None)
    session = made.connect("n1", {b"\0\0\1": bytes(8)})
    made.run()
    assert session.switch.changes == []
    assert session.why_refused is None


def test_watches_that_break_and_mend_are_no_reason_to_do_anything():
    made, _switch = running()
    made.tell(Disconnected("Pod", "reset"), Connected("Pod"))
    made.list_all()
    made.run()
    assert made.sent == made.announced == []


# Programming.


def test_a_switch_gets_the_pods_flows_and_the_port_is_announced():
    made = world()
    session = made.connect("n1")
    made.run()
    assert holds(session.switch, made.row("n1", "web"))
    assert made.announced == [c.Announce("n1", "web", "c-web")]
    assert made.core.phases() == {"n1": Phase.IDLE}
    assert made.core.flow_counts("n1").total() == len(session.switch.flows)


def test_a_switch_that_matches_gets_no_flow_mod():
    _, switch = running()
    again = world()
    again.set_port("n1", replace(again.row("n1", "web"), programmed="c-web"))
    again.run()
    again.connect("n1", switch.flows)
    again.run()
    assert again.sent == []
    assert again.announced == []


def test_a_port_is_announced_once_its_flows_are_confirmed_not_before():
    made = world()
    session = made.connect("n1")
    made.tell(session.answer())  # its flows were read; the change is on its way
    assert made.announced == []
    made.tell(session.answer())
    assert made.announced == [c.Announce("n1", "web", "c-web")]


def test_a_storm_of_ports_becomes_two_bundles():
    made, _switch = running()
    for number in range(10, 60):
        made.add_pod(f"p{number}", on="n1")
        made.add_port("n1", f"p{number}", f"10.1.1.{number}", ofport=number)
    while made.databases["n1"].untold:  # all are told before the switch answers once
        made.tell(made.databases["n1"].untold.popleft())
    made.run()
    assert len(made.sent) == 2
    assert len(made.announced) == 50


def test_a_port_without_its_pod_gets_nothing_until_the_pod_is_known():
    made, switch = running()
    row = made.add_port("n1", "late", "10.1.1.6", ofport=6)
    made.run()
    assert made.sent == []
    made.add_pod("late", on="n1")
    made.run()
    assert holds(switch, row)
    assert made.announced == [c.Announce("n1", "late", "c-late")]


def test_a_pod_of_the_same_name_but_another_uid_is_another_pod():
    made, switch = running()
    made.add_pod("web", on="n1", uid="u2")
    made.run()
    assert not holds(switch, made.row("n1", "web"))
    assert made.announced == [c.Announce("n1", "web", None)]


def test_the_mirror_of_a_static_pod_is_the_pod_of_its_file():
    made, switch = running()
    mirror = made.add_pod("web", on="n1", uid="of-the-mirror")
    made.put(replace(mirror, meta=replace(mirror.meta, annotations={MIRROR: "another"})))
    made.run()
    assert not holds(switch, made.row("n1", "web"))
    made.put(replace(mirror, meta=replace(mirror.meta, annotations={MIRROR: made.row("n1", "web").uid})))
    made.run()
    assert holds(switch, made.row("n1", "web"))


def test_a_pod_that_runs_on_another_node_is_not_this_ports():
    made, _switch = running()
    made.add_pod("web", on="n2")
    made.run()
    assert made.announced == [c.Announce("n1", "web", None)]


def test_a_port_or_a_pod_without_a_uid_fits_any():
    made, switch = running()
    made.add_pod("web", on="n1", uid="")
    made.run()
    assert made.sent == []
    made.add_pod("other", on="n1", uid="u7")
    row = made.add_port("n1", "other", "10.1.1.7", uid="", ofport=7)
    made.run()
    assert holds(switch, row)


def test_a_pod_that_is_deleted_loses_its_flows_and_its_announcement():
    made, switch = running()
    made.delete("Pod", "default/web")
    made.run()
    assert not any(key in switch.flows for key, _ in flows_of(made.row("n1", "web")))
    assert made.announced == [c.Announce("n1", "web", None)]


def test_a_port_that_goes_takes_its_flows_and_needs_no_announcement():
    made, switch = running()
    row = made.row("n1", "web")
    made.unset_port("n1", "web")
    made.run()
    assert not any(key in switch.flows for key, _ in flows_of(row))
    assert made.announced == []


def test_a_port_that_is_being_removed_loses_its_flows_first_and_then_its_announcement():
    made, switch = running()
    row = made.row("n1", "web")
    assert holds(switch, row)
    made.set_port("n1", replace(row, leaving=True))
    while not made.announced:
        assert made.step()
    assert not dict(flows_of(row)).items() & switch.flows.items()
    assert made.announced == [c.Announce("n1", "web", None)]
    made.run()
    made.sent.clear()
    made.unset_port("n1", "web")
    made.run()
    assert made.sent == [], "nothing is left to be done when its row goes"


def test_a_port_that_was_being_removed_when_the_controller_came_is_not_programmed():
    made = world()
    made.set_port("n1", replace(made.row("n1", "web"), leaving=True, programmed="c-web"))
    session = made.connect("n1")
    made.run()
    assert not dict(flows_of(made.row("n1", "web"))).items() & session.switch.flows.items()


def test_an_address_that_moves_to_another_port_takes_none_of_the_firsts_flows_along():
    made, switch = running()
    old = made.row("n1", "web")
    made.unset_port("n1", "web")
    made.add_pod("next", on="n1")
    new = made.add_port("n1", "next", "10.1.1.5", ofport=6, mac="0a:58:0a:01:00:99")
    made.run()
    assert holds(switch, new)
    assert not dict(flows_of(old)).items() & switch.flows.items()


def test_a_port_gets_flows_when_open_vswitch_has_opened_it():
    made, switch = running()
    made.add_pod("new", on="n1")
    row = made.add_port("n1", "new", "10.1.1.6")
    made.run()
    assert made.announced == []
    made.set_port("n1", replace(row, ofport=6))
    made.run()
    assert holds(switch, made.row("n1", "new"))


def test_a_port_whose_number_is_asked_for_gets_flows_at_once_and_is_announced_when_it_has_the_number():
    made, switch = running()
    made.add_pod("new", on="n1")
    row = made.add_port("n1", "new", "10.1.1.6", requested=6)
    made.run()
    assert holds(switch, replace(row, ofport=6))
    assert made.announced == []
    made.sent.clear()
    made.set_port("n1", replace(row, ofport=6))
    made.run()
    assert made.sent == []
    assert made.announced == [c.Announce("n1", "new", "c-new")]


def test_a_port_that_gets_another_number_than_it_asked_for_has_the_flows_of_what_it_got():
    made, switch = running()
    made.add_pod("new", on="n1")
    row = made.add_port("n1", "new", "10.1.1.6", requested=6)
    made.run()
    made.set_port("n1", replace(row, ofport=7))
    made.run()
    assert holds(switch, replace(row, ofport=7))
    assert not dict(flows_of(replace(row, ofport=6))).items() & (
        switch.flows.items() - dict(flows_of(replace(row, ofport=7))).items()
    )
    assert made.announced == [c.Announce("n1", "new", "c-new")]


def test_a_device_that_cannot_be_opened_has_no_flows_whatever_number_it_asked_for():
    made, switch = running()
    made.add_pod("new", on="n1")
    row = made.add_port("n1", "new", "10.1.1.6", requested=6)
    made.run()
    made.set_port("n1", replace(row, error="could not open network device"))
    made.run()
    assert not dict(flows_of(replace(row, ofport=6))).items() & switch.flows.items()
    assert made.announced == []


def test_what_was_announced_of_another_container_is_taken_back():
    made = world()
    made.set_port("n1", replace(made.row("n1", "web"), programmed="c-before", ofport=None))
    made.run()
    made.connect("n1")
    made.run()
    assert made.announced == [c.Announce("n1", "web", None)]


def test_a_pod_of_a_namespace_that_is_not_known_is_programmed():
    """Namespaces count once policies select them; their absence drops nobody."""
    made, _switch = running()
    made.put(namespace("default"))
    made.delete("Namespace", "default")
    made.run()
    assert made.sent == []


# Nodes.


def test_a_node_that_comes_is_reached_from_the_others_and_one_that_goes_is_not():
    made, switch = running()
    before = dict(switch.flows)
    made.add_node("n2")
    made.run()
    assert len(switch.flows) == len(before) + 3
    made.delete("Node", "n2")
    made.run()
    assert switch.flows == before


def test_a_node_that_cannot_be_read_any_more_keeps_its_flows():
    made, switch = running()
    made.add_node("n2")
    made.run()
    before = dict(switch.flows)
    made.tell(Listed("Node", (made.nodes["n1"],), frozenset({"n2"})))
    made.run()
    assert switch.flows == before


def test_nodes_that_went_unseen_are_gone_with_the_next_list():
    made, switch = running()
    before = dict(switch.flows)
    made.add_node("n2")
    made.run()
    made.tell(Listed("Node", (made.nodes["n1"],)))
    made.run()
    assert switch.flows == before


def test_tunnel_and_gateway_flows_follow_their_ports():
    made, switch = running()
    made.add_node("n2")
    made.run()
    before = dict(switch.flows)
    made.set_system_port("n1", TUNNEL_PORT, None)
    made.run()
    assert len(switch.flows) < len(before)
    made.set_system_port("n1", GATEWAY_PORT, 7)
    made.set_system_port("n1", TUNNEL_PORT, 1)
    made.set_system_port("n1", GATEWAY_PORT, 2)
    made.run()
    assert switch.flows == before


def test_numbers_that_swap_between_ports_end_right():
    """Open vSwitch numbered its ports anew; the rows come one by one, so two ports have one number for a moment."""
    made, switch = running()
    made.set_port("n1", replace(made.row("n1", "web"), ofport=2))
    made.run()
    made.set_system_port("n1", GATEWAY_PORT, 5)
    made.run()
    fresh = World()
    fresh.nodes, fresh.pods = made.nodes, made.pods
    fresh.database("n1").system[GATEWAY_PORT] = 5
    fresh.database("n1").ports["web"] = made.row("n1", "web")
    fresh.list_all()
    fresh.run()
    other = fresh.connect("n1").switch
    fresh.run()
    assert switch.flows == other.flows
    assert made.row("n1", "web").programmed == "c-web"


def test_a_bridge_that_is_read_again_without_changes_changes_nothing():
    made, _switch = running()
    made.reread("n1")
    made.run()
    assert made.sent == made.announced == []


def test_what_changed_while_the_database_was_away_counts_once_it_is_back():
    made, switch = running()
    del made.databases["n1"].ports["web"]
    made.databases["n1"].ports["db"] = port("db", "10.1.1.6", ofport=6)
    made.add_pod("db", on="n1")
    made.reread("n1")
    made.run()
    assert holds(switch, made.row("n1", "db"))
    assert made.announced == [c.Announce("n1", "db", "c-db")]


def test_late_news_of_a_node_that_is_gone_is_not_heard():
    made, _ = running()
    made.delete("Node", "n1")
    made.tell(made.databases["n1"].read("n1"), c.PortSet("n1", port("web", ofport=5)), c.PortUnset("n1", "web"))
    made.tell(c.SystemPortSet("n1", GATEWAY_PORT, 3), c.PortProblem("n1", "n1/web", ()))
    assert made.core.cluster.bridges == {}


def test_a_node_that_moves_its_database_is_followed_there():
    made, _ = running()
    made.add_node("n1", ovsdb="tcp:192.0.2.9:6640")
    assert made.watched == {"n1": "tcp:192.0.2.9:6640"}
    made.add_node("n1", ovsdb="tcp:192.0.2.9:6640")
    made.run()
    assert made.sent == []


def test_a_node_that_comes_back_is_programmed_as_before():
    made, switch = running()
    before = dict(switch.flows)
    node = made.nodes["n1"]
    made.delete("Node", "n1")
    made.run()
    made.put(node)
    session = made.connect("n1", before)
    made.run()
    assert session.switch.changes == []
    assert session.switch.flows == before


def test_a_pod_that_is_not_bound_to_the_node_has_no_port_there_yet():
    """Policies are in force where a Pod says that it runs."""
    made, switch = running()
    row = made.row("n1", "web")
    made.put(pod("web", ""))
    made.run()
    assert not holds(switch, row)
    made.put(pod("web", "n1"))
    made.run()
    assert holds(switch, row)
