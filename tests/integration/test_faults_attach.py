"""An ADD that cannot be finished: no controller, or an agent that dies in the middle. Nothing is left of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from lab_fixture import (
    Box,
    NodeState,
    Obj,
    agent_problem,
    box,
    events,
    in_node,
    node_state,
    pod,
    remove_pods,
    rows,
    running_lab,
    settled,
    until,
)

from cni.errors import ErrorCode
from lab.bringup import CONTROLLER, agent, ovsdb
from lab.lab import Lab
from lab.runtime import RuntimeFailure
from node_agent import rtnl_read, wiring
from node_agent.netlink import Netlink
from node_agent.netns import NetNs, run_in

IN_TIME = 10.0  # seconds, the bar
TRIES = 1000


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-attach", nodes=1) as lab:
        settled(lab)
        yield lab


@pytest.fixture
def before(lab: Lab) -> NodeState:
    return node_state(lab, "node1")


def test_without_a_controller_add_fails_in_time_and_leaves_nothing_and_then_the_pod_comes_up(
    lab: Lab, before: NodeState
) -> None:
    late = pod("late", "node1")
    lab.kill(CONTROLLER)
    try:
        lab.apply([late])  # for its kubelet, which tries again
        with box(lab, "node1", "by-hand") as tried:
            started = time.monotonic()
            with pytest.raises(RuntimeFailure, match="controller") as refused:
                tried.add()
            took = time.monotonic() - started
            assert refused.value.code == ErrorCode.TRY_AGAIN_LATER
            assert took <= IN_TIME
            assert _interfaces(tried) == ["lo"]
            assert _without(node_state(lab, "node1"), "late") == before
        told = until(lambda: events(lab, "FailedCreatePodSandBox"), "the kubelet hears of it")
        assert any(f"(code {ErrorCode.TRY_AGAIN_LATER.value})" in message for message in told)
    finally:
        lab.start(CONTROLLER)
    lab.wait_pods()
    remove_pods(lab, late)
    until(lambda: node_state(lab, "node1") == before, "the pod is gone without a trace")


def _without(state: NodeState, name: str) -> NodeState:
    """The state less the ports of another pod, which is being tried at the same time."""
    devices = tuple(device for device in state.devices if not device.startswith(name))
    return NodeState(devices, tuple(row for row in state.rows if not row[0].startswith(name)), state.flows)


def _interfaces(made: Box) -> list[str]:
    def read() -> list[str]:
        with Netlink() as netlink:
            return [link.name for link in rtnl_read.links(netlink)]

    with NetNs.open(str(made.namespace)) as namespace:
        return run_in(namespace, read)


@pytest.mark.parametrize("milliseconds", [1, 4, 8, 12, 18])
def test_an_agent_killed_at_any_moment_of_an_add_leaves_nothing_after_del(
    lab: Lab, before: NodeState, milliseconds: int
) -> None:
    with box(lab, "node1", f"at-{milliseconds}") as made:
        with _adding(made) as adding:
            time.sleep(milliseconds / 1000)
            lab.kill(agent("node1"))
        _same_after_del(lab, made, adding, before)


def test_an_agent_killed_before_the_row_is_written_leaves_nothing_after_del(lab: Lab, before: NodeState) -> None:
    with box(lab, "node1", "unwritten") as made:
        with _stopped(lab, ovsdb("node1")), _adding(made) as adding:
            until(lambda: in_node(lab, "node1", wiring.host_interfaces), "the veth is there")
            lab.kill(agent("node1"))
        _same_after_del(lab, made, adding, before)


def test_an_agent_killed_while_it_waits_for_the_controller_leaves_nothing_after_del(
    lab: Lab, before: NodeState
) -> None:
    with box(lab, "node1", "waiting") as made:
        with _stopped(lab, CONTROLLER), _adding(made) as adding:
            until(lambda: rows(lab, "node1"), "the row is there")
            lab.kill(agent("node1"))
        _same_after_del(lab, made, adding, before)


@contextmanager
def _stopped(lab: Lab, name: str) -> Iterator[None]:
    """A process that hangs."""
    pid = lab.processes.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _adding(made: Box) -> Iterator[Future[Obj]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(made.add)


def _same_after_del(lab: Lab, made: Box, adding: Future[Obj], before: NodeState) -> None:
    """The runtime's part: an ADD that failed is followed by DEL, which is repeated until it succeeds."""
    if adding.exception() is not None:
        failure = adding.exception()
        assert isinstance(failure, RuntimeFailure)
        assert failure.code == ErrorCode.TRY_AGAIN_LATER
    lab.start(agent("node1"))
    _repeat(made.delete)
    until(lambda: node_state(lab, "node1") == before, "nothing is left")
    assert _interfaces(made) == ["lo"]
    until(lambda: agent_problem(lab, "node1") is None, "the agent is ready")
    made.add()  # nothing is in the way of the next try


def _repeat(work: Callable[[], None]) -> None:
    """At once again after a failure, which hits an agent that knows nothing yet."""
    for _ in range(TRIES):
        try:
            return work()
        except RuntimeFailure as e:
            assert e.code == ErrorCode.TRY_AGAIN_LATER  # noqa: PT017 - the other codes are failures of this test
    raise AssertionError(f"DEL still fails after {TRIES} tries")
