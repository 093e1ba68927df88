"""Kubernetes objects as far as they matter to Weft: fields are chosen, not left out. Pure.

A Pod's environment, command, volumes and annotations are nobody's business here, and `last-applied-configuration` has
all of them again. Secrets are never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Obj = Mapping[str, Any]

_OURS = ("weft.dev/", "lab.weft.dev/")
_META = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels",
)  # fmt: skip
_CONTAINER = ("name", "image", "ports")
_CONTAINER_STATUS = ("name", "image", "ready", "restartCount", "state", "lastState")
_POD_STATUS = ("phase", "reason", "message", "podIP", "podIPs", "hostIP", "hostIPs", "conditions", "startTime")
_EVENT = (
    "reason", "message", "type", "count", "firstTimestamp", "lastTimestamp", "eventTime", "involvedObject", "source",
    "reportingComponent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """Objects to collect: the name of their file, where the API lists them, and what is kept of each: None drops it.
    `{namespace}` in a path stands for the one that Weft is installed in."""

    file: str
    path: str
    keep: Callable[[Obj], Obj | None]


def _some(given: Any, *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if given and given.get(name) is not None}


def _meta(obj: Obj) -> dict[str, Any]:
    """Name, labels and the like; annotations are Weft's only."""
    given = obj.get("metadata") or {}
    annotations = given.get("annotations") or {}
    ours = {key: value for key, value in annotations.items() if key.startswith(_OURS)}
    return {"metadata": _some(given, *_META) | ({"annotations": ours} if ours else {})}


def namespace(obj: Obj) -> Obj:
    return _meta(obj) | {"status": _some(obj.get("status"), "phase")}


def node(obj: Obj) -> Obj:
    spec = _some(obj.get("spec"), "podCIDR", "podCIDRs", "unschedulable", "taints")
    status = _some(obj.get("status"), "addresses", "conditions", "nodeInfo", "capacity", "allocatable")
    return _meta(obj) | {"spec": spec, "status": status}


def pod(obj: Obj) -> Obj:
    given, said = obj.get("spec") or {}, obj.get("status") or {}
    spec = _some(given, "nodeName", "hostNetwork", "serviceAccountName", "priorityClassName", "tolerations")
    status = _some(
        said, "phase", "reason", "message", "podIP", "podIPs", "hostIP", "hostIPs", "conditions", "startTime"
    )
    for name in ("containers", "initContainers"):
        spec[name] = [_some(each, *_CONTAINER) for each in given.get(name) or ()]
    for name in ("containerStatuses", "initContainerStatuses"):
        status[name] = [_some(each, *_CONTAINER_STATUS) for each in said.get(name) or ()]
    return _meta(obj) | {"spec": spec, "status": status}


def whole_spec(obj: Obj) -> Obj:
    """Of kinds whose specification is all about the network."""
    return _meta(obj) | _some(obj, "spec")


def workload(obj: Obj) -> Obj:
    """A Deployment or DaemonSet, without its template but for the images."""
    given = obj.get("spec") or {}
    template = ((given.get("template") or {}).get("spec")) or {}
    spec = _some(given, "replicas", "updateStrategy", "strategy", "minReadySeconds", "selector")
    images = {name: [_some(each, "name", "image") for each in template.get(name) or ()] for name in
              ("containers", "initContainers")}  # fmt: skip
    return _meta(obj) | {"spec": spec | images} | _some(obj, "status")


def config_map(obj: Obj) -> Obj | None:
    """The settings of Weft's daemons."""
    name = str((obj.get("metadata") or {}).get("name", ""))
    return _meta(obj) | _some(obj, "data") if name in ("weft-agent", "weft-controller") else None


def event(obj: Obj) -> Obj | None:
    """Events that Weft sent, about Nodes, or about Weft's own pods and workloads."""
    about = obj.get("involvedObject") or {}
    sender = f"{obj.get('reportingComponent', '')}{(obj.get('source') or {}).get('component', '')}"
    named = str(about.get("name", "")).startswith("weft-")
    return _meta(obj) | _some(obj, *_EVENT) if "weft" in sender or about.get("kind") == "Node" or named else None


KINDS = (
    Kind("nodes", "/api/v1/nodes", node),
    Kind("namespaces", "/api/v1/namespaces", namespace),
    Kind("pods", "/api/v1/pods", pod),
    Kind("networkpolicies", "/apis/networking.k8s.io/v1/networkpolicies", whole_spec),
    Kind("events", "/api/v1/events", event),
)
"""What Weft reads, and what it says of it."""
INSTALLED = (
    Kind("leases", "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", whole_spec),
    Kind("daemonsets", "/apis/apps/v1/namespaces/{namespace}/daemonsets", workload),
    Kind("deployments", "/apis/apps/v1/namespaces/{namespace}/deployments", workload),
    Kind("configmaps", "/api/v1/namespaces/{namespace}/configmaps", config_map),
)
"""What Weft itself consists of, in a cluster."""
