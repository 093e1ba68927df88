"""Where pending pods go, decided on plain objects; and that the API asks whenever it may matter."""

from __future__ import annotations

from typing import Any

import pytest
from lab_api_fixture import new_api, node, pod

from lab.api.builtin import NAMESPACES, NODES, PODS
from lab.api.handle import LabApi
from lab.api.scheduler import decide, scheduled
from lab.api.store import DeleteOptions


def stored(obj: dict[str, Any], version: int = 1, phase: str = "Pending") -> dict[str, Any]:
    obj["metadata"]["resourceVersion"] = str(version)
    return obj | {"status": obj.get("status") or {"phase": phase}}


def placed(pods: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> dict[str, str | None]:
    return {decision.pod["metadata"]["name"]: decision.node for decision in decide(pods, nodes)}


def test_pods_spread_over_the_ready_nodes_by_count_then_name() -> None:
    pods = [stored(pod("running", node="a"), phase="Running"), *(stored(pod(name), 2) for name in "xyz")]
    assert placed(pods, [node("b"), node("a"), node("c", ready="False")]) == {"x": "b", "y": "a", "z": "b"}


def test_finished_pods_weigh_nothing_and_are_not_placed() -> None:
    pods = [stored(pod("done", node="a"), phase="Succeeded"), stored(pod("lost"), phase="Failed"), stored(pod("x"))]
    assert placed(pods, [node("a"), node("b")]) == {"x": "a"}


def test_the_longest_waiting_goes_first() -> None:
    pods = [stored(pod("young"), 10), stored(pod("old"), 9)]
    assert placed(pods, [node("a"), node("b")]) == {"old": "a", "young": "b"}


def test_node_selectors_and_cordons_are_honoured() -> None:
    nodes = [node("a"), node("b", labels={"disk": "ssd"}), node("c", labels={"disk": "ssd"}, unschedulable=True)]
    assert placed([stored(pod("x", nodeSelector={"disk": "ssd"}))], nodes) == {"x": "b"}


GUESTS = {"key": "guests", "value": "lab", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "guests", "operator": "Equal", "value": "lab", "effect": "NoSchedule"}, True),
        ({"key": "guests", "value": "lab"}, True),
        ({"key": "guests", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "guests", "value": "other"}, False),
        ({"key": "others", "operator": "Exists"}, False),
        ({"key": "guests", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"value": "lab"}, False),
    ],
)
def test_a_taint_keeps_pods_away_that_do_not_tolerate_it(toleration: dict[str, str], fits: bool) -> None:
    decision = decide([stored(pod("x", tolerations=[toleration]))], [node("a", taints=[GUESTS])])[0]
    assert decision.node == ("a" if fits else None)
    assert fits or decision.why.endswith("1 with a taint that the pod does not tolerate.")


def test_a_taint_that_only_asks_to_be_preferred_against_keeps_nobody_away() -> None:
    assert placed([stored(pod("x"))], [node("a", taints=[{**GUESTS, "effect": "PreferNoSchedule"}])]) == {"x": "a"}


def test_a_pod_that_fits_nowhere_is_told_why() -> None:
    nodes = [node("a", ready="Unknown"), node("b", unschedulable=True), node("c")]
    decision = decide([stored(pod("x", nodeSelector={"disk": "ssd"}))], nodes)[0]
    assert decision.node is None
    assert decision.why == (
        "0/3 nodes are available: 1 not ready, 1 unschedulable, 3 without the labels of the pod's nodeSelector."
    )
    assert decide([stored(pod("x"))], [])[0].why == "0/0 nodes are available."


def test_the_decision_becomes_a_condition_and_saying_it_again_changes_nothing() -> None:
    waiting = scheduled(decide([stored(pod("x"))], [])[0], "t0")
    assert waiting["status"]["conditions"][0]["reason"] == "Unschedulable"
    assert scheduled(decide([waiting], [])[0], "t1") is waiting
    bound = scheduled(decide([waiting], [node("a")])[0], "t2")
    assert bound["spec"]["nodeName"] == "a"
    assert bound["status"]["conditions"] == [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "t2"}]
    assert "nodeName" not in waiting["spec"]


def demo_api() -> LabApi:
    api = new_api()
    api.create(NAMESPACES, {"metadata": {"name": "demo"}})
    return api


def node_of(api: LabApi, name: str) -> Any:
    return api.get(PODS, name, "demo")["spec"].get("nodeName")


def test_a_pod_is_bound_before_its_creation_returns() -> None:
    api = demo_api()
    api.create(NODES, node("a"))
    api.create(PODS, pod("x"))
    assert node_of(api, "x") == "a"
    events, _ = api.events(PODS, 0)
    assert [(event.type, event.object["spec"].get("nodeName")) for event in events] == [
        ("ADDED", None),
        ("MODIFIED", "a"),
    ]


def test_a_waiting_pod_is_bound_when_a_node_becomes_ready() -> None:
    api = demo_api()
    api.create(NODES, node("a", ready="False"))
    api.create(PODS, pod("x"))
    assert node_of(api, "x") is None
    api.replace(NODES, node("a"), "status")
    assert node_of(api, "x") == "a"


def test_a_named_node_is_respected_even_when_it_is_not_there() -> None:
    api = demo_api()
    api.create(NODES, node("a"))
    api.create(PODS, pod("x", node="ghost"))
    assert node_of(api, "x") == "ghost"


def test_a_pod_that_is_being_deleted_is_not_placed_any_more() -> None:
    api = demo_api()
    held = pod("x")
    held["metadata"]["finalizers"] = ["hold"]
    api.create(PODS, held)
    api.delete(PODS, "x", "demo", DeleteOptions(grace=0))
    api.create(NODES, node("a"))
    assert node_of(api, "x") is None
