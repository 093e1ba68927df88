"""Nodes whose pod ranges cannot be used, or are used up, as their own agents and runtimes hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address, ip_network

import pytest
from agent_fixture import assign
from lab_fixture import (
    Obj,
    agent_problem,
    box,
    in_node,
    node_state,
    rows,
    run,
    start_agent_and_controller,
    until,
)
from stream_fixture import End, stream

from cni.errors import ErrorCode
from lab.bringup import agent
from lab.config import LabConfig
from lab.lab import Lab
from lab.runtime import RuntimeFailure

SMALL = "10.244.1.0/29"
ROOM = 5  # of eight addresses, less network, gateway and broadcast
AFTER = 30
CIDRS = {"node1": [SMALL, "fd57:244:0:1::/64"], "node2": [SMALL], "node3": []}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabConfig(name="t-cidrs", nodes=3, weft=False), replace=True) as lab:
        for name, cidrs in CIDRS.items():
            assign(lab, name, *cidrs)
        start_agent_and_controller(lab)
        until(lambda: agent_problem(lab, "node1") is None, "node1 is ready")
        yield lab


@pytest.mark.parametrize(
    ("name", "words"),
    [("node2", ("node2", SMALL, "node1", "podCIDRs")), ("node3", ("node3", "podCIDRs", "empty"))],
    ids=["taken", "none"],
)
def test_a_node_without_a_range_of_its_own_is_not_ready_and_add_says_why(
    lab: Lab, name: str, words: tuple[str, ...]
) -> None:
    until(lambda: all(word in (agent_problem(lab, name) or "") for word in words), f"{name} says why it is not ready")
    before = node_state(lab, name)
    with box(lab, name, f"on-{name}") as made:
        with pytest.raises(RuntimeFailure) as refused:
            made.add()
        assert refused.value.code == ErrorCode.TRY_AGAIN_LATER
        assert [word for word in words if word not in str(refused.value)] == []
        assert node_state(lab, name) == before


def test_an_exhausted_range_refuses_the_next_pod_and_leaves_those_that_have_an_address(lab: Lab) -> None:
    with ExitStack() as stack:
        for n in range(ROOM):
            stack.enter_context(box(lab, "node1", f"fits-{n}")).add()
        before = node_state(lab, "node1")
        with box(lab, "node1", "too-many") as made:
            with pytest.raises(RuntimeFailure, match=SMALL) as refused:
                made.add()
            assert refused.value.code == ErrorCode.ADDRESSES_EXHAUSTED
            assert f"{ROOM} are in use" in str(refused.value)
            assert node_state(lab, "node1") == before


def test_a_node_that_is_given_a_range_gets_ready_by_itself(lab: Lab) -> None:
    assign(lab, "node3", "10.244.3.0/24")
    until(lambda: agent_problem(lab, "node3") is None, "node3 is ready")
    with box(lab, "node3", "at-last") as made:
        address = _ipv4(made.add())
        assert address in dict(rows(lab, "node3")).values()


OTHER = ("10.244.9.0/24", "fd57:244:0:9::/64")


@pytest.mark.parametrize(
    ("cidrs", "words"),
    [((), ("Node node1", "podCIDRs is empty")), (OTHER, (*OTHER, "default/stays-0", "default/stays-1"))],
    ids=["gone", "changed"],
)
def test_a_range_that_goes_from_under_pods_stops_new_ones_and_leaves_those_that_have_an_address(
    lab: Lab, cidrs: tuple[str, ...], words: tuple[str, ...]
) -> None:
    with ExitStack() as stack:
        ends = [_attached(lab, stack, "node1", f"stays-{n}") for n in range(2)]
        before, host = node_state(lab, "node1"), _host(lab, "node1")
        try:
            with stream(*ends) as traffic:
                assign(lab, "node1", *cidrs)
                told = until(lambda: agent_problem(lab, "node1"), "node1 is not ready")
                assert [word for word in words if word not in told] == []
                with box(lab, "node1", "comes") as made:
                    with pytest.raises(RuntimeFailure) as refused:
                        made.add()
                    assert refused.value.code == ErrorCode.TRY_AGAIN_LATER
                    assert told in str(refused.value)
                lab.kill(agent("node1"))
                lab.start(agent("node1"))
                until(lambda: agent_problem(lab, "node1") == told, "an agent that starts again says the same")
                traffic.wait_sent(AFTER)
            assert traffic.lost() == []
            assert node_state(lab, "node1").devices == before.devices
            assert node_state(lab, "node1").rows == before.rows
            assert _host(lab, "node1") == host
        finally:
            assign(lab, "node1", *CIDRS["node1"])
        until(lambda: agent_problem(lab, "node1") is None, "node1 is ready")
        _attached(lab, stack, "node1", "comes-again")


def test_a_range_that_changes_is_taken_into_use_when_the_last_pod_of_the_old_one_is_gone(lab: Lab) -> None:
    with box(lab, "node1", "last") as made:
        made.add()
        assign(lab, "node1", *OTHER)
        until(lambda: "default/last" in (agent_problem(lab, "node1") or ""), "node1 waits for the pod")
    try:
        until(lambda: agent_problem(lab, "node1") is None, "node1 is ready")
        with ExitStack() as stack:
            (v4, v6) = map(ip_address, _attached(lab, stack, "node1", "of-the-new-one").ips)
            assert v4 in ip_network(OTHER[0])
            assert v6 in ip_network(OTHER[1])
    finally:
        assign(lab, "node1", *CIDRS["node1"])
    until(lambda: agent_problem(lab, "node1") is None, "node1 is ready")


def _attached(lab: Lab, stack: ExitStack, on: str, name: str) -> End:
    made = stack.enter_context(box(lab, on, name))
    return End(name, made.namespace, tuple(each["address"].partition("/")[0] for each in made.add()["ips"]))


def _host(lab: Lab, on: str) -> list[str]:
    """What the node's kernel does for its pods: the gateway's addresses, routes, rules."""
    asked = ("ip -br address show weft-gw0", "ip route", "ip -6 route", "nft -s list table inet weft")
    return [in_node(lab, on, partial(run, *argv.split())) for argv in asked]


def _ipv4(result: Obj) -> str:
    return next(each["address"].partition("/")[0] for each in result["ips"] if "." in each["address"])
