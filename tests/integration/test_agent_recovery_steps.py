"""kill -9 of the agent, of the plugin or of both before every step of ADD and DEL; then the runtime's DEL, its GC, or
nothing at all. Nothing is left, and two pods that talk all the while notice nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from functools import partial

import pytest
from agent_fixture import WAIT, Box, Node, agent_lab
from steps_fixture import VERBS, Picture, Round, SteppingAgent, kill_relays, limited, picture
from stream_fixture import End, stream

from lab.lab import Lab

NEVER = 300
AT_ONCE = 1
LONG_ENOUGH = 5
"""`leftover-seconds`: how long the agent leaves what is left over."""
LEAST = {"ADD": 8, "DEL": 4}
"""When this was written there were 11 and 4 steps; far fewer would be a mistake in counting them."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with agent_lab("t-kill") as lab:
        yield lab


@pytest.fixture(scope="module")
def agent(lab: Lab) -> SteppingAgent:
    agent = SteppingAgent(Node(lab))
    agent.start(NEVER)
    return agent


@pytest.fixture(scope="module")
def steps(lab: Lab, agent: SteppingAgent) -> dict[str, list[str]]:
    return agent.steps()


@pytest.fixture(scope="module")
def live(lab: Lab, agent: SteppingAgent) -> Iterator[tuple[Box, Box]]:
    with Node(lab) as node:
        boxes = limited(node, "live"), limited(node, "peer")
        for box in boxes:
            box.add()
        yield boxes


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    with Node(lab) as node:
        yield node


def end(box: Box) -> End:
    return End(box.port(), box.path, tuple(address.partition("/")[0] for address in box.addresses()))


def test_every_step_is_seen(steps: dict[str, list[str]]) -> None:
    assert {verb: names for verb, names in steps.items() if len(names) < LEAST[verb]} == {}
    for work in ("SharedNetlink", "netlink", "sysctl", "ethtool", "OvsdbSession.submit", "answer"):
        assert any(name.startswith(work) for name in steps["ADD"]), work


@pytest.mark.parametrize("followed", ["DEL", "GC", "nothing"])
@pytest.mark.parametrize("killed", ["relay", "agent", "both", "agent while the database hangs"])
def test_killed_before_every_step(
    node: Node, agent: SteppingAgent, steps: dict[str, list[str]], live: tuple[Box, Box], killed: str, followed: str
) -> None:
    agent.begin(LONG_ENOUGH if (killed, followed) == ("relay", "nothing") else NEVER)
    before = picture(node)
    with stream(*map(end, live)) as traffic, Round(node, agent, steps) as cut:
        KILL[killed](node, agent, cut, AT_ONCE if followed == "nothing" else NEVER)
        follow = {"DEL": cut.delete, "GC": partial(cut.collect, *live), "nothing": cut.forget}[followed]
        calls = follow()
        if killed == "relay":
            calls_arrive(calls)
            agent.go_on()
        for call in calls:
            call.result(WAIT)
        until_back(node, before)
        assert {step: box.addresses() for step, box in cut.boxes.items() if box.addresses()} == {}
    assert traffic.lost() == []
    for box in live:
        box.check()


def kill_the_relays(node: Node, agent: SteppingAgent, cut: Round, leftover_seconds: int) -> None:
    cut.call()
    cut.wait_stopped(cut.count)
    kill_relays()
    cut.all_fail()


def kill_the_agent(node: Node, agent: SteppingAgent, cut: Round, leftover_seconds: int) -> None:
    cut.call()
    cut.wait_stopped(cut.count)
    agent.start(leftover_seconds)
    cut.all_fail()
    all_or_nothing(node)


def kill_both(node: Node, agent: SteppingAgent, cut: Round, leftover_seconds: int) -> None:
    cut.call()
    cut.wait_stopped(cut.count)
    kill_relays()
    agent.start(leftover_seconds)
    cut.all_fail()
    all_or_nothing(node)


def kill_the_agent_whose_database_hangs(node: Node, agent: SteppingAgent, cut: Round, leftover_seconds: int) -> None:
    """What it has sent to the database is carried out when it is dead."""
    with node.stopped(node.ovsdb):
        cut.call()
        cut.wait_stopped(cut.count - len(VERBS))  # none comes to its answer
        node.kill_agent()
    agent.start(leftover_seconds)
    cut.all_fail()
    all_or_nothing(node)


KILL = {
    "relay": kill_the_relays,
    "agent": kill_the_agent,
    "both": kill_both,
    "agent while the database hangs": kill_the_agent_whose_database_hangs,
}


def all_or_nothing(node: Node) -> None:
    """An agent that has just started leaves no halves, before it is asked for anything."""
    assert set(node.devices()) == {name for name, _ in node.rows()}


def calls_arrive(calls: list[Future[None]]) -> None:
    """Give what comes after the kill time to reach the requests that it is about."""
    wait(calls, 0.5)


def until_back(node: Node, before: Picture) -> None:
    """Nothing is left; the controller takes flows away after the DEL."""
    deadline = time.monotonic() + WAIT
    while picture(node) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert picture(node) == before
