"""What the lab's kubelet reports about nodes, pods and failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab import status
from lab.names import Family
from lab.pods import ContainerState
from lab.status import Happening, PodFacts, Waiting

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
RUNS = ContainerState(NOW)
DONE = ContainerState(NOW, LATER, exit_code=0)
CRASHED = ContainerState(NOW, LATER, exit_code=3)
STUCK = Waiting("CreateContainerError", "no such image")


def _pod(policy: str = "Always", **status: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "shop", "uid": "u1"}
    spec = {"restartPolicy": policy, "containers": [{"name": "c", "image": "agnhost"}]}
    return {"metadata": meta, "spec": spec, "status": status}


def _facts(state: status.Reported = RUNS) -> PodFacts:
    return PodFacts(("198.18.0.1",), ("10.244.1.2", "fd57:244:0:1::2"), NOW, {"c": state})


def _conditions(status: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status["conditions"]}


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [RUNS], "Running"),
        ("Always", [CRASHED], "Running"),
        ("Always", [DONE], "Running"),
        ("OnFailure", [DONE], "Succeeded"),
        ("OnFailure", [CRASHED], "Running"),
        ("Never", [DONE], "Succeeded"),
        ("Never", [CRASHED], "Failed"),
        ("Never", [DONE, CRASHED], "Failed"),
        ("Never", [RUNS, CRASHED], "Running"),
        ("Always", [RUNS, STUCK], "Pending"),
    ],
)
def test_the_phase_follows_from_the_containers(policy: str, states: list[status.Reported], phase: str) -> None:
    assert status.pod_phase(policy, states) == phase


def test_a_running_pod_is_ready_and_has_its_addresses() -> None:
    found = status.pod_status(_pod(), _facts(), NOW)
    assert found["phase"] == "Running"
    assert _conditions(found)["Ready"] == "True"
    assert (found["podIP"], found["hostIP"]) == ("10.244.1.2", "198.18.0.1")
    assert found["podIPs"] == [{"ip": "10.244.1.2"}, {"ip": "fd57:244:0:1::2"}]
    assert found["startTime"] == "2026-01-02T03:04:05Z"


def test_a_pod_with_a_stuck_container_is_not_ready_and_says_why() -> None:
    found = status.pod_status(_pod(), _facts(STUCK), NOW)
    assert _conditions(found)["Ready"] == "False"
    assert found["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "CreateContainerError", "message": "no such image"}
    }


def test_a_crashed_container_shows_its_exit_code() -> None:
    found = status.pod_status(_pod("Never"), _facts(CRASHED), LATER)
    ended = found["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")


def test_reporting_the_same_again_changes_nothing() -> None:
    first = status.pod_status(_pod(), _facts(), NOW)
    assert status.pod_status(_pod(**first), _facts(), LATER) == first


def test_a_condition_that_changes_has_a_new_time_and_the_others_keep_theirs() -> None:
    first = status.pod_status(_pod(), _facts(), NOW)
    second = status.pod_status(_pod(**first), _facts(STUCK), LATER)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times["Ready"] == status.timestamp(LATER)
    assert times["Initialized"] == status.timestamp(NOW)


def test_conditions_of_others_are_kept() -> None:
    scheduled = {"type": "PodScheduled", "status": "True"}
    found = status.pod_status(_pod(conditions=[scheduled]), _facts(), NOW)
    assert scheduled in found["conditions"]


def test_a_new_node_has_its_cidrs_and_addresses_and_is_not_ready() -> None:
    node = status.node_object(2, Family.DUAL, "lab")
    assert node["spec"] == {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24", "fd57:244:0:2::/64"]}
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node2"
    first = status.node_status(2, Family.DUAL, NOW)
    assert [a["address"] for a in first["addresses"]] == ["198.18.0.2", "fd57:e0::2", "node2"]
    assert _conditions(first) == {"Ready": "False", "NetworkUnavailable": "True"}


def test_readiness_turns_both_conditions_and_says_why_not() -> None:
    first = status.node_status(2, Family.IPV4, NOW)
    ready = status.with_readiness(first, None, LATER)
    assert _conditions(ready) == {"Ready": "True", "NetworkUnavailable": "False"}
    broken = status.with_readiness(ready, "no OVS", LATER)
    assert {c["message"] for c in broken["conditions"]} == {"no OVS"}


def test_a_node_that_beats_says_when_it_was_alive_and_since_when_it_is_ready() -> None:
    ready = status.with_readiness(status.node_status(2, Family.IPV4, NOW), None, NOW, beats=True)
    later = status.with_readiness(ready, None, LATER, beats=True)
    assert {c["lastHeartbeatTime"] for c in later["conditions"]} == {status.timestamp(LATER)}
    assert {c["lastTransitionTime"] for c in later["conditions"]} == {status.timestamp(NOW)}


def test_a_pod_is_named_by_namespace_and_name() -> None:
    assert status.key_of(_pod()) == "shop/web"


def test_the_same_event_again_has_the_same_name_and_is_counted() -> None:
    happening = Happening("FailedCreatePodSandBox", "CNI ADD: no address left")
    first = status.event_object(_pod(), happening, "node1", NOW)
    again = status.event_object(_pod(), happening, "node1", LATER)
    assert first["metadata"]["name"] == again["metadata"]["name"]
    counted = status.counted(first, LATER)
    assert (counted["count"], counted["firstTimestamp"]) == (2, first["firstTimestamp"])
    other = status.event_object(_pod(), Happening("Failed", "CNI ADD: no address left"), "node1", NOW)
    assert other["metadata"]["name"] != first["metadata"]["name"]
