"""NetworkPolicies on real switches: every pair of the demo's pods, by ping and HTTP, over both families, is let
through exactly where the NetworkPolicy reference says so; and what a policy does to traffic that is under way."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from lab_fixture import Obj, end, events, flow_mods, problems, settled, until
from netpol_oracle import allowed
from stream_fixture import stream

from lab import netns
from lab.bringup import CONTROLLER
from lab.lab import Lab, LabConfig

NAME = f"t-netpol-{os.getpid()}"
DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
PROBE_SECONDS = 0.4
PATIENCE_SECONDS = 30.0
AFTER = 30
HTTP = 8080

Spec = dict[str, Any]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabConfig(name=NAME, nodes=2), replace=True) as made:
        made.wait_ready(30)
        made.apply(DEMO)
        made.wait_pods(30)
        yield made


def labels(**wanted: str) -> Spec:
    return {"matchLabels": wanted}


def policy(namespace: str, name: str, **spec: Any) -> Obj:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def within(name: str) -> Spec:
    return {"namespaceSelector": labels(**{"kubernetes.io/metadata.name": name})}


NOT_SHOP = {"namespaceSelector": {"matchExpressions": [
    {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]},
]}}  # fmt: skip
WEB, CART = {"podSelector": labels(app="web")}, {"podSelector": labels(app="cart")}
TO_HTTP = [{"protocol": "TCP", "port": HTTP}]

SCENARIOS: dict[str, list[Obj]] = {
    "N1 no policy": [],
    "N2 N5 N6 ingress of a namespace": [policy("bank", "p", podSelector={})],
    "N2 N7 egress of a namespace": [policy("bank", "p", podSelector={}, policyTypes=["Egress"])],
    "N7 both, and one empty rule allows all": [
        policy("bank", "p", policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}]),
    ],
    "N3 the union of what policies allow": [
        policy("shop", "p", podSelector=labels(app="web"), ingress=[{"from": [CART]}]),
        policy("shop", "q", podSelector=labels(app="web"), ingress=[{"from": [within("bank")], "ports": TO_HTTP}]),
    ],
    "N4 both ends have to allow": [
        policy("shop", "p", policyTypes=["Egress"], egress=[{"to": [within("bank")]}]),
        policy("bank", "q", ingress=[{"from": [within("shop") | CART]}]),
    ],
    "N8 N15 any peer, one protocol": [policy("bank", "p", ingress=[{"ports": [{"protocol": "TCP"}]}])],
    "N10 N11 N12 namespaces by expression": [policy("bank", "p", ingress=[{"from": [NOT_SHOP]}])],
    "N13 N14 a block with an exception, of IPv4 alone": [
        policy(
            "shop", "p", ingress=[{"from": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.2.0/24"]}}]}]
        ),
    ],
    "N17 a range of ports": [policy("shop", "p", ingress=[{"ports": [{"port": 8000, "endPort": 8080}]}])],
    "N17 a range that ends before": [policy("shop", "p", ingress=[{"ports": [{"port": 8000, "endPort": 8079}]}])],
    "N18 UDP is not TCP": [policy("shop", "p", ingress=[{"ports": [{"protocol": "UDP", "port": HTTP}]}])],
    "N18 nor is SCTP": [policy("shop", "p", ingress=[{"ports": [{"protocol": "SCTP", "port": HTTP}]}])],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_traffic_is_let_through_exactly_where_the_policies_say(lab: Lab, name: str) -> None:
    """N26: what comes and goes takes effect, since each scenario follows another."""
    wanted = expected(lab, SCENARIOS[name])
    with in_force(lab, SCENARIOS[name]):
        agrees(lab, wanted)


@contextmanager
def in_force(lab: Lab, policies: list[Obj]) -> Iterator[None]:
    """Applies policies, and deletes them afterwards."""
    if policies:
        lab.apply(policies)
    try:
        yield
    finally:
        if policies:
            lab.delete(policies)


Way = tuple[str, str, int]


def expected(lab: Lab, policies: list[Obj]) -> dict[Way, tuple[bool, bool]]:
    """Whether ping and HTTP should work, by source, target and family."""
    pods = lab.pods()
    names = sorted({pod["metadata"]["namespace"] for pod in pods})
    namespaces = [{"metadata": {"name": each, "labels": {"kubernetes.io/metadata.name": each}}} for each in names]
    cluster = {"namespaces": namespaces, "pods": pods, "policies": policies}
    made = {}
    for source in pods:
        for target in [each for each in pods if each is not source]:
            for family in (4, 6):
                ends = [
                    pod | {"using": pod["status"]["podIPs"][0 if family == 4 else 1]["ip"]}
                    for pod in (source, target)
                ]
                answers = (allowed(cluster, *ends, "ICMP", 0), allowed(cluster, *ends, "TCP", HTTP))
                made[key(source), key(target), family] = answers
    return made


def found(lab: Lab) -> dict[Way, tuple[bool, bool]]:
    cells = lab.reachability(timeout=PROBE_SECONDS)
    return {(each.source, each.target, each.version): (each.ping_ms is not None, each.http == "ok") for each in cells}


def agrees(lab: Lab, wanted: dict[Way, tuple[bool, bool]]) -> None:
    """Wait until all traffic is as wanted; what was last found to be different is told."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (different := wrong(found(lab), wanted)) != {}:
        assert time.monotonic() < deadline, different


def wrong(one: dict[Way, tuple[bool, bool]], two: dict[Way, tuple[bool, bool]]) -> dict[Way, Any]:
    assert one.keys() == two.keys()
    return {way: (one[way], two[way]) for way in one if one[way] != two[way]}


def key(pod: Obj) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


@pytest.mark.parametrize("target", ["shop/web-2", "shop/web-1"])
def test_a_policy_cuts_both_ways_what_is_under_way_and_its_deletion_mends_it(lab: Lab, target: str) -> None:
    with conversation(lab, "bank/teller", target) as (client, server):
        assert heard(client, server)
        assert heard(server, client)
        with in_force(lab, [policy("shop", "p", podSelector=labels(app="web"), ingress=[{"from": [CART]}])]):
            until(lambda: not heard(client, server), "no questions come through")
            # The answers of a connection that is open would come through, if it was not cut.
            assert not heard(server, client)
        until(lambda: heard(client, server), "questions come through again")
        assert heard(server, client)


@contextmanager
def conversation(lab: Lab, client: str, server: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """UDP sockets in two pods, each connected to the other."""
    with ExitStack() as stack:
        ends = []
        for name in (client, server):
            made = netns.run_in(lab.pod_namespace(name), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            stack.enter_context(made)
            made.bind((lab.pod(name)["status"]["podIP"], 0))
            made.settimeout(PROBE_SECONDS)
            ends.append(made)
        ends[0].connect(ends[1].getsockname())
        ends[1].connect(ends[0].getsockname())
        yield ends[0], ends[1]


def heard(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether a datagram arrives."""
    word = os.urandom(8)
    sender.send(word)
    with suppress(TimeoutError):
        while receiver.recv(64) != word:
            pass
        return True
    return False


def test_n29_a_stream_and_enforcement_outlive_a_controller(lab: Lab) -> None:
    allow = policy("shop", "p", podSelector=labels(app="web"), ingress=[{"from": [WEB]}])
    with in_force(lab, [allow]):
        wanted = expected(lab, [allow])
        agrees(lab, wanted)
        with stream(end(lab, "shop/web-1"), end(lab, "shop/web-2")) as traffic:
            traffic.wait_sent(AFTER)
            lab.kill(CONTROLLER)
            assert wrong(found(lab), wanted) == {}
            lab.start(CONTROLLER)
            settled(lab)
            traffic.wait_sent(AFTER)
        assert traffic.lost() == []
        assert flow_mods(lab) == 0
        assert wrong(found(lab), wanted) == {}


def test_a_part_that_cannot_be_read_allows_nothing_and_an_event_names_it(lab: Lab) -> None:
    bad = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}
    made = policy("shop", "odd", podSelector=labels(app="web"), ingress=[{"from": [bad, CART]}])
    readable = policy("shop", "odd", podSelector=labels(app="web"), ingress=[{"from": [CART]}])
    with in_force(lab, [made]):
        wanted = expected(lab, [readable])
        agrees(lab, wanted)
        said = "NetworkPolicy shop/odd: spec.ingress[0].from[0].ipBlock.except[0] is '192.168.0.0/16'"
        assert any(each.startswith(said) for each in problems(lab, "PolicyPartIgnored"))
        told = lab.api.items("/api/v1/namespaces/shop/events")
        (event,) = [each for each in told if each["reason"] == "PolicyPartIgnored"]
        assert event["involvedObject"]["kind"] == "NetworkPolicy"
        assert event["involvedObject"]["apiVersion"] == "networking.k8s.io/v1"
        assert event["message"].startswith(said)
    assert events(lab, "PolicyPartIgnored") == []
