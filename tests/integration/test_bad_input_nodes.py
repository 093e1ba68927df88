"""Node objects that cannot be right: each is reported by name, key and value, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lab_fixture import (
    Obj,
    agent_problem,
    end,
    events,
    flows,
    in_node,
    metrics,
    pod,
    problems,
    run,
    running_lab,
    settled,
    until,
)
from stream_fixture import stream

from kube import annotations
from lab.bringup import agent
from lab.lab import Lab

NODES = ("node1", "node2")
AFTER = 30


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-bad-nodes", pod("one", "node1"), pod("two", "node2")) as lab:
        settled(lab)
        yield lab


def _node(name: str, cidrs: tuple[str, ...], **said: str) -> Obj:
    meta = {"name": name, "annotations": {f"weft.dev/{key.replace('_', '-')}": text for key, text in said.items()}}
    spec = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)} if cidrs else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec}


def _state(lab: Lab) -> dict[str, object]:
    """What a mistake in one Node must not change on the others: flows, routes of the host, neighbours."""
    hosts = {name: in_node(lab, name, lambda: run("ip", "route") + run("ip", "-6", "route")) for name in NODES}
    return {"flows": {name: flows(lab, name) for name in NODES}, "hosts": hosts}


@contextmanager
def _undisturbed(lab: Lab) -> Iterator[None]:
    """Nothing changes on the nodes, and nothing is lost between their pods, while the block runs and after it."""
    before = _state(lab)
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        traffic.wait_sent(AFTER)
        yield
        traffic.wait_sent(AFTER)
    assert _state(lab) == before
    assert traffic.lost() == []


def _reported(lab: Lab, reason: str, *words: str) -> None:
    """The log, an Event about the Node, and the metric all tell it, with these words."""

    def in_full(told: list[str]) -> bool:
        return any(all(word in message for word in words) for message in told)

    until(lambda: in_full(problems(lab, reason)), f"{reason} with {words} in the log: {problems(lab, reason)}")
    until(lambda: in_full(events(lab, reason)), f"{reason} with {words} as an Event: {events(lab, reason)}")
    assert metrics(lab)[("weft_problems_total", reason)] >= 1


BAD = {
    "no-range": (_node("no-range", ()), "NoPodCIDR", ("spec.podCIDRs", "empty")),
    "tunnel-ip": (
        _node("odd", ("10.244.99.0/24",), tunnel_ip="not-an-address"),
        "BadAnnotation",
        ("odd", "weft.dev/tunnel-ip", "not-an-address"),
    ),
    "datapath-id": (
        _node("odd", ("10.244.99.0/24",), datapath_id="0xZZ"),
        "BadAnnotation",
        ("odd", "weft.dev/datapath-id", "0xZZ"),
    ),
    "same-range": (
        _node("twin", ("10.244.2.0/24", "fd57:244:0:2::/64"), tunnel_ip="198.18.1.99"),
        "PodCIDRTaken",
        ("twin", "10.244.2.0/24", "node2"),
    ),
    "part-of-a-range": (
        _node("part", ("10.244.1.128/25",), tunnel_ip="198.18.1.99"),
        "PodCIDRTaken",
        ("part", "10.244.1.128/25", "node1"),
    ),
    "same-datapath-id": (
        _node("copy", (), datapath_id="dc58bd74c3b8c50e"),  # of every node1
        "DatapathIdTaken",
        ("copy", "dc58bd74c3b8c50e", "node1"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_new_node_that_cannot_be_right_is_reported_and_changes_nothing(lab: Lab, case: str) -> None:
    node, reason, words = BAD[case]
    with _undisturbed(lab):
        try:
            lab.apply([node])
            _reported(lab, reason, *words)
        finally:
            lab.delete([node])


def test_an_annotation_that_somebody_broke_on_a_live_node_is_reported_and_mended(lab: Lab) -> None:
    with _undisturbed(lab):
        _annotate(lab, "node2", annotations.TUNNEL_IP, "300.1.2.3")
        _reported(lab, "BadAnnotation", "node2", annotations.TUNNEL_IP, "300.1.2.3")
        until(lambda: _annotation(lab, "node2", annotations.TUNNEL_IP) == "198.18.1.2", "the agent says it again")


def test_an_annotation_that_is_broken_while_its_agent_is_away_changes_nothing_until_the_agent_mends_it(
    lab: Lab,
) -> None:
    with _undisturbed(lab):
        lab.kill(agent("node2"))
        try:
            _annotate(lab, "node2", annotations.MTU, "jumbo")
            _reported(lab, "BadAnnotation", "node2", annotations.MTU, "jumbo")
        finally:
            lab.start(agent("node2"))
        until(lambda: _annotation(lab, "node2", annotations.MTU) == "1450", "the agent says it again")
        until(lambda: agent_problem(lab, "node2") is None, "the agent is ready")


def _annotate(lab: Lab, node: str, key: str, text: str) -> None:
    patch = {"metadata": {"annotations": {key: text}}}
    lab.api.request("PATCH", f"/api/v1/nodes/{node}", patch, "application/merge-patch+json")


def _annotation(lab: Lab, node: str, key: str) -> str:
    found: str = lab.api.request("GET", f"/api/v1/nodes/{node}")["metadata"]["annotations"][key]
    return found
