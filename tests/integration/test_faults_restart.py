"""Weft's own processes die and come back: no packet is lost, nothing is programmed twice, no address given twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from lab_fixture import (
    agent_problem,
    box,
    end,
    flow_mods,
    flows,
    in_node,
    pod,
    rows,
    run,
    running_lab,
    settled,
    until,
)
from stream_fixture import stream

from lab.bringup import CONTROLLER, agent
from lab.lab import Lab

NODES = ("node1", "node2")
AFTER = 30  # datagrams in every direction before the fault and after everything is back


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-restart", pod("one", "node1"), pod("two", "node2")) as lab:
        settled(lab)
        yield lab


def test_a_controller_that_is_killed_and_started_again_loses_no_packet_and_sends_no_flow_mod(lab: Lab) -> None:
    before = {name: flows(lab, name) for name in NODES}
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        traffic.wait_sent(AFTER)
        lab.kill(CONTROLLER)
        traffic.wait_sent(AFTER)
        lab.start(CONTROLLER)
        settled(lab)
        traffic.wait_sent(AFTER)
    assert traffic.lost() == []
    assert flow_mods(lab) == 0
    assert {name: flows(lab, name) for name in NODES} == before


def test_agents_that_are_killed_and_started_again_lose_no_packet_and_change_no_flow(lab: Lab) -> None:
    before, sent = {name: flows(lab, name) for name in NODES}, flow_mods(lab)
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        traffic.wait_sent(AFTER)
        for name in NODES:
            lab.kill(agent(name))
        traffic.wait_sent(AFTER)
        for name in NODES:
            lab.start(agent(name))
        for name in NODES:
            until(lambda of=name: agent_problem(lab, of) is None, f"the agent of {name} is ready")
        traffic.wait_sent(AFTER)
    assert traffic.lost() == []
    assert flow_mods(lab) == sent
    assert {name: flows(lab, name) for name in NODES} == before


def test_controller_and_agents_that_die_together_lose_no_packet(lab: Lab) -> None:
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        for name in (CONTROLLER, *map(agent, NODES)):
            lab.kill(name)
        for name in (*map(agent, NODES), CONTROLLER):
            lab.start(name)
        settled(lab)
        for name in NODES:
            until(lambda of=name: agent_problem(lab, of) is None, f"the agent of {name} is ready")
        traffic.wait_sent(AFTER)
    assert traffic.lost() == []
    assert flow_mods(lab) == 0


def test_an_agent_that_starts_again_gives_no_address_that_is_in_use(lab: Lab) -> None:
    with ExitStack() as stack:
        given = [ip for n in range(3) for ip in _attach(lab, stack, f"early-{n}")]
        lab.kill(agent("node1"))
        lab.start(agent("node1"))
        until(lambda: agent_problem(lab, "node1") is None, "the agent is ready")
        given += [ip for n in range(10) for ip in _attach(lab, stack, f"late-{n}")]
        given += end(lab, "one").ips
        assert len(set(given)) == len(given)
        assert sorted(given) == sorted(ip for _, ips in rows(lab, "node1") for ip in ips.split(","))


def _attach(lab: Lab, stack: ExitStack, name: str) -> list[str]:
    result = stack.enter_context(box(lab, "node1", name)).add()
    return [each["address"].partition("/")[0] for each in result["ips"]]


def test_rules_that_another_tool_removed_come_back(lab: Lab) -> None:
    """They keep a pod from talking to the node's kernel past the switch, so their loss must not last."""
    rules = partial(run, "nft", "list", "tables")
    assert "inet weft" in in_node(lab, "node1", rules)
    in_node(lab, "node1", partial(run, "nft", "flush", "ruleset"))
    # Any news wakes the agent; without them it looks every few seconds.
    body = {"metadata": {"annotations": {"example.com/news": "any"}}}
    lab.api.request("PATCH", "/api/v1/nodes/node1", body, "application/merge-patch+json")
    until(lambda: "inet weft" in in_node(lab, "node1", rules), "the table is back")
