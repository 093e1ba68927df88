"""What goes wrong: it is reported once, to the point, again when it comes back, and it hurts nobody else."""

import json
from dataclasses import replace

import pytest
from cluster_fixture import World, broken, flows_of, node, port
from policy_objects_fixture import policy

from controller import commands as c
from controller.bridge import bridge_state
from controller.core import Patience
from kube.changes import Applied, Listed, Refused
from kube.membership import Problem
from kube.netpol import parse_network_policy
from openflow.features.policy import MOST_PARTS
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT

CLOSED = parse_network_policy(json.dumps(policy("default/closed")).encode())
FOREIGN = b"\0\0\1"
PROBLEM = Problem("Port", "n1/eth7", "ForeignPort", "port eth7 is not Weft's")


@pytest.fixture
def world():
    """Two nodes, a pod on each, and their switches; both work."""
    made = World(Patience(stranger=10, audit=60, retry=5))
    for name, guest in (("n1", "web"), ("n2", "db")):
        made.add_node(name)
        made.add_pod(guest, on=name)
        made.add_port(name, guest, "10.9.0.5", ofport=5)
        made.connect(name)
    made.list_all()
    made.run()
    made.sent.clear()
    made.announced.clear()
    return made


def switch(world, name):
    (found,) = [
        session.switch for session in world.sessions
        if world.core.cluster.membership.by_datapath()[session.datapath_id] == name
    ]  # fmt: skip
    return found


def come(world, name, *ips, on="n1", ofport=6):
    """A new pod with its port, told to the controller."""
    world.add_pod(name, on=on)
    row = world.add_port(on, name, *ips, ofport=ofport)
    world.run()
    return row


def holds(at, row):
    return dict(flows_of(row)).items() <= at.flows.items()


# What somebody else did to a switch.


def test_an_audit_repairs_what_was_changed_removed_or_added(world):
    at = switch(world, "n1")
    right = dict(at.flows)
    first, second, *_ = sorted(right)
    at.tamper(first, None)
    at.tamper(second, bytes(8))
    at.tamper(FOREIGN, bytes(8))
    world.tick(59)
    world.run()
    assert world.sent == []
    world.tick(1)
    world.run()
    assert at.flows == right
    (sent,) = world.sent
    assert sent.repair
    assert (len(sent.change.add), len(sent.change.delete)) == (2, 1)


def test_an_audit_of_a_switch_in_order_sends_nothing(world):
    for _ in range(3):
        world.tick(60)
        world.run()
    assert world.sent == []


def test_what_the_cluster_asked_for_is_no_repair(world):
    world.tick(60)  # the audit is under way
    world.add_pod("new", on="n1")
    world.add_port("n1", "new", "10.9.0.6", ofport=6)
    world.tell(world.databases["n1"].untold.popleft())
    world.run()
    assert [sent.repair for sent in world.sent] == [False]


def test_foreign_flows_are_reported_once_and_removed(world):
    at = switch(world, "n1")
    at.tamper(FOREIGN, bytes(8))
    at.tamper(b"\1\0\1", bytes(8))
    world.tick(60)
    world.run()
    assert world.reports == [
        Problem("Switch", "n1", "ForeignFlows", "2 flows on the bridge are not Weft's and are removed: nothing else"
                " may write to this bridge (Classify 1 [any]; SpoofGuard 1 [any])")
    ]  # fmt: skip
    assert FOREIGN not in at.flows
    world.tick(60)
    world.run()
    assert world.reasons() == ["ForeignFlows"]
    at.tamper(FOREIGN, bytes(8))
    at.tamper(b"\1\0\1", bytes(8))
    world.tick(60)
    world.run()
    assert world.reasons() == ["ForeignFlows", "ForeignFlows"]


# What a switch refuses.


@pytest.mark.parametrize("when", ["malformed", "unsupported"])
def test_a_refused_flow_is_reported_by_name_and_keeps_nobody_waiting(world, when):
    at = switch(world, "n1")
    bad = port("bad", "10.9.0.7", ofport=7)
    key = flows_of(bad)[0].key
    getattr(at, when).add(key)
    world.add_pod("bad", on="n1")
    world.add_pod("good", on="n1")
    world.tell(Listed("Namespace", ()))
    world.set_port("n1", bad)
    good = come(world, "good", "10.9.0.6")
    (problem,) = world.reports
    assert (problem.kind, problem.key, problem.reason) == ("Switch", "n1", "FlowRefused")
    assert problem.message == "OFPET_BAD_ACTION: Classify 40000 [in_port=7]"
    assert holds(at, good)
    assert world.announced == [c.Announce("n1", "good", "c-good")]


@pytest.mark.parametrize("when", ["malformed", "unsupported"])
def test_a_refused_flow_is_tried_again_after_a_while_and_reported_no_second_time(world, when):
    at = switch(world, "n1")
    bad = port("bad", "10.9.0.7", ofport=7)
    refused = getattr(at, when)
    refused.add(flows_of(bad)[0].key)
    world.set_port("n1", bad)
    world.add_pod("bad", on="n1")
    world.run()
    tried = len(world.sent)
    world.tick(4)
    world.run()
    assert len(world.sent) == tried
    world.tick(1)
    world.run()
    assert len(world.sent) > tried
    assert world.reasons() == ["FlowRefused"]
    refused.clear()
    world.tick(5)
    world.run()
    assert holds(at, bad)
    assert world.announced == [c.Announce("n1", "bad", "c-bad")]
    assert not any(sent.repair for sent in world.sent)


def test_a_refusal_that_went_away_and_comes_back_is_reported_again(world):
    at = switch(world, "n1")
    bad = port("bad", "10.9.0.7", ofport=7)
    at.unsupported.add(flows_of(bad)[0].key)
    world.set_port("n1", bad)
    world.add_pod("bad", on="n1")
    world.run()
    world.delete("Pod", "default/bad")
    world.run()
    assert world.reasons() == ["FlowRefused"]
    world.add_pod("bad", on="n1")
    world.run()
    world.tick(5)
    world.run()
    assert world.reasons() == ["FlowRefused"] * 2


def test_several_refused_flows_are_each_reported_once(world):
    at = switch(world, "n1")
    rows = [port(f"bad{number}", f"10.9.0.{number}", ofport=number) for number in (7, 8, 9)]
    at.unsupported |= {flows_of(row)[0].key for row in rows}
    for row in rows:
        world.add_pod(row.pod, on="n1")
        world.set_port("n1", row)
    world.run()
    for _ in range(5):
        world.tick(5)
        world.run()
    assert sorted(problem.message[-11:] for problem in world.reports) == [f"[in_port={n}]" for n in (7, 8, 9)]
    assert holds(at, come(world, "good", "10.9.0.6"))


@pytest.mark.parametrize("when", ["malformed", "unsupported"])
def test_a_pod_does_not_come_into_service_while_the_switch_refuses_to_isolate_it(world, when):
    """N25: a new pod is isolated before its first packet."""
    at = switch(world, "n1")
    world.put(CLOSED)
    world.delete("NetworkPolicy", "default/closed")
    world.run()
    before = at.flows.keys() | set()
    world.put(CLOSED)
    world.run()
    isolating = {key for key in at.flows if key not in before}
    assert isolating
    world.delete("Pod", "default/web")  # nobody is isolated any more
    world.run()
    world.announced.clear()
    refused = getattr(at, when)
    refused |= isolating
    row = come(world, "new", "10.9.0.6")
    assert holds(at, row)
    assert world.announced == []
    assert "FlowRefused" in world.reasons()
    refused.clear()
    world.tick(5)
    world.run()
    assert isolating <= at.flows.keys()
    assert world.announced == [c.Announce("n1", "new", "c-new")]


def test_other_nodes_are_not_touched_by_a_refusal(world):
    at = switch(world, "n1")
    bad = port("bad", "10.9.0.7", ofport=7)
    at.unsupported.add(flows_of(bad)[0].key)
    world.set_port("n1", bad)
    world.add_pod("bad", on="n1")
    world.run()
    row = come(world, "other", "10.9.0.8", on="n2")
    assert holds(switch(world, "n2"), row)
    assert world.row("n2", "other").programmed == "c-other"


def test_a_change_refused_as_a_whole_is_tried_again_after_a_while(world):
    session = world.sessions[0]
    world.add_pod("new", on="n1")
    world.add_port("n1", "new", "10.9.0.6", ofport=6)
    world.tell(world.databases["n1"].untold.popleft())
    world.tell(c.Applied(session, (c.FlowRefused(b"", "OFPET_BUNDLE_FAILED"),)))
    assert world.reports[-1].message == "OFPET_BUNDLE_FAILED: the change as a whole"
    assert world.announced == []
    world.sessions[0].answer()  # what the switch really did, too late
    world.tick(5)
    world.run()
    assert world.announced == [c.Announce("n1", "new", "c-new")]


# Rules for which a flow has no room.


def many_rules(count):
    """A policy with so many rules that name one network."""
    source = {"ipBlock": {"cidr": "10.20.0.0/16"}}
    rules = [{"from": [source], "ports": [{"port": number}]} for number in range(1, count + 1)]
    return parse_network_policy(json.dumps(policy("default/many", ingress=rules)).encode())


def test_a_rule_for_which_a_flow_has_no_room_is_reported_with_its_policy_place_and_what_is_full(world):
    world.put(many_rules(MOST_PARTS))
    world.run()
    assert world.reports == []
    world.put(many_rules(MOST_PARTS + 1))
    world.run()
    found = {(problem.kind, problem.key, problem.reason) for problem in world.reports}
    assert found == {("NetworkPolicy", "default/many", "TooManyRules")}
    active = sorted(world.core.cluster.policy.rules.values(), key=lambda rule: rule.number)
    (origin,) = active[-1].origins
    assert {problem.message.partition(": ")[0] for problem in world.reports} == {
        f"spec.ingress[{origin.place}] is not in force on node {name} for {what}"
        for name in ("n1", "n2") for what in ("network 10.20.0.0/16", "pods default[]")
    }  # fmt: skip


def test_a_rule_that_has_found_room_and_loses_it_again_is_reported_again(world):
    for count in (MOST_PARTS + 1, MOST_PARTS, MOST_PARTS + 1):
        world.put(many_rules(count))
        world.run()
    assert world.reasons() == ["TooManyRules"] * 8


# Owners that want one flow.


def test_a_pod_with_the_gateways_address_gets_no_flows_and_the_others_get_theirs(world):
    gateway = str(world.nodes["n1"].pod_cidrs[0].network_address + 1)
    world.add_pod("forger", on="n1")
    world.add_port("n1", "forger", gateway, ofport=9)
    good = come(world, "good", "10.9.0.6")
    (problem,) = world.reports
    assert (problem.kind, problem.key, problem.reason) == ("Node", "n1", "PlanConflict")
    assert problem.message.startswith("port forger gets no flows: node n1 has one for Route ")
    assert world.announced == [c.Announce("n1", "good", "c-good")]
    assert holds(switch(world, "n1"), good)


def test_a_conflict_is_over_when_the_winner_gives_way(world):
    node_now = world.nodes["n1"]
    forger = come(world, "forger", str(node_now.pod_cidrs[0].network_address + 1), ofport=9)
    world.put(replace(node_now, pod_cidrs=node("n1", ["10.77.0.0/24"]).pod_cidrs))
    world.run()
    assert holds(switch(world, "n1"), forger)
    assert world.announced == [c.Announce("n1", "forger", "c-forger")]
    world.put(node_now)
    world.run()
    assert world.reasons() == ["PlanConflict"] * 2
    assert world.announced[1:] == [c.Announce("n1", "forger", None)]


def test_a_conflict_on_one_node_is_none_of_the_others_business(world):
    come(world, "forger", str(world.nodes["n1"].pod_cidrs[0].network_address + 1), ofport=9)
    assert holds(switch(world, "n2"), come(world, "good", "10.9.0.6", on="n2"))


# Claims.


def test_a_claim_that_is_taken_is_reported_of_the_port_that_loses_whichever_came_first(world):
    come(world, "alpha", "10.9.0.5")
    assert [(p.key, p.reason) for p in world.reports] == [("n1/web", "ClaimTaken")]
    assert "port web claims an address or OpenFlow port of port alpha" in world.reports[0].message
    assert [world.row("n1", name).programmed for name in ("alpha", "web")] == ["c-alpha", None]
    come(world, "zeta", "10.9.0.5", ofport=8)
    assert [p.key for p in world.reports] == ["n1/web", "n1/zeta"]


def test_a_claim_that_is_free_again_is_forgotten_and_taken_again_is_reported_again(world):
    come(world, "alpha", "10.9.0.5")
    world.unset_port("n1", "alpha")
    world.run()
    assert holds(switch(world, "n1"), world.row("n1", "web"))
    come(world, "alpha", "10.9.0.5")
    assert [p.key for p in world.reports] == ["n1/web"] * 2


def test_claims_are_reported_when_a_bridge_is_read_and_not_again_when_it_is_read_again(world):
    rival = port("zeta", "10.9.0.5", ofport=8)
    world.databases["n1"].ports["zeta"] = rival
    for _ in range(2):
        world.reread("n1")
        world.run()
    assert [p.key for p in world.reports] == ["n1/zeta"]


# Ports and bridges.


def test_a_problem_of_a_port_is_reported_when_it_appears_and_when_it_comes_back(world):
    here, gone = c.PortProblem("n1", PROBLEM.key, (PROBLEM,)), c.PortProblem("n1", PROBLEM.key, ())
    world.tell(here, here)
    assert world.reports == [PROBLEM]
    world.tell(gone, here)
    assert world.reports == [PROBLEM, PROBLEM]


def test_a_problem_that_was_told_is_no_news_when_the_bridge_is_read_again(world):
    world.tell(c.PortProblem("n1", PROBLEM.key, (PROBLEM,)))
    read = world.databases["n1"].read("n1")
    world.tell(replace(read, problems=(PROBLEM,)))
    assert world.reports == [PROBLEM]
    world.tell(replace(read, state=bridge_state([], {})), replace(read, problems=(PROBLEM,)))
    assert world.reports == [PROBLEM, PROBLEM]


def test_the_problems_of_a_node_that_goes_are_forgotten_and_those_of_others_are_not(world):
    other = replace(PROBLEM, key="n2/eth7")
    world.tell(c.PortProblem("n1", PROBLEM.key, (PROBLEM,)), c.PortProblem("n2", other.key, (other,)))
    known = world.nodes["n1"]
    world.delete("Node", "n1")
    world.put(known)
    world.tell(c.PortProblem("n1", PROBLEM.key, (PROBLEM,)), c.PortProblem("n2", other.key, (other,)))
    assert world.reports == [PROBLEM, other, PROBLEM]


# Objects of the API.


def test_a_node_problem_is_reported_once_and_again_after_it_was_mended(world):
    known = world.nodes["n1"]
    wrong = broken(known)
    world.tell(Applied(wrong), Applied(wrong))
    world.add_node("n3")
    assert world.reasons() == ["BadAnnotation"]
    assert "weft.dev/tunnel-ip is '300.1.1.1'" in world.reports[0].message
    world.tell(Applied(known), Applied(wrong))
    assert world.reasons() == ["BadAnnotation"] * 2


def test_a_node_that_never_could_be_read_is_forgotten_when_it_is_gone(world):
    wrong = broken(node("n9"))
    everybody = tuple(world.nodes.values())
    for _ in range(2):
        world.tell(Listed("Node", (*everybody, wrong)), Listed("Node", everybody))
    assert world.reasons() == ["BadAnnotation"] * 2


def test_an_unreadable_object_is_reported_once_until_it_can_be_read(world):
    refused = Refused("Pod", "default/web", "Pod default/web: spec.nodeName is 7: a string is needed")
    world.tell(refused, refused)
    assert world.reasons() == ["Unreadable"]
    world.add_pod("web", on="n1")
    world.tell(refused)
    assert world.reasons() == ["Unreadable"] * 2
    world.delete("Pod", "default/web")
    world.tell(refused)
    assert world.reasons() == ["Unreadable"] * 3


def test_an_unreadable_node_is_not_reported_again_when_another_node_changes(world):
    refused = Refused("Node", "n9", "Node n9: spec.podCIDRs[0] is 'x': not a network")
    world.tell(refused)
    world.add_node("n3")
    world.tell(refused)
    everybody = tuple(world.nodes.values())
    world.tell(Listed("Node", everybody, frozenset({"n9"})), refused)
    assert world.reasons() == ["Unreadable"]
    world.tell(Listed("Node", everybody), refused)
    assert world.reasons() == ["Unreadable"] * 2


def test_two_nodes_with_one_range_are_one_problem_and_the_first_goes_on(world):
    before = dict(switch(world, "n1").flows)
    world.add_node("n3", str(world.nodes["n1"].pod_cidrs[0]), age=-1)
    world.run()
    assert [(p.key, p.reason) for p in world.reports] == [("n3", "PodCIDRTaken")]
    assert before.items() <= switch(world, "n1").flows.items()


def test_an_event_that_nobody_knows_is_an_error(world):
    with pytest.raises(TypeError, match="unknown event"):
        world.tell("surprise")  # type: ignore[arg-type]


def test_ports_that_are_not_there_yet_are_no_problem():
    world = World()
    world.database("n1").system |= {TUNNEL_PORT: None, GATEWAY_PORT: None}
    world.add_node("n1")
    world.connect("n1")
    world.list_all()
    world.run()
    assert world.reports == []
