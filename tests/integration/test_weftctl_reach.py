"""weftctl reach on a lab: the matrix says what pods that really try find."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from lab_fixture import until
from weftctl_fixture import Ran, demo_lab, weftctl

from lab.lab import Lab

NAME = f"t-reach-{os.getpid()}"
HTTP = 8080


def _apps(app: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": app}}}


def _policy(namespace: str, app: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {**_apps(app), **spec},
    }


WEB_ANYWHERE = {"namespaceSelector": {}, **_apps("web")}
SOME_PORTS = [{"port": 80, "endPort": 9000}]
POLICIES = [
    _policy("shop", "web", ingress=[{"from": [_apps("cart")], "ports": [{"port": "http"}]}]),
    _policy("bank", "ledger", ingress=[{"from": [_apps("teller")]}, {"from": [WEB_ANYWHERE]}]),
    _policy("bank", "teller", policyTypes=["Egress"], egress=[{"to": [_apps("ledger")], "ports": SOME_PORTS}]),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        lab.apply(POLICIES)
        until(lambda: weftctl("policy", "--lab", NAME).status == 0, "the policies are in force")
        yield lab


def reach(*arguments: str) -> Ran:
    return weftctl("reach", *arguments, "--lab", NAME)


def _promised(family: int) -> dict[tuple[str, str], tuple[bool, bool]]:
    """By pods: whether an echo gets an answer, and a request over HTTP."""
    made = json.loads(reach("-o", "json", "--family", f"ipv{family}").out)
    pods = {each["name"]: each["pods"] for each in made["identities"]}
    return {
        (source, target): (cell["allowed"] == "everything", _allows(cell, HTTP))
        for cell in made["reach"]
        for source in pods.get(cell["from"], ())
        for target in pods.get(cell["to"], ())
        if source != target
    }


def _allows(cell: dict[str, Any], port: int) -> bool:
    ranges = [each for each in cell["ports"] if each["protocol"] == "TCP"]
    return cell["allowed"] == "everything" or any(each["first"] <= port <= each["last"] for each in ranges)


@pytest.mark.parametrize("family", [4, 6])
def test_pods_that_try_find_what_the_matrix_says(lab: Lab, family: int) -> None:
    promised = _promised(family)
    assert len(promised) == 30
    assert {(True, True), (False, False), (False, True)} == set(promised.values())

    def agree() -> bool:
        cells = [each for each in lab.reachability(timeout=1.0) if each.version == family]
        found = {(each.source, each.target): (each.ping_ms is not None, each.http == "ok") for each in cells}
        assert found.keys() == promised.keys()
        through = {
            at: got for at, got in found.items() if (got[0], got[1]) > promised[at] or got[0] > promised[at][0]
        }
        assert not through, f"gets through and should not: {through}"
        # A switch that forwards in user space may lose packets: what is lost is tried again.
        return found == promised

    until(agree, "everybody reaches whom the matrix says")


def test_the_matrix_is_shown_by_kind(lab: Lab) -> None:
    ran = reach()
    assert ran.status == 0
    assert ran.lines[0] == "whom policies let whom reach over IPv4"
    rows = [line for line in ran.lines if line[:1].isdigit()]
    assert [row.partition("  ")[2].split("  ")[0] for row in rows] == [
        "bank[app=ledger,http=8080/TCP] (2 pods)",
        "bank[app=teller,http=8080/TCP] (1 pod)",
        "shop[app=cart,http=8080/TCP] (1 pod)",
        "shop[app=web,http=8080/TCP] (2 pods)",
        "outside",
    ]
    assert "TCP 80-9000" in rows[1]
    assert rows[2].endswith("TCP 8080  *")


def test_a_namespace_and_a_port(lab: Lab) -> None:
    ran = reach("-n", "bank", "--tcp", "80")
    assert "who reaches bank" in ran.lines
    assert "whom bank reaches" in ran.lines
    webs = [line.split()[-2:] for line in ran.lines if "[app=web" in line]
    assert webs == [["yes", "yes"], ["no", "no"]]  # they reach both kinds of pods there, and neither reaches them
    assert reach("-n", "nope").status == 2


def test_it_needs_no_switches(lab: Lab) -> None:
    kubeconfig = str(lab.paths.kubeconfig)
    ran = weftctl("reach", "--ovsdb", "unix:/no/db.sock", "--openflow", "unix:/no/mgmt", "--kubeconfig", kubeconfig)
    assert (ran.status, ran.lines[1:]) == (0, reach().lines[1:])
