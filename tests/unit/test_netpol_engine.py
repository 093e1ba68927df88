"""What random histories rarely hit: names of ports, rules that policies share, numbers that collide, addresses that
two pods claim; and what a change does to connections that are open."""

from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from cluster_fixture import SYSTEM, meta, pod
from netpol_fabric import fabric, parsed, told

from controller import owners
from controller.bridge import bridge_state
from controller.flows import flows
from controller.policy.conjunctions import Conjunctions
from controller.policy.engine import Engine
from controller.policy.flows import node_flows
from controller.policy.names import PolicyObjects
from kube.changes import Applied, Deleted
from kube.netpol import Direction
from openflow.codec import cookie_of
from openflow.flow import Feature, cookie

NODES = ("n1", "n2")
WEB, DB, OTHER = ({"matchLabels": {"app": app}} for app in ("web", "db", "other"))


def api_pod(number, node=1, app="", ports=()):
    made = [{"name": name, "containerPort": port} for name, port in ports]
    ips = [{"ip": f"10.1.{node}.{number + 2}"}, {"ip": f"fd00:1:{node}::{number + 2}"}]
    return {
        "metadata": {"name": f"pod{number}", "namespace": "x", "uid": f"u{number}", "labels": {"app": app}},
        "spec": {"nodeName": f"n{node}", "containers": [{"name": "main", "ports": made}]},
        "status": {"phase": "Running", "podIPs": ips},
    }


def policy(name="p", **spec):
    return {"metadata": {"name": name, "namespace": "x"}, "spec": spec}


def cluster(*pods, policies=()):
    return {"namespaces": [], "pods": list(pods), "policies": list(policies)}


def from_web(name="p"):
    return policy(name, podSelector=DB, ingress=[{"from": [{"podSelector": WEB}]}])


# Names of ports.


def test_n16_a_name_means_what_each_destination_says():
    pods = (api_pod(0, ports=[("web", 80)]), api_pod(1, 2, ports=[("web", 8080)]), api_pod(2))
    made = fabric(cluster(*pods, policies=[policy(ingress=[{"ports": [{"port": "web"}]}])]), NODES)
    assert made.send("x/pod2", "x/pod0", tcp=80).delivered
    assert made.send("x/pod2", "x/pod1", tcp=8080).delivered
    assert not made.send("x/pod2", "x/pod0", tcp=8080).delivered
    assert not made.send("x/pod2", "x/pod1", tcp=80).delivered


@pytest.mark.parametrize("to", [None, [{"podSelector": {}}], [{"ipBlock": {"cidr": "10.1.0.0/16"}}]])
def test_n16_so_it_does_in_egress_whoever_the_peers_are(to):
    pods = (api_pod(0, ports=[("web", 80)]), api_pod(1, 2, ports=[("web", 8080)]), api_pod(2, app="web"))
    rule = {"ports": [{"port": "web"}]} | ({"to": to} if to else {})
    made = fabric(cluster(*pods, policies=[policy(podSelector=WEB, policyTypes=["Egress"], egress=[rule])]), NODES)
    assert made.send("x/pod2", "x/pod0", tcp=80).delivered
    assert made.send("x/pod2", "x/pod1", tcp=8080).delivered
    assert not made.send("x/pod2", "x/pod0", tcp=8080).delivered
    assert not made.send("x/pod2", "x/pod1", tcp=80).delivered


# The node and its pods.


def test_n20_the_node_itself_reaches_its_pods_and_nobody_else_by_its_port():
    made = fabric(cluster(api_pod(0), policies=[policy()]), NODES)
    assert made.connect("node/n1", "x/pod0", tcp=80).ok
    assert made.connect("node/n1", "x/pod0", tcp=80, family=6).ok
    assert not made.send("node/n1", "x/pod0", tcp=80, from_ip="203.0.113.9").delivered


# Connections that are open when policies change.


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("node", [1, 2])
def test_a_change_of_policy_cuts_and_mends_what_is_open(direction, node):
    pods = (api_pod(0, app="web"), api_pod(1, node, app="db"))
    deny = policy(podSelector=DB if direction == "ingress" else WEB, policyTypes=[direction.capitalize()])
    before, after = (fabric(cluster(*pods, policies=each), NODES) for each in ([], [deny]))
    opened = before.connect("x/pod0", "x/pod1", tcp=80)
    assert opened.ok
    cut = replace(after, conntracks=before.conntracks)
    assert not cut.send("x/pod0", "x/pod1", tcp=80).delivered
    # The answer to what came before the cut.
    assert not cut.answered(opened.forward, "x/pod0").ok
    mended = replace(before, conntracks=cut.conntracks)
    assert mended.connect("x/pod0", "x/pod1", tcp=80).ok


def test_a_connection_of_others_is_not_cut():
    pods = (api_pod(0, app="web"), api_pod(1, 2, app="db"), api_pod(2, app="other"))
    before, after = (fabric(cluster(*pods, policies=each), NODES) for each in ([], [from_web()]))
    assert before.connect("x/pod0", "x/pod1", tcp=80).ok
    assert before.connect("x/pod2", "x/pod1", tcp=80).ok
    cut = replace(after, conntracks=before.conntracks)
    assert cut.connect("x/pod0", "x/pod1", tcp=80).ok
    assert not cut.connect("x/pod2", "x/pod1", tcp=80).ok


# Rules that policies share.


def rule_cookies(made, node):
    cells = [owner for owner in made.owners(node) if owner.kind is owners.Kind.RULE]
    return {cookie_of(flow.body) for owner in cells for flow in flows(made, node, owner)}


def test_policies_that_say_the_same_share_a_rule_which_goes_with_the_last_of_them():
    made = told(cluster(api_pod(0, app="db"), policies=[from_web("p"), from_web("q")]), NODES)
    first, second = (cookie(Feature.POLICY, f"policy/x/{name}#ingress/0") for name in "pq")
    assert rule_cookies(made, "n1") == {first}
    (active,) = made.policy.rules.values()
    assert ("n1", owners.rule(Direction.INGRESS, active.digest)) in made.apply(Deleted("NetworkPolicy", "x/p"))
    assert rule_cookies(made, "n1") == {second}
    made.apply(Deleted("NetworkPolicy", "x/q"))
    assert rule_cookies(made, "n1") == set()
    assert made.policy.rules == {}


def test_a_policy_that_says_the_same_again_touches_nothing():
    made = told(cluster(api_pod(0, app="db"), policies=[from_web()]), NODES)
    assert made.apply(Applied(parsed("policies", from_web()))) == set()


# What a change touches.


def test_one_more_pod_of_a_known_kind_touches_its_addresses_where_rules_name_it_and_nothing_else():
    raw = cluster(api_pod(0, 1, "db"), api_pod(1, 2, "web"), policies=[from_web()])
    made = told(raw, NODES)
    wanted = {("n1", owners.address(Direction.INGRESS, ip_address(ip))) for ip in ("10.1.2.4", "fd00:1:2::4")}
    assert made.apply(Applied(parsed("pods", api_pod(2, 2, "web")))) == wanted
    assert made.apply(Applied(parsed("pods", api_pod(3, 2, "other")))) == set()


def test_a_node_without_subjects_of_any_rule_has_no_policy_flows():
    made = told(cluster(api_pod(0, 1, "db"), api_pod(1, 2, "web"), policies=[from_web()]), NODES)
    assert list(made.policy.cells("n2")) == []


def test_a_node_that_is_not_followed_is_not_told_of():
    made = told(cluster(api_pod(0, 1, "db")), ("n2",))
    assert made.apply(Applied(parsed("policies", from_web()))) == set()
    assert made.set_bridge("n1", bridge_state([], SYSTEM)) >= {("n1", cell) for cell in made.policy.cells("n1")}


# What nodes have in common is kept until it changes.


def assert_together_as_one_by_one(made):
    for node in NODES:
        one_by_one = {cell: each for cell in made.policy.cells(node) if (each := flows(made, node, cell))}
        assert node_flows(made.policy, node) == one_by_one


@pytest.mark.parametrize(
    "event",
    [
        Applied(parsed("policies", policy("q", podSelector=OTHER, ingress=[{"from": [{"podSelector": WEB}]}]))),
        Applied(parsed("policies", from_web("a"))),
        Applied(parsed("policies", policy("q", podSelector=DB))),
        Deleted("NetworkPolicy", "x/p"),
        Deleted("NetworkPolicy", "x/also"),
        Applied(parsed("pods", api_pod(4, 1, "web"))),
        Applied(parsed("pods", api_pod(1, 2, "db"))),
        Deleted("Pod", "x/pod1"),
    ],
    ids=["one more rule of a peer", "another name first", "isolated once more", "its first name gone",
         "its other name gone", "one more peer", "another kind of pod", "a peer gone"],
)  # fmt: skip
def test_what_is_kept_of_nodes_goes_when_it_changes(event):
    pods = (api_pod(0, 1, "db"), api_pod(1, 2, "web"), api_pod(2, 1, "other"), api_pod(3, 2, "db"))
    made = told(cluster(*pods, policies=[from_web("p"), from_web("also")]), NODES)
    assert_together_as_one_by_one(made)
    made.apply(event)
    assert_together_as_one_by_one(made)


# Addresses.


def engine(*pods):
    made = Engine()
    for each in pods:
        made.set_pod(each)
    return made


def guest(name, *, age=0, phase="Running"):
    return replace(pod(name, "n1"), meta=meta(name, "default", age=age), phase=phase, ips=(ip_address("10.1.1.9"),))


def test_n27_a_pod_that_has_ended_has_no_address_and_its_heir_inherits_nothing():
    made = engine(guest("old", phase="Succeeded"))
    assert made.owner_of(ip_address("10.1.1.9")) is None
    made.set_pod(guest("new"))
    assert made.owner_of(ip_address("10.1.1.9")) == guest("new")


def test_of_two_that_claim_an_address_the_younger_has_it():
    for pods in ([guest("a"), guest("b", age=5)], [guest("b", age=5), guest("a")]):
        assert engine(*pods).owner_of(ip_address("10.1.1.9")) == guest("a")


# Numbers of conjunctions.


@dataclass(eq=False)
class Digested:
    digest: bytes
    number: int = 0


def test_rules_whose_digests_begin_alike_are_numbered_by_the_rest_whoever_came_first():
    low, high, other = (
        Digested(begin + bytes(11) + end)
        for begin, end in ((b"\0\0\0\7", b"\1"), (b"\0\0\0\7", b"\2"), (b"\0\0\1\0", b"\3"))
    )
    changed = []
    numbers = Conjunctions(changed.append)
    for rule in (high, other):
        numbers.add(rule)
    assert (high.number, other.number) == (7, 256)
    numbers.add(low)
    assert (low.number, high.number) == (7, 8)
    assert changed == [high]
    numbers.remove(low)
    assert high.number == 7
    assert changed == [high, high]


def test_no_rule_has_number_zero():
    numbers = Conjunctions(lambda rule: None)
    zero = Digested(bytes(16))
    numbers.add(zero)
    assert zero.number == 1


# Names.


def test_every_owner_and_identity_in_a_switch_has_a_name():
    raw = cluster(api_pod(0, 1, "db", [("web", 80)]), api_pod(1, 2, "web"), policies=[from_web()])
    ports = [{"port": "web"}, {"port": 8080}]
    block = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    raw["policies"].append(policy("q", podSelector=DB, ingress=[{"from": [block], "ports": ports}]))
    made = told(raw, NODES)
    names = PolicyObjects(**{kind: tuple(parsed(kind, each) for each in raw[kind]) for kind in raw}).names
    shown = {
        names.owners[cookie_of(flow.body)] for owner in made.policy.cells("n1") for flow in flows(made, "n1", owner)
    }
    assert shown == {
        "identity/x[app=db,web=80/TCP]", "identity/x[app=web]", "policy/x/p#ingress/0", "policy/x/q#ingress/0",
        "network/10.0.0.0/8", "port/6/80/0xffff", "port/6/8080/0xffff", "pod/x/pod1",
    }  # fmt: skip
    assert set(names.identities.values()) == {"x[app=db,web=80/TCP]", "x[app=web]"}
