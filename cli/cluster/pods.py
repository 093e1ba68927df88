"""Weft's pods, from the API's JSON: which node has its agent where, and how the controllers are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cli.cluster.execute import Container
from cli.view import ControllerPlace, Silent

Obj = dict[str, Any]

LABEL = "app.kubernetes.io/name=weft"
_COMPONENT = "app.kubernetes.io/component"
_CONTAINERS = {"agent": "weft-agent", "ovs": "weft-ovs"}
"""The container of each component that has what a node is asked with. Of Open vSwitch's it is what is left when the
agent does not run: of the same image, with the same sockets, on the node's network."""

_CONTROLLER, _HEALTH = "weft-controller", "ctrl-health"
"""Container of a controller, and the name of its port for health, as the chart calls them."""


@dataclass(frozen=True, slots=True)
class Host:
    """A node, a container on it to ask in, and the path of the agent's settings in there, "" where it has none."""

    node: str
    container: Container
    settings: str = ""


def hosts(pods: Iterable[Obj]) -> tuple[tuple[Host, ...], tuple[Silent, ...]]:
    """Where to ask each node, and the nodes that cannot be asked, with the reason."""
    by_node: dict[str, list[Obj]] = {}
    for pod in pods:
        if _component(pod) in _CONTAINERS and node_of(pod):
            by_node.setdefault(node_of(pod), []).append(pod)
    found: list[Host] = []
    silent: list[Silent] = []
    for node, several in sorted(by_node.items()):
        candidates = sorted(several, key=lambda pod: (_component(pod), bool(_leaving(pod)), _name(pod)))
        running = next((pod for pod in candidates if _runs(pod)), None)
        if running is None:
            silent.append(Silent(node, "; ".join(filter(None, map(_why, candidates)))))
        else:
            found.append(_host(node, running))
    return tuple(found), tuple(silent)


def controllers(pods: Iterable[Obj]) -> tuple[ControllerPlace, ...]:
    """The pods of controllers, their own or agents', and what the kubelet says is wrong with them."""
    mine = sorted((pod for pod in pods if any(map(_is_controller, _containers(pod)))), key=_name)
    return tuple(ControllerPlace(_name(pod), node_of(pod), problems=tuple(_troubles(pod))) for pod in mine)


def health_port(pods: Iterable[Obj], name: str) -> int:
    """The port on which the controller in this pod tells of its health; 0 when it names none."""
    containers = (each for pod in pods if _name(pod) == name for each in _containers(pod) if _is_controller(each))
    ports = (port for each in containers for port in each.get("ports") or ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == _HEALTH), 0)


def _containers(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("containers") or ())


def _is_controller(container: Obj) -> bool:
    return bool(container["name"] == _CONTROLLER)


def node_of(pod: Obj) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _component(pod: Obj) -> str:
    return str((pod["metadata"].get("labels") or {}).get(_COMPONENT, ""))


def _name(pod: Obj) -> str:
    return str(pod["metadata"]["name"])


def _leaving(pod: Obj) -> str:
    return str(pod["metadata"].get("deletionTimestamp") or "")


def _statuses(pod: Obj) -> list[Obj]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _runs(pod: Obj) -> bool:
    name = _CONTAINERS[_component(pod)]
    return any(each["name"] == name and "running" in (each.get("state") or {}) for each in _statuses(pod))


def _host(node: str, pod: Obj) -> Host:
    name = _CONTAINERS[_component(pod)]
    given: Obj = next((each for each in _containers(pod) if each["name"] == name), {})
    container = Container(pod["metadata"]["namespace"], _name(pod), name)
    return Host(node, container, _settings([*(given.get("command") or ()), *(given.get("args") or ())]))


def _settings(argv: list[str]) -> str:
    """The value of --config in a command line."""
    for at, word in enumerate(argv):
        if word.startswith("--config="):
            return word.removeprefix("--config=")
        if word == "--config" and at + 1 < len(argv):
            return argv[at + 1]
    return ""


def _why(pod: Obj) -> str:
    return f"pod {_name(pod)}: {'; '.join(_troubles(pod)) or 'its container does not run'}"


def _troubles(pod: Obj) -> Iterator[str]:
    """What keeps a pod from being ready, in the kubelet's words."""
    said = pod.get("status") or {}
    if _leaving(pod):
        yield "it is being deleted"
    waiting = [*_waiting(pod)]
    yield from waiting
    conditions = {each["type"]: each for each in said.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if waiting or _leaving(pod) or ready.get("status") == "True":
        return
    unscheduled = conditions.get("PodScheduled") or {}
    reason = unscheduled.get("message") or ready.get("message") or ready.get("reason")
    yield f"it is {said.get('phase') or 'not known to a kubelet yet'} and not ready{f': {reason}' if reason else ''}"


def _waiting(pod: Obj) -> Iterator[str]:
    """Containers that do not run."""
    said = pod.get("status") or {}
    for each in (*(said.get("initContainerStatuses") or ()), *(said.get("containerStatuses") or ())):
        for state in ("waiting", "terminated"):
            found = (each.get("state") or {}).get(state)
            if found and found.get("reason") not in ("Completed", "PodInitializing"):
                message = f": {found['message']}" if found.get("message") else ""
                yield f"container {each['name']}: {found.get('reason') or 'it has ended'}{message}"
