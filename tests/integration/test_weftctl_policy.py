"""weftctl policy on a lab: what is counted when traffic flows, and which node lacks a flow that somebody deleted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from lab_fixture import ofctl, until
from weftctl_fixture import Ran, demo_lab, ip_of, weftctl

from lab.lab import Lab
from openflow.tables import Table

NAME = f"t-policy-{os.getpid()}"
ASKS = 3


def _policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, **spec},
    }


FROM_CART = {"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}], "ports": [{"port": "http"}]}
WEB = _policy("web", ingress=[FROM_CART, {"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}])
AGAIN = _policy("again", ingress=[FROM_CART])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        lab.apply([WEB, AGAIN])
        until(lambda: policy().status == 0, "the policies are in force")
        yield lab


def policy(*arguments: str) -> Ran:
    return weftctl("policy", *arguments, "--lab", NAME)


def _web() -> dict[str, Any]:
    (found,) = json.loads(policy("shop/web", "-o", "json").out)["policies"]
    return dict(found)


def _ask(lab: Lab, source: str, target: str) -> int:
    """An HTTP request from pod to pod; curl's exit status."""
    url = f"http://{ip_of(lab, target, 4)}:8080/hostname"
    return lab.capture(source, ["curl", "-s", "-m", "2", "-o", "/dev/null", url]).returncode


def test_policies_are_in_force_on_all_nodes_that_run_their_pods(lab: Lab) -> None:
    ran = policy()
    assert [line.split()[:5] for line in ran.lines] == [
        ["NAMESPACE", "NAME", "TYPES", "PODS", "RULES"],
        ["shop", "again", "Ingress", "2", "1"],
        ["shop", "web", "Ingress", "2", "2"],
    ]
    assert all("  all nodes  " in line for line in ran.lines[1:])
    assert policy("-n", "bank").err == "no policies in namespace bank\n"
    assert policy("nope").status == 2


def test_traffic_is_counted_by_the_rule_that_allows_it_or_as_denied(lab: Lab) -> None:
    before = _web()
    for web in ("shop/web-1", "shop/web-2"):
        assert [until(lambda to=web: _ask(lab, "shop/cart", to) == 0, "the cart is answered") for _ in range(ASKS)]
        assert _ask(lab, "bank/teller", web) != 0

    def counted() -> bool:
        after = _web()
        first, second = (
            one["packets"] - two["packets"] for one, two in zip(after["rules"], before["rules"], strict=True)
        )
        # A request that is answered is five packets of the asker at least: SYN, ACK, GET, and two that end it.
        assert second == 0
        assert after["packets"] - before["packets"] == first
        denied = after["denied"]["Ingress"]["packets"] - before["denied"]["Ingress"]["packets"]
        return first >= 2 * ASKS * 4 and denied >= 2 and after["bytes"] > before["bytes"]

    until(counted, "the switches have told of the packets")


def test_policies_that_say_the_same_say_that_they_are_counted_together(lab: Lab) -> None:
    ran = policy("shop/again")
    assert next(line for line in ran.lines if line.startswith("ingress #0")).endswith("  shop/web ingress #0")
    other = _web()["rules"][0]["countedWith"]
    assert other == [{"policy": "shop/again", "direction": "Ingress", "index": 0}]


def test_nothing_is_said_of_a_node_that_is_not_looked_at(lab: Lab) -> None:
    kubeconfig, node = str(lab.paths.kubeconfig), lab.pod("shop/web-1")["spec"]["nodeName"]
    ran = weftctl("policy", "--rundir", str(lab.paths.node(node).ovs), "--kubeconfig", kubeconfig)
    assert ran.status == 0
    assert all("1/2 nodes: not known of " in line for line in ran.lines[1:])


def test_a_flow_that_somebody_deletes_is_missed_on_its_node(lab: Lab) -> None:
    """The controller puts it back within a minute; what is looked at is the time before."""
    node, other = (lab.pod(name)["spec"]["nodeName"] for name in ("shop/web-1", "shop/web-2"))
    assert node != other
    number = _conjunction(lab, node)
    ofctl(lab, node, "del-flows", f"table={int(Table.INGRESS_POLICY)},conj_id={number}")
    ran = policy()
    assert ran.status == 1
    assert all(f"1/2 nodes: missing {node}" in line for line in ran.lines[1:])
    ran = policy("web", "-n", "shop")
    assert ran.status == 1
    assert f"2 pods selected; in force: 1/2 nodes: missing {node}" in ran.lines
    missing = [line for line in ran.lines if "missing:" in line]
    assert missing
    for line in missing:
        assert line.startswith(f"{node}: missing: IngressPolicy ")
        assert f"conj_id={number}" in line
        assert line.endswith("(policy/shop/again#ingress/0)")


def _conjunction(lab: Lab, node: str) -> int:
    """The number of the rule that lets carts in, which has matched packets."""
    dump = ofctl(lab, node, "dump-flows", f"table={int(Table.INGRESS_POLICY)}").splitlines()
    used = [line for line in dump if "conj_id=" in line and "n_packets=0," not in line]
    (number,) = {line.partition("conj_id=")[2].split()[0].partition(",")[0] for line in used}
    return int(number)
