"""What a kubelet reports: Node and Pod status and Events, as pure functions from facts to objects.

Source: Kubernetes API reference, core/v1 NodeStatus, PodStatus, ContainerStatus, Event.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab import names
from lab.names import Family, Underlay
from lab.pods import ContainerState

Obj = dict[str, Any]

ADD_MS = "lab.weft.dev/cni-add-ms"
"""Annotation of a pod: how long its CNI ADD took, from starting the executable to its exit, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that does not run, and why (ContainerStateWaiting)."""

    reason: str
    message: str


Reported = ContainerState | Waiting


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the kubelet knows about one pod. `containers` is by name, in the order of the specification."""

    node_ips: tuple[str, ...]
    pod_ips: tuple[str, ...]
    started: datetime
    containers: Mapping[str, Reported]


def node_object(number: int, family: Family, lab: str) -> Obj:
    """The Node as a kubelet registers it: not ready, its network unavailable."""
    name = names.node_name(number)
    cidrs = [str(cidr) for cidr in names.pod_cidrs(number, family)]
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", names.LAB: lab}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
    }


def node_ips(number: int, family: Family) -> tuple[str, ...]:
    return tuple(str(i.address) for i in names.host_interfaces(Underlay.MANAGEMENT, number, family))


def node_status(number: int, family: Family, now: datetime) -> Obj:
    """The first status of a Node; `with_readiness` keeps it current."""
    internal = [{"type": "InternalIP", "address": address} for address in node_ips(number, family)]
    status: Obj = {
        "addresses": [*internal, {"type": "Hostname", "address": names.node_name(number)}],
        "capacity": {"pods": "250"},
        "allocatable": {"pods": "250"},
        "nodeInfo": {
            "kubeletVersion": "weft-lab",
            "containerRuntimeVersion": "weft-lab://1",
            "kernelVersion": platform.release(),
            "osImage": "network namespace",
            "operatingSystem": "linux",
            "architecture": platform.machine(),
        },
    }
    return with_readiness(status, "the agent has not answered yet", now)


def with_readiness(status: Obj, why_not: str | None, now: datetime, *, beats: bool = False) -> Obj:
    """`status` with the conditions that say whether the node's network works, and if not, why not.

    Unchanged if they say so already, unless it `beats`: then they also say that the node was alive at this time.
    """
    ready, why = why_not is None, why_not or ""
    wanted: tuple[Obj, ...] = (
        _condition("Ready", ready, "NetworkReady" if ready else "NetworkPluginNotReady", why),
        _condition("NetworkUnavailable", not ready, "WeftIsUp" if ready else "WeftIsDown", why),
    )
    if beats:
        wanted = tuple({**condition, "lastHeartbeatTime": timestamp(now)} for condition in wanted)
    return {**status, "conditions": _merged(status.get("conditions") or (), wanted, now)}


def pod_status(pod: Obj, facts: PodFacts, now: datetime) -> Obj:
    """The pod's status with everything a kubelet reports; conditions keep the time of their last change."""
    policy = (pod.get("spec") or {}).get("restartPolicy", "Always")
    phase = pod_phase(policy, tuple(facts.containers.values()))
    old = pod.get("status") or {}
    ready = phase == "Running" and all(_runs(state) for state in facts.containers.values())
    wanted = [_condition(kind, True, "", "") for kind in ("PodReadyToStartContainers", "Initialized")]
    why = "" if ready else "ContainersNotReady"
    wanted += [_condition(kind, ready, why, "") for kind in ("ContainersReady", "Ready")]
    return {
        **old,
        "phase": phase,
        "conditions": _merged(old.get("conditions") or (), wanted, now),
        "hostIP": facts.node_ips[0],
        "hostIPs": [{"ip": address} for address in facts.node_ips],
        "podIP": facts.pod_ips[0],
        "podIPs": [{"ip": address} for address in facts.pod_ips],
        "startTime": timestamp(facts.started),
        "containerStatuses": [_container_status(pod, name, state) for name, state in facts.containers.items()],
    }


def pod_phase(restart_policy: str, containers: Sequence[Reported]) -> str:
    """Pod lifecycle: over when every container has ended and none is to be started again."""
    if any(isinstance(state, Waiting) for state in containers):
        return "Pending"
    codes = [state.exit_code for state in containers if isinstance(state, ContainerState)]
    over = [code for code in codes if code is not None and not restarts(restart_policy, code)]
    if len(over) < len(codes) or not codes:
        return "Running"
    return "Failed" if any(over) else "Succeeded"


def restarts(restart_policy: str, exit_code: int) -> bool:
    """Whether a container that ended so is started again."""
    return restart_policy == "Always" or (restart_policy == "OnFailure" and exit_code != 0)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth an Event: `warning` or not, a CamelCase reason, a sentence."""

    reason: str
    message: str
    warning: bool = True


def event_object(pod: Obj, happening: Happening, node: str, now: datetime) -> Obj:
    """An Event about a pod. The same thing happening again has the same name, so it can be counted."""
    meta = pod["metadata"]
    about = f"{meta['uid']} {happening.reason} {happening.message}"
    digest = hashlib.blake2s(about.encode(), digest_size=8).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name'][:200]}.{digest}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": "Warning" if happening.warning else "Normal",
        "reason": happening.reason,
        "message": happening.message,
        "source": {"component": "kubelet", "host": node},
        "reportingComponent": "kubelet",
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
    }


def counted(event: Obj, now: datetime) -> Obj:
    """The same event, seen once more."""
    return {**event, "count": event.get("count", 1) + 1, "lastTimestamp": timestamp(now)}


def key_of(pod: Obj) -> str:
    """`<namespace>/<name>`."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def timestamp(moment: datetime) -> str:
    """A meta/v1 Time: RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(kind: str, holds: bool, reason: str, message: str) -> Obj:
    condition = {"type": kind, "status": "True" if holds else "False"}
    return condition | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def _merged(old: Sequence[Obj], wanted: Sequence[Obj], now: datetime) -> list[Obj]:
    """`old` with the wanted conditions in their places; a condition that holds as before keeps its time."""
    merged = {condition["type"]: condition for condition in old}
    for condition in wanted:
        before = merged.get(condition["type"], {})
        same = before.get("status") == condition["status"]
        since = before.get("lastTransitionTime") if same else None
        merged[condition["type"]] = {**condition, "lastTransitionTime": since or timestamp(now)}
    return list(merged.values())


def _runs(state: Reported) -> bool:
    return isinstance(state, ContainerState) and state.running


def _container_status(pod: Obj, name: str, state: Reported) -> Obj:
    image = next((c.get("image", "") for c in pod["spec"]["containers"] if c["name"] == name), "")
    restarted = state.restarts if isinstance(state, ContainerState) else 0
    return {
        "name": name,
        "image": image,
        "imageID": "",
        "ready": _runs(state),
        "started": _runs(state),
        "restartCount": restarted,
        "state": _state(state),
    }


def _state(state: Reported) -> Obj:
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, "message": state.message}}
    if state.exit_code is None or state.finished is None:
        return {"running": {"startedAt": timestamp(state.started)}}
    return {
        "terminated": {
            "exitCode": state.exit_code,
            "reason": "Error" if state.exit_code else "Completed",
            "startedAt": timestamp(state.started),
            "finishedAt": timestamp(state.finished),
        }
    }
