"""Where pods go: on the ready node with the fewest pods that the pod's nodeSelector and tolerations allow.

Pure; `handle.LabApi` asks after every change of a pod or a node. Source: Kubernetes "Assigning Pods to Nodes",
"Taints and Tolerations".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.api.errors import Obj
from lab.api.printers import dig, node_ready


@dataclass(frozen=True, slots=True)
class Decision:
    """For one pending pod: the node it runs on, or None and why there is none."""

    pod: Obj
    node: str | None
    why: str = ""


def decide(pods: Iterable[Obj], nodes: Sequence[Obj]) -> list[Decision]:
    """A decision for every pod that waits for a node, the longest waiting first."""
    pods = list(pods)
    waiting = sorted((pod for pod in pods if is_waiting(pod)), key=_seniority)
    load = Counter(name for pod in pods if _is_running(pod) and (name := dig(pod, "spec.nodeName")))
    decisions = []
    for pod in waiting:
        node = min(_fitting(pod, nodes), key=lambda name: (load[name], name), default=None)
        load.update([node] if node else [])
        decisions.append(Decision(pod, node, "" if node else _why(pod, nodes)))
    return decisions


def is_waiting(pod: Obj) -> bool:
    return not dig(pod, "spec.nodeName") and not dig(pod, "metadata.deletionTimestamp") and _is_running(pod)


def scheduled(decision: Decision, now: str) -> Obj:
    """The pod as the decision leaves it: bound to its node, or with a condition that says why not."""
    pod, status = decision.pod, decision.pod.get("status") or {}
    condition = {"type": "PodScheduled", "status": "True" if decision.node else "False"}
    condition |= {} if decision.node else {"reason": "Unschedulable", "message": decision.why}
    others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    if any(condition.items() <= c.items() for c in status.get("conditions") or ()):
        return pod
    status = status | {"conditions": [*others, condition | {"lastTransitionTime": now}]}
    spec = pod["spec"] | ({"nodeName": decision.node} if decision.node else {})
    return pod | {"spec": spec, "status": status}


def _fitting(pod: Obj, nodes: Sequence[Obj]) -> list[str]:
    ready = [node for node in nodes if node_ready(node) == "Ready" and not dig(node, "spec.unschedulable")]
    return [node["metadata"]["name"] for node in ready if _selects(pod, node) and not _untolerated(pod, node)]


def _selects(pod: Obj, node: Obj) -> bool:
    wanted = dig(pod, "spec.nodeSelector") or {}
    return bool(wanted.items() <= (dig(node, "metadata.labels") or {}).items())


def _untolerated(pod: Obj, node: Obj) -> list[Obj]:
    """The taints that keep a new pod away from the node."""
    taints = [taint for taint in dig(node, "spec.taints") or () if taint["effect"] in ("NoSchedule", "NoExecute")]
    return [taint for taint in taints if not any(_tolerates(t, taint) for t in dig(pod, "spec.tolerations") or ())]


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    """An empty effect or key stands for all of them."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    value = toleration.get("value", "")
    return bool(toleration["key"] == taint["key"] and (exists or value == taint.get("value", "")))


def _why(pod: Obj, nodes: Sequence[Obj]) -> str:
    away = sum(1 for node in nodes if node_ready(node) != "Ready")
    cordoned = sum(1 for node in nodes if dig(node, "spec.unschedulable"))
    other = sum(1 for node in nodes if not _selects(pod, node))
    tainted = sum(1 for node in nodes if _untolerated(pod, node))
    reasons = (
        (away, "not ready"),
        (cordoned, "unschedulable"),
        (other, "without the labels of the pod's nodeSelector"),
        (tainted, "with a taint that the pod does not tolerate"),
    )
    listed = ", ".join(f"{count} {reason}" for count, reason in reasons if count)
    return f"0/{len(nodes)} nodes are available" + (f": {listed}." if listed else ".")


def _is_running(pod: Obj) -> bool:
    return dig(pod, "status.phase") not in ("Succeeded", "Failed")


def _seniority(pod: Obj) -> int:
    return int(pod["metadata"]["resourceVersion"])
