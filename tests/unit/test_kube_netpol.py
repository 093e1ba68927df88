"""NetworkPolicies from the API: defaults, and parts that cannot be read."""

import json

import pytest

from kube.errors import ParseError
from kube.netpol import Block, Direction, PodPeer, PolicyPort, parse_network_policy
from kube.selectors import EVERYTHING, Operator, Requirement, Selector
from openflow.net import network

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS


def policy(**spec):
    return parse_network_policy(json.dumps({"metadata": {"name": "p", "namespace": "x"}, "spec": spec}).encode())


def ingress(*peers, ports=None):
    """A policy's one ingress rule, and what of it could not be read."""
    made = policy(ingress=[{"from": list(peers)} | ({"ports": ports} if ports is not None else {})])
    return made.rules[INGRESS][0], [str(problem) for problem in made.problems]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, {INGRESS}),
        ({"egress": []}, {INGRESS}),
        ({"egress": [{}]}, {INGRESS, EGRESS}),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, {EGRESS}),
        ({"policyTypes": ["Egress", "Ingress"]}, {INGRESS, EGRESS}),
    ],
)
def test_n6_n7_directions_that_are_not_named_follow_from_the_rules(spec, wanted):
    assert policy(**spec).rules.keys() == wanted


def test_n5_no_pod_selector_is_every_pod():
    assert policy().pods == policy(podSelector={}).pods == EVERYTHING


def test_n8_no_peers_and_no_ports_are_all_of_them():
    rule, problems = ingress()
    assert (rule.peers, rule.ports, problems) == (None, None, [])


def test_n10_peers_by_labels():
    here, _ = ingress({"podSelector": {"matchLabels": {"a": "1"}}})
    everywhere, _ = ingress({"namespaceSelector": {}})
    assert here.peers == (PodPeer(None, Selector((Requirement("a", Operator.IN, ("1",)),))),)
    assert everywhere.peers == (PodPeer(EVERYTHING, EVERYTHING),)


def test_selectors_that_ask_the_same_are_the_same():
    one = policy(podSelector={"matchLabels": {"a": "1", "b": "2"}}).pods
    two = policy(
        podSelector={"matchExpressions": [{"key": k, "operator": "In", "values": [v]} for k, v in ("b2", "a1")]}
    )
    assert one == two.pods
    assert str(one) == "a=1,b=2"


def test_of_equal_selectors_there_is_one():
    one, two = (
        policy(podSelector={"matchLabels": {"a": "1"}}, policyTypes=[which]) for which in ("Ingress", "Egress")
    )
    assert one.pods is two.pods
    assert policy(podSelector={}).pods is EVERYTHING


def test_n13_blocks():
    rule, _ = ingress({"ipBlock": {"cidr": "10.0.0.9/8", "except": ["10.1.0.0/16"]}})
    assert rule.peers == (Block(network("10.0.0.0/8"), (network("10.1.0.0/16"),)),)


def test_n15_n16_n17_ports():
    rule, problems = ingress(ports=[{}, {"protocol": "UDP", "port": 53}, {"port": 1, "endPort": 9}, {"port": "web"}])
    assert rule.ports == (
        PolicyPort("TCP"), PolicyPort("UDP", 53, 53), PolicyPort("TCP", 1, 9), PolicyPort("TCP", name="web"),
    )  # fmt: skip
    assert problems == []


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        ({}, "spec.ingress[0].from[0] is {}: a peer has a podSelector, a namespaceSelector or an ipBlock"),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}, "a peer has an ipBlock or selectors, not both"),
        ({"ipBlock": {"cidr": "10.0.0.0"}}, "from[0].ipBlock.cidr is '10.0.0.0': not a network"),
        (
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}},
            "except[0] is '11.0.0.0/16': an exception is",
        ),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}, "an exception is a part of 10.0.0.0/8"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/16"]}}, "an exception is a part of 10.0.0.0/8"),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}},
            "matchExpressions[0].operator is 'Like': an operator is one of In, NotIn, Exists, DoesNotExist",
        ),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "In needs at least one value"),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
            "Exists takes no values",
        ),
        ({"namespaceSelector": {"matchLabels": {"a b": "1"}}}, "from[0].namespaceSelector.matchLabels is 'a b'"),
        ({"namespaceSelector": {"matchLabels": {"a": "-"}}}, "matchLabels.a is '-': a label value"),
    ],
)
def test_a_peer_that_cannot_be_read_is_nobody_and_the_others_stand(peer, said):
    rule, problems = ingress(peer, {"podSelector": {}})
    assert rule.peers == (PodPeer(None, EVERYTHING),)
    assert len(problems) == 1
    assert problems[0].startswith("NetworkPolicy x/p: spec.ingress[0].from[0]")
    assert said in problems[0]


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ({"protocol": "ICMP"}, "ports[0].protocol is 'ICMP': a protocol is TCP, UDP or SCTP"),
        ({"port": 0}, "ports[0].port is 0: a port is 1 to 65535"),
        ({"port": 9, "endPort": 8}, "ports[0].endPort is 8: the end of a range is 9 to 65535"),
        ({"port": "web", "endPort": 8}, "ports[0].endPort is 8: 'web' is a name: a range needs numbers"),
        ({"endPort": 8}, "ports[0].endPort is 8: a range needs a port that it begins with"),
        ({"port": "no such thing"}, "ports[0].port is 'no such thing': a port's name"),
    ],
)
def test_a_port_that_cannot_be_read_is_no_port(port, said):
    rule, problems = ingress(ports=[port])
    assert rule.ports == ()
    assert len(problems) == 1
    assert said in problems[0]


def test_a_policy_whose_pods_cannot_be_read_is_refused():
    with pytest.raises(ParseError, match=r"spec\.podSelector\.matchExpressions"):
        policy(podSelector={"matchExpressions": [{"key": "a", "operator": "Like"}]})
    with pytest.raises(ParseError, match=r"spec\.policyTypes"):
        policy(policyTypes=["Both"])
