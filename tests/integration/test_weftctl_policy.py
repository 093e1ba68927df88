"""weftctl policy on a lab: what is counted when traffic flows, and which node lacks a flow that somebody deleted."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from lab_fixture import end, ofctl, until
from weftctl_fixture import Ran, demo_lab, ip_of, weftctl

from lab import netns
from lab.lab import Lab
from openflow.tables import Table

NAME = f"t-policy-{os.getpid()}"
ASKS = 3


def _policy(name: str, app: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec},
    }


FROM_CART = {"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}], "ports": [{"port": "http"}]}
WEB = _policy("web", ingress=[FROM_CART, {"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}])
AGAIN = _policy("again", ingress=[FROM_CART])
UDP = 9000
TO_CART = _policy("cart", "cart", ingress=[{"ports": [{"protocol": "UDP", "port": UDP}]}])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        lab.apply([WEB, AGAIN])
        until(lambda: policy().status == 0, "the policies are in force")
        yield lab


def policy(*arguments: str) -> Ran:
    return weftctl("policy", *arguments, "--lab", NAME)


def _web() -> dict[str, Any]:
    return _told("shop/web")


def _told(name: str) -> dict[str, Any]:
    (found,) = json.loads(policy(name, "-o", "json").out)["policies"]
    return dict(found)


def _sessions(name: str) -> int:
    return int(_told(name)["sessions"])


def _udp(ip: str) -> socket.socket:
    """A socket on the port that carts serve."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(20)
    made.bind((ip, UDP))
    return made


def _ask(lab: Lab, source: str, target: str, seconds: int = 2) -> int:
    """An HTTP request from pod to pod; curl's exit status."""
    url = f"http://{ip_of(lab, target, 4)}:8080/hostname"
    return lab.capture(source, ["curl", "-s", "-m", str(seconds), "-o", "/dev/null", url]).returncode


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
        assert [_ask(lab, "shop/cart", web, seconds=20) for _ in range(ASKS)] == [0] * ASKS
        assert _ask(lab, "bank/teller", web) != 0

    def counted() -> bool:
        after = _web()
        first, second = (
            one["packets"] - two["packets"] for one, two in zip(after["rules"], before["rules"], strict=True)
        )
        # A request that is answered is five packets of the asker at least: SYN, ACK, GET, and two that end it.
        assert second == after["rules"][1]["sessions"] == 0
        assert after["packets"] - before["packets"] == first
        denied = after["denied"]["Ingress"]["packets"] - before["denied"]["Ingress"]["packets"]
        return first >= 2 * ASKS * 4 and denied >= 2 and after["bytes"] > before["bytes"]

    until(counted, "the switches have told of the packets")
    until(lambda: _sessions("shop/web") - before["sessions"] >= 2 * ASKS, "and of the sessions")
    after = _web()
    assert after["sessions"] - before["sessions"] == 2 * ASKS
    assert after["rules"][0]["sessions"] - before["rules"][0]["sessions"] == 2 * ASKS
    assert "sessions" not in after["denied"]["Ingress"]


def test_udp_is_a_session_a_packet_until_the_other_side_answers(lab: Lab) -> None:
    lab.apply([TO_CART])
    until(lambda: policy().status == 0, "the policy is in force")
    cart, web = end(lab, "shop/cart"), end(lab, "shop/web-1")
    with (
        netns.run_in(cart.namespace, partial(_udp, cart.ips[0])) as there,
        netns.run_in(web.namespace, partial(_udp, web.ips[0])) as here,
    ):
        here.connect(there.getsockname())
        for _ in range(ASKS):
            here.send(b"?")
            peer = there.recvfrom(1)[1]
        until(lambda: _sessions("shop/cart") >= ASKS, "a session for each packet")
        there.sendto(b"!", peer)
        here.recv(1)
        here.send(b"?")
        there.recv(1)
        until(lambda: _told("shop/cart")["packets"] > ASKS, "the packet after the answer is counted")
        assert _sessions("shop/cart") == ASKS
    lab.delete([TO_CART])
    until(lambda: len(policy().lines) == 3, "the policy is gone")


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
