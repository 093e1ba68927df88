"""weftctl explain on a lab: what the policies say, and that switches which do something else are found out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from lab_fixture import ofctl, until
from weftctl_fixture import Ran, demo_lab, ip_of, weftctl

from lab.lab import Lab
from openflow.tables import Table

NAME = f"t-explain-{os.getpid()}"
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}], "ports": [{"port": "http"}]}],
    },
}
SAME = "the switches' flows do the same"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        lab.apply([POLICY])
        until(lambda: explain("shop/cart", "shop/web-1", "--tcp", "80").status == 1, "the policy is in force")
        yield lab


def explain(*arguments: str) -> Ran:
    return weftctl("explain", *arguments, "--lab", NAME)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("target", ["shop/web-1", "shop/web-2"])
def test_both_sides_and_the_switches_agree(lab: Lab, target: str, family: str) -> None:
    for source, port, status in (("shop/cart", "8080", 0), ("shop/cart", "80", 1), ("bank/teller", "8080", 1)):
        ran = explain(source, target, "--tcp", port, "--family", family)
        assert (ran.status, ran.lines[-1]) == (status, SAME), ran
        assert ran.lines[-2] == ("denied" if status else "allowed")


@pytest.mark.parametrize("service", [("--tcp", "443"), ("--udp", "53"), ("--sctp", "9"), ()])
def test_outside_and_nodes_agree_too(lab: Lab, service: tuple[str, ...]) -> None:
    gateways = [str(ip_of(lab, pod, 4)).rpartition(".")[0] + ".1" for pod in ("shop/web-1", "shop/web-2")]
    ways = [("203.0.113.9", "shop/web-1", 1), ("shop/web-2", "203.0.113.9", 0), ("2001:db8::1", "bank/teller", 0)]
    ways += [(gateways[0], "shop/web-1", 0), (gateways[1], "shop/web-1", 1), ("shop/web-1", gateways[1], 0)]
    for source, target, status in ways:
        ran = explain(source, target, *service)
        assert (ran.status, ran.lines[-1]) == (status, SAME), ran


def test_what_cannot_be_explained_is_an_error(lab: Lab) -> None:
    unused = ip_of(lab, "shop/web-1", 4).rpartition(".")[0] + ".250"
    for ends in (("shop/cart", "shop/cart"), ("1.1.1.1", "2.2.2.2"), (unused, "shop/cart"), ("no/pod", "shop/cart")):
        assert explain(*ends).status == 2


def test_a_flow_too_many_and_flows_too_few_are_found_out(lab: Lab) -> None:
    """The controller puts them right within a minute; what is looked at is the time before."""
    node = lab.pod("shop/web-1")["spec"]["nodeName"]
    ask = ("bank/teller", "shop/web-1", "--tcp", "8080")
    table = int(Table.INGRESS_POLICY)
    commit = int(Table.COMMIT)
    ofctl(lab, node, "add-flow", f"table={table},priority=65535,actions=goto_table:{commit}")
    ran = explain(*ask)
    assert ran.status == 3, ran
    assert ran.lines[-1].startswith(
        "THE SWITCHES' FLOWS DO SOMETHING ELSE: the packet would be delivered to shop/web-1"
    )
    assert "warning: the policies say drop, the switches do not" in ran.err
    ofctl(lab, node, "del-flows", f"table={table}")
    ran = explain("shop/cart", "shop/web-1", "--tcp", "8080")
    assert ran.status == 3, ran
    assert "THE SWITCHES' FLOWS DO SOMETHING ELSE: the packet would be dropped on" in ran.lines[-1]
