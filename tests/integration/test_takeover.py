"""Two controllers and a Lease in a whole lab: the active one goes, the other takes over, and agents follow; no packet
is lost and no flow sent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from lab_fixture import (
    agent_problem,
    end,
    flows,
    log_lines,
    metrics,
    pod,
    remove_pods,
    restart_agent,
    running_lab,
    until,
    vsctl,
)
from stream_fixture import stream

from kube.annotations import OPENFLOW
from lab.bringup import agent, controller
from lab.lab import Lab

NODES = ("node1", "node2")
BOTH = (1, 2)
AFTER = 30  # datagrams in every direction before the fault and after everything is back
LEASE = "/apis/coordination.k8s.io/v1/namespaces/weft-system/leases/weft-controller"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-takeover", pod("one", "node1"), pod("two", "node2"), controllers=2) as lab:
        yield lab


def socket_of(lab: Lab, number: int) -> str:
    return f"unix:{lab.paths.controller(number).openflow_socket}"


def targets(lab: Lab, node: str) -> list[str]:
    """The switch's controllers, as its database has them."""
    return vsctl(lab, node, "get-controller", "br-int").split()


def active(lab: Lab) -> int:
    """The number of the controller that is active, 0 when none is."""
    found = [number for number in BOTH if asked(lab, number, "weft_controller_active")]
    assert len(found) < 2
    return sum(found)


def asked(lab: Lab, number: int, name: str) -> float:
    try:
        return metrics(lab, number)[name,]
    except OSError:
        return 0


def settled(lab: Lab, number: int) -> None:
    """Both switches are this controller's, and it has compared their flows."""
    until(lambda: [targets(lab, name) for name in NODES] == [[socket_of(lab, number)]] * 2, "the agents follow")
    until(lambda: asked(lab, number, "weft_read_flows_seconds_count") >= 2, "both switches read")
    until(lambda: metrics(lab, number).get(("weft_event_seconds_count", "Dumped"), 0) >= 2, "and compared")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_other_takes_over_without_a_packet_lost(lab: Lab, signum: signal.Signals) -> None:
    first = until(lambda: active(lab), "an active one")
    second = sum(BOTH) - first
    before = {name: flows(lab, name) for name in NODES}
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        traffic.wait_sent(AFTER)
        lab.kill(controller(first), signum)
        until(lambda: active(lab) == second, "the other is active")
        settled(lab, second)
        traffic.wait_sent(AFTER)
    assert traffic.lost() == []
    assert {name: flows(lab, name) for name in NODES} == before
    assert metrics(lab, second)["weft_switches_connected",] == 2
    assert not [key for key in metrics(lab, second) if key[0] == "weft_flow_mods_total"]
    news = [pod(f"new-{signum.name.lower()}-{name}", name) for name in NODES]
    lab.apply(news)
    lab.wait_pods()
    stood = stands_by(lab, first)
    lab.start(controller(first))
    until(lambda: stands_by(lab, first) > stood, "the first stands by")
    remove_pods(lab, *news)


def test_what_the_lease_says_is_followed_and_kept_when_it_says_nothing_of_use(lab: Lab) -> None:
    """With no controller at all, so that nobody corrects it."""
    number = until(lambda: active(lab), "an active one")
    settled(lab, number)
    for each in BOTH:
        lab.kill(controller(each))
    known = socket_of(lab, number)
    for bad in ("tcp:192.0.2.1:6653", "nonsense"):
        annotate(lab, bad)
        wait_told(lab, f"annotation {OPENFLOW} is {bad!r}: ")
        assert targets(lab, "node1") == [known]
    lab.api.request("DELETE", LEASE)
    wait_told(lab, "there is no Lease weft-system/weft-controller")
    restart_agent(lab, "node1")
    wait_told(lab, "there is no Lease weft-system/weft-controller", times=2)
    assert targets(lab, "node1") == [known]
    assert agent_problem(lab, "node1") is None, "a controller that is away is no reason not to be ready"
    for each in BOTH:
        lab.start(controller(each))
    settled(lab, until(lambda: active(lab), "an active one"))


def test_an_agent_that_never_knew_a_controller_says_so(lab: Lab) -> None:
    number = until(lambda: active(lab), "an active one")
    for each in BOTH:
        lab.kill(controller(each))
    lab.api.request("DELETE", LEASE)
    lab.kill(agent("node1"))
    vsctl(lab, "node1", "del-controller", "br-int")
    lab.start(agent("node1"))
    said = "no controller is known yet: there is no Lease weft-system/weft-controller: is weft-controller running"
    until(lambda: said in (agent_problem(lab, "node1") or ""), said)
    lab.start(controller(number))
    until(lambda: agent_problem(lab, "node1") is None, "ready as soon as there is one")
    lab.start(controller(sum(BOTH) - number))
    settled(lab, number)


def stands_by(lab: Lab, number: int) -> int:
    """How often it has said so."""
    return [line["event"] for line in log_lines(lab.paths.controller(number).log)].count("standing by")


def annotate(lab: Lab, target: str) -> None:
    lab.api.request("PATCH", LEASE, {"metadata": {"annotations": {OPENFLOW: target}}}, MERGE)


def wait_told(lab: Lab, problem: str, times: int = 1) -> None:
    def told() -> bool:
        lines: list[dict[str, Any]] = log_lines(lab.paths.node("node1").log / "agent.log")
        said = [line for line in lines if line["event"] == "no controller is named" and problem in line["problem"]]
        return len(said) >= times

    until(told, problem)
