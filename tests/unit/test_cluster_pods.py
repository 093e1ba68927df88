"""Which pods a cluster's nodes are asked in, and what is said of those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from cli.cluster.execute import Container, reason
from cli.cluster.pods import Host, controllers, health_port, hosts
from cli.view import Silent

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}
READY = {"type": "Ready", "status": "True"}


def pod(name: str, component: str, node: str, state: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod with one container of its component; without a state, no kubelet has told of it."""
    container = f"weft-{component}"
    labels = {"app.kubernetes.io/component": component}
    statuses = [] if state is None else [{"name": container, "state": state}]
    conditions = [READY] if state == RUNNING else []
    return {
        "metadata": {"name": name, "namespace": "weft-system", "labels": labels, **metadata},
        "spec": {"nodeName": node, "containers": [{"name": container, "args": ["--config=/etc/weft/agent.yaml"]}]},
        "status": {"phase": "Running", "containerStatuses": statuses, "conditions": conditions},
    }


def host(node: str, name: str, container: str = "weft-agent") -> Host:
    return Host(node, Container("weft-system", name, container), "/etc/weft/agent.yaml")


def test_each_node_is_asked_in_its_agent() -> None:
    pods = [pod("b", "agent", "n2", RUNNING), pod("a", "agent", "n1", RUNNING), pod("c", "controller", "n1", RUNNING)]
    assert hosts(pods) == ((host("n1", "a"), host("n2", "b")), ())


def test_without_an_agent_open_vswitchs_own_pod_will_do() -> None:
    pods = [pod("a", "agent", "n1", CRASHED), pod("o", "ovs", "n1", RUNNING)]
    assert hosts(pods) == ((host("n1", "o", "weft-ovs"),), ())


def test_an_agent_is_preferred() -> None:
    pods = [pod("o", "ovs", "n1", RUNNING), pod("a", "agent", "n1", RUNNING)]
    assert hosts(pods)[0] == (host("n1", "a"),)


def test_a_pod_that_stays_is_preferred_to_one_that_goes() -> None:
    pods = [
        pod("a", "agent", "n1", RUNNING, deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("b", "agent", "n1", RUNNING),
    ]
    assert hosts(pods)[0] == (host("n1", "b"),)


def test_a_node_where_nothing_runs_is_named_with_the_reason() -> None:
    found, silent = hosts([pod("a", "agent", "n1", CRASHED), pod("b", "agent", "n2", RUNNING)])
    assert [each.node for each in found] == ["n2"]
    why = "pod a: container weft-agent: CrashLoopBackOff: back-off 5m0s restarting failed container"
    assert silent == (Silent("n1", why),)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"phase": "Pending"}, "pod a: it is Pending and not ready"),
        ({}, "pod a: it is not known to a kubelet yet and not ready"),
        (
            {"phase": "Pending", "initContainerStatuses": [{"name": "weft-install", "state": CRASHED}]},
            "pod a: container weft-install: CrashLoopBackOff: back-off 5m0s restarting failed container",
        ),
    ],
)
def test_why_a_pod_does_not_run(status: dict[str, Any], why: str) -> None:
    assert hosts([pod("a", "agent", "n1") | {"status": status}])[1] == (Silent("n1", why),)


def test_a_pod_without_a_node_is_nobodys() -> None:
    assert hosts([pod("a", "agent", "")]) == ((), ())


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"args": ["--config", "/x"]}, "/x"),
        ({"command": ["weft-agent", "--config=/y"]}, "/y"),
        ({"args": ["--mtu=1400"]}, ""),
        ({}, ""),
    ],
)
def test_where_the_agents_settings_are(given: dict[str, Any], settings: str) -> None:
    made = pod("a", "agent", "n1", RUNNING)
    made["spec"]["containers"] = [{"name": "weft-agent", **given}]
    assert hosts([made])[0][0].settings == settings


def test_controllers_and_what_is_wrong_with_them() -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    waiting = pod("c2", "controller", "") | {"status": {"phase": "Pending", "conditions": [unschedulable]}}
    one, two = controllers([waiting, pod("c1", "controller", "n1", RUNNING), pod("a", "agent", "n1", RUNNING)])
    assert (one.name, one.node, one.problems) == ("c1", "n1", ())
    assert (two.name, two.problems) == ("c2", ("it is Pending and not ready: 0/1 nodes are available",))


def test_the_port_on_which_a_controller_tells_of_its_health() -> None:
    made = pod("c1", "controller", "n1", RUNNING)
    assert health_port([made], "c1") == 0
    made["spec"]["containers"][0]["ports"] = [
        {"name": "x", "containerPort": 1},
        {"name": "ctrl-health", "containerPort": 9440},
    ]
    assert (health_port([made], "c1"), health_port([made], "c2")) == (9440, 0)


def test_a_controller_may_be_in_its_agent_s_pod() -> None:
    made = pod("a1", "agent", "n1", RUNNING)
    made["spec"]["containers"][0]["ports"] = [{"name": "health", "containerPort": 9443}]
    made["spec"]["containers"].append(
        {"name": "weft-controller", "ports": [{"name": "ctrl-health", "containerPort": 9440}]}
    )
    (found,) = controllers([made, pod("o1", "ovs", "n1", RUNNING)])
    assert (found.name, found.node, found.problems) == ("a1", "n1", ())
    assert health_port([made], "a1") == 9440
    assert hosts([made]) == ((host("n1", "a1"),), ())


class _RefusedError(Exception):
    """As kubernetes' ApiException is."""

    def __init__(self, text: str, **of_cause: Any) -> None:
        self.reason = text
        self.__context__ = Exception()
        for name, value in of_cause.items():
            setattr(self.__context__, name, value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            _RefusedError("long", resp_body=b'{"message": "pods \\"x\\" is forbidden"}', status_code=403),
            'pods "x" is forbidden',
        ),
        (
            _RefusedError("long", resp_body=b"<html>", status_code=502, status_message="Bad Gateway"),
            "502 Bad Gateway",
        ),
        (_RefusedError("long", resp_body=None, status_code=403), "403"),
        (_RefusedError("[Errno 111]\nConnection refused"), "[Errno 111] Connection refused"),
    ],
)
def test_why_nothing_can_be_executed(error: Exception, words: str) -> None:
    assert reason(error) == words
