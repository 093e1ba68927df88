"""A controller beside each agent (placement node): each programs its node alone; together they are one network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pytest
from lab_fixture import (
    WAIT,
    end,
    events,
    flows,
    metrics,
    pod,
    remove_pods,
    rows,
    running_lab,
    until,
)
from stream_fixture import INTERVAL, Lane, one_way, stream

from cli.checks.all import judge
from cli.checks.cluster import CONTROLLERS
from cli.checks.model import Finding, Result
from cli.looking import look
from cli.target import find_fabric
from cli.where import Where
from lab.bringup import controller
from lab.config import NODE
from lab.lab import Lab

NAME = "t-beside"
NODES = ("node1", "node2")
AFTER = 30
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
CLOSED = POLICY | {"metadata": {"name": "closed", "namespace": "default"}, "spec": {"podSelector": {}}}
ODD = POLICY | {
    "metadata": {"name": "odd", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"of": "nobody"}},
        "ingress": [{"from": [{"ipBlock": {"cidr": "banana"}}]}],
    },
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab(NAME, pod("one", "node1"), pod("two", "node2"), placement=NODE) as lab:
        until(lambda: all(compared(lab, number) for number in (1, 2)), "both switches read and compared")
        yield lab


def compared(lab: Lab, number: int) -> float:
    try:
        return metrics(lab, number).get(("weft_event_seconds_count", "Dumped"), 0)
    except OSError:  # it is just starting
        return 0


def programmed_by(lab: Lab, number: int) -> set[str]:
    """Nodes that a controller has sent flow-mods to."""
    return {key[-1] for key in metrics(lab, number) if key[0] == "weft_flow_mods_total"}


def passes(lanes: Mapping[str, Lane]) -> set[bool]:
    """Whether something that is sent from now on arrives: of all families."""
    firsts = {name: len(lane.sent) for name, lane in lanes.items()}
    until(lambda: all(len(lane.sent) > firsts[name] + AFTER for name, lane in lanes.items()), "datagrams are sent")
    return {max(tuple(lane.arrived), default=0) >= firsts[name] for name, lane in lanes.items()}


def test_each_programs_its_own_node(lab: Lab) -> None:
    assert [programmed_by(lab, number) for number in (1, 2)] == [{"node1"}, {"node2"}]
    assert [metrics(lab, number)["weft_switches_connected",] for number in (1, 2)] == [1, 1]
    until(lambda: all(metrics(lab, number)["weft_pods",] == 2 for number in (1, 2)), "each knows the whole cluster")


def test_pods_of_different_nodes_talk_as_policies_say(lab: Lab) -> None:
    with one_way([(end(lab, "one"), end(lab, "two"))], INTERVAL) as lanes:
        until(lambda: passes(lanes) == {True}, "it passes")
        lab.apply([CLOSED])
        until(lambda: passes(lanes) == {False}, "nothing passes")
        lab.delete([CLOSED])
        until(lambda: passes(lanes) == {True}, "it passes again")


def test_one_that_is_away_holds_up_its_own_node_only(lab: Lab) -> None:
    before = {name: flows(lab, name) for name in NODES}
    late = pod("late", "node2")
    lab.kill(controller(2))
    lab.apply([pod("soon", "node1"), late])
    lab.wait_until(lambda: [] if _runs(lab, "soon") else ["soon"], "the pod of the other node", WAIT)
    until(lambda: any("late" in name for name, _ in rows_of_pods(lab, "node2")), "the late pod's port")
    assert not _runs(lab, "late"), "its flows are not in place, so it is not in service"
    assert flows(lab, "node2") == before["node2"]
    lab.start(controller(2))
    lab.wait_pods(WAIT)
    remove_pods(lab, pod("soon", "node1"), late)
    until(lambda: {name: flows(lab, name) for name in NODES} == before, "the flows as before")


def test_all_are_killed_and_start_again_without_a_loss_or_a_flow_mod(lab: Lab) -> None:
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        traffic.wait_sent(AFTER)
        for number in (1, 2):
            lab.kill(controller(number))
        traffic.wait_sent(AFTER)
        for number in (1, 2):
            lab.start(controller(number))
        until(lambda: all(compared(lab, number) for number in (1, 2)), "both switches read and compared")
        traffic.wait_sent(AFTER)
    assert traffic.lost() == []
    assert [programmed_by(lab, number) for number in (1, 2)] == [set(), set()]


def rows_of_pods(lab: Lab, on: str) -> list[tuple[str, str]]:
    """Pods that have a port on the node, and its addresses."""
    by_ip = {ip: each["metadata"]["name"] for each in lab.pods() for ip in _ips(each)}
    return [(by_ip.get(ips.split(",")[0], "late"), ips) for _, ips in rows(lab, on)]


def _ips(each: dict[str, object]) -> list[str]:
    status = each.get("status") or {}
    assert isinstance(status, dict)
    return [entry["ip"] for entry in status.get("podIPs") or ()]


def _runs(lab: Lab, name: str) -> bool:
    return bool((lab.pod(name).get("status") or {}).get("podIPs"))


def test_what_all_see_is_told_once(lab: Lab) -> None:
    lab.apply([ODD])
    (told,) = until(lambda: events(lab, "PolicyPartIgnored"), "the Event")
    assert "banana" in told
    # Whoever would tell it too has had the policy for as long.
    until(lambda: all(metrics(lab, number)["weft_policies",] == 1 for number in (1, 2)), "both know the policy")
    time.sleep(1)
    assert events(lab, "PolicyPartIgnored") == [told]
    lab.delete([ODD])


def test_weftctl_check_finds_all_well(lab: Lab) -> None:
    # Open vSwitch writes down every few seconds who is connected.
    until(lambda: not [each for each in judged() if each.result is Result.FAILED], "all is well")
    assert [each.what for each in judged() if each.check == CONTROLLERS] == [
        "weft-controller is ready", "weft-controller2 is ready",
    ]  # fmt: skip


def judged() -> tuple[Finding, ...]:
    return judge(look(find_fabric(Where(lab=NAME))))
