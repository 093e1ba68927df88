"""Nodes whose pod ranges cannot be used, or are used up, as their own agents and runtimes hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from agent_fixture import assign
from lab_fixture import Obj, agent_problem, box, node_state, rows, start_agent_and_controller, until

from cni.errors import ErrorCode
from lab.config import LabConfig
from lab.lab import Lab
from lab.runtime import RuntimeFailure

SMALL = "10.244.1.0/29"
ROOM = 5  # of eight addresses, less network, gateway and broadcast
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


def _ipv4(result: Obj) -> str:
    return next(each["address"].partition("/")[0] for each in result["ips"] if "." in each["address"])
