"""What `weftctl explain` says: which rules allow a connection, and what is missing where none does."""

import json
from ipaddress import ip_address
from typing import Any

import pytest
from cli_fixture import view

from cli.allow import missing, rule_words
from cli.directory import Directory
from cli.errors import CliError
from cli.explain import Explanation, Question, explain, lines
from cli.installed import Installed, Path
from cli.layout import plain
from cli.main import run
from cli.packet import Service
from cli.survey import Survey
from cli.target import Fabric
from cli.tracer import End as Side
from controller.policy.names import PolicyObjects
from controller.policy.verdict import End, Traffic, Verdict, judge
from kube.netpol import Direction, parse_network_policy
from kube.objects import parse_namespace, parse_pod

WEB, CART, TELLER = (
    End(ip_address(f"10.1.0.{number}"), pod) for number, pod in enumerate(("shop/web", "shop/cart", "bank/teller"), 2)
)
OUTSIDE = End(ip_address("203.0.113.9"))
HTTP = Traffic("TCP", 80)
TO_80 = [{"protocol": "TCP", "port": 80}]
FROM_CART = [{"podSelector": {"matchLabels": {"app": "cart"}}}]


def _objects(*policies: dict[str, Any]) -> PolicyObjects:
    pods = (
        {
            "metadata": {
                "name": end.pod.partition("/")[2],
                "namespace": end.pod.partition("/")[0],
                "labels": {"app": end.pod.partition("/")[2], "pod-template-hash": "1a2b"},
            },
            "spec": {"nodeName": "alpha"},
            "status": {"phase": "Running", "podIPs": [{"ip": str(end.ip)}]},
        }
        for end in (WEB, CART, TELLER)
    )
    spaces = ({"metadata": {"name": n, "labels": {"kubernetes.io/metadata.name": n}}} for n in ("shop", "bank"))
    return PolicyObjects(
        tuple(parse_pod(json.dumps(each).encode()) for each in pods),
        tuple(parse_namespace(json.dumps(each).encode()) for each in spaces),
        tuple(parse_network_policy(json.dumps(each).encode()) for each in policies),
    )


def _policy(name: str = "web", **spec: Any) -> dict[str, Any]:
    spec.setdefault("podSelector", {"matchLabels": {"app": "web"}})
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def _missing(objects: PolicyObjects, source: End, traffic: Traffic) -> list[str]:
    found = judge(objects.known, source, WEB, traffic).ingress
    assert found is not None
    assert not found.allowed
    return list(missing(objects.known, found, source, traffic))


def _told(objects: PolicyObjects, source: End, traffic: Traffic, installed: Installed) -> list[str]:
    path = Path(
        *(Side(each.pod or str(each.ip), {4: each.ip}) for each in (source, WEB)), source.ip, WEB.ip, None, None
    )
    said: Verdict = judge(objects.known, source, WEB, traffic)
    service = Service(traffic.protocol.lower(), traffic.port)
    return [plain(line) for line in lines(Explanation(objects.known, path, service, said, installed))]


def test_a_pod_that_no_policy_selects_is_not_isolated() -> None:
    assert _told(_objects(), CART, HTTP, Installed(delivered=True, why="")) == [
        "shop/cart → shop/web: TCP port 80 over IPv4: 10.1.0.3 → 10.1.0.2",
        "",
        "egress of shop/cart, tier NetworkPolicy: no policy isolates it: allowed",
        "ingress of shop/web, tier NetworkPolicy: no policy isolates it: allowed",
        "",
        "allowed",
        "the switches' flows do the same",
    ]


def test_every_rule_that_allows_it_is_named() -> None:
    objects = _objects(
        _policy("a", ingress=[{"from": FROM_CART, "ports": TO_80}, {}]), _policy("b", ingress=[{"ports": TO_80}])
    )
    assert _told(objects, CART, HTTP, Installed(delivered=True, why=""))[3:7] == [
        "ingress of shop/web, tier NetworkPolicy: isolated by shop/a, shop/b; allowed by",
        "  policy shop/a, rule ingress #0 (from podSelector app=cart; TCP 80)",
        "  policy shop/a, rule ingress #1 (from anybody; any port)",
        "  policy shop/b, rule ingress #0 (from anybody; TCP 80)",
    ]


def test_switches_that_do_something_else_are_told_of() -> None:
    told = _told(_objects(_policy()), CART, HTTP, Installed(delivered=True, why="delivered to shop/web on alpha"))
    assert told[-2:] == [
        "denied",
        "THE SWITCHES' FLOWS DO SOMETHING ELSE: the packet would be delivered to shop/web on alpha",
    ]
    assert _told(_objects(), CART, HTTP, Installed(delivered=None, why="no"))[-1].startswith("not compared")


def test_only_the_port_is_missing() -> None:
    objects = _objects(_policy(ingress=[{"from": FROM_CART, "ports": TO_80}]))
    lead = "policy shop/web, rule ingress #0 allows this peer; only the port is missing: "
    assert _missing(objects, CART, Traffic("UDP", 53)) == [f"{lead}add to its `ports` {{protocol: UDP, port: 53}}"]
    (icmp,) = _missing(objects, CART, Traffic("ICMP"))
    assert icmp == f"{lead}no `ports` can name ICMP, so only a rule without them allows it"


@pytest.mark.parametrize(
    ("source", "peer"),
    [
        (TELLER, "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: bank}}, "
                 "podSelector: {matchLabels: {app: teller}}}"),
        (OUTSIDE, '{ipBlock: {cidr: "203.0.113.9/32"}}'),
    ],
)  # fmt: skip
def test_only_the_peer_is_missing(source: End, peer: str) -> None:
    objects = _objects(_policy(ingress=[{"from": FROM_CART, "ports": TO_80}]))
    lead = "policy shop/web, rule ingress #0 allows TCP port 80; only the peer is missing: add to its `from` "
    assert _missing(objects, source, HTTP) == [lead + peer]


def test_where_no_rule_comes_near_a_whole_rule_is_given() -> None:
    lead = "the smallest missing allow, in a policy of namespace shop: ingress: "
    peer = "{from: [{podSelector: {matchLabels: {app: cart}}}]"
    assert _missing(_objects(_policy()), CART, HTTP) == [f"{lead}[{peer}, ports: [{{protocol: TCP, port: 80}}]}}]"]
    assert _missing(_objects(_policy()), CART, Traffic("ICMP")) == [f"{lead}[{peer}}}]"]


def test_rules_in_words() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    bank = {"namespaceSelector": {"matchLabels": {"team": "a"}}} | FROM_CART[0]
    ports = [{"port": 80, "endPort": 90}, {"port": "dns", "protocol": "UDP"}, {"protocol": "SCTP"}]
    (policy,) = _objects(_policy(egress=[{"to": [block, bank], "ports": ports}])).policies
    assert rule_words(Direction.EGRESS, policy.rules[Direction.EGRESS][0]) == (
        "to ipBlock 10.0.0.0/8 except 10.1.0.0/16 or namespaceSelector team=a and podSelector app=cart; "
        "TCP 80-90, UDP dns, any SCTP port"
    )


def test_without_policies_there_is_nothing_to_explain() -> None:
    found = Survey(Fabric("here", ()), (view(),), (), Directory())
    with pytest.raises(CliError, match="give --kubeconfig"):
        explain(found, Question("shop/web", "shop/db", Service()))


def test_two_protocols_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "a/b", "c/d", "--tcp", "1", "--sctp", "2"]) == 2
    assert "--tcp and --sctp exclude each other" in capsys.readouterr().err
