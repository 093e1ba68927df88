"""What Kubernetes knows of nodes and pods, for names and columns that a switch cannot tell.

A command works without it: then it shows what the switches know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from controller.policy.names import NO_POLICIES, PolicyNames, PolicyObjects
from kube import wire
from kube.annotations import NodeAnnotations
from kube.client import ApiClient
from kube.endpoint import Endpoint
from kube.errors import KubeError, ParseError
from kube.netpol import parse_network_policy
from kube.objects import IPAddress, IPNetwork, Pod, parse_namespace, parse_node, parse_pod
from kube.resources import NAMESPACES, NETWORK_POLICIES, NODES, PODS, Resource

T = TypeVar("T")

_LIST = msgspec.json.Decoder(wire.WireList)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A Node. `ready` is None while nobody has reported the condition."""

    name: str
    ready: bool | None
    pod_cidrs: tuple[IPNetwork, ...]
    mtu: int | None


@dataclass(frozen=True, slots=True)
class PodInfo:
    """A Pod that should have a port: it has a node, runs or is about to, and does not use the node's network."""

    key: str
    node: str
    ips: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """Nodes by name, pods by `<namespace>/<name>`, what policies are about (None where they cannot be read), and what
    could not be learned, in words."""

    nodes: Mapping[str, NodeInfo] = field(default_factory=dict)
    pods: Mapping[str, PodInfo] = field(default_factory=dict)
    objects: PolicyObjects | None = None
    problems: tuple[str, ...] = ()

    @property
    def policy(self) -> PolicyNames:
        """Names for what policies made."""
        return NO_POLICIES if self.objects is None else self.objects.names


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Status(msgspec.Struct, frozen=True):
    conditions: list[_Condition] | None = None


class _Conditioned(msgspec.Struct, frozen=True):
    """The part of a Node that the network itself has no use for."""

    status: _Status | None = None


def look_up(endpoint: Endpoint) -> Directory:
    """Everything the API at `endpoint` knows; an empty directory that says why when it does not answer."""
    api = ApiClient(endpoint)
    problems: list[str] = []
    try:
        nodes = [*_read(api, NODES, parse_node_info, problems)]
        pods = [*_read(api, PODS, parse_pod, problems)]
        objects = _policy_objects(api, pods, problems)
    except KubeError as e:
        return Directory(problems=(f"the Kubernetes API does not answer, so what it knows is missing: {e}",))
    finally:
        api.close()
    wired = [info for info in map(pod_info, pods) if info is not None]
    return Directory({node.name: node for node in nodes}, {pod.key: pod for pod in wired}, objects, tuple(problems))


def _policy_objects(api: ApiClient, pods: list[Pod], problems: list[str]) -> PolicyObjects | None:
    """What policies are about; None when the caller may not read policies, who may well read the rest."""
    try:
        namespaces = tuple(_read(api, NAMESPACES, parse_namespace, problems))
        policies = tuple(_read(api, NETWORK_POLICIES, parse_network_policy, problems))
    except KubeError as e:
        problems.append(f"policies cannot be read, so their flows have no names: {e}")
        return None
    return PolicyObjects(tuple(pods), namespaces, policies)


def parse_node_info(raw: bytes | msgspec.Raw) -> NodeInfo:
    """A Node from its JSON. Raises kube.errors.ParseError."""
    node = parse_node(raw)
    annotations = NodeAnnotations.parse(node.meta.name, node.meta.annotations)
    status = msgspec.json.decode(raw, type=_Conditioned).status
    conditions = (status.conditions if status else None) or ()
    ready = next((each.status == "True" for each in conditions if each.type == "Ready"), None)
    return NodeInfo(node.meta.name, ready, node.pod_cidrs, annotations.mtu)


def pod_info(pod: Pod) -> PodInfo | None:
    """What matters of a Pod here; None for one that needs no port."""
    if pod.host_network or pod.finished or not pod.node_name:
        return None
    return PodInfo(pod.meta.key, pod.node_name, pod.ips)


def _read(
    api: ApiClient, resource: Resource[Any], parse: Callable[[msgspec.Raw], T], problems: list[str]
) -> Iterator[T]:
    """Every object, page by page; one that cannot be read is a problem, not an end."""
    token: str | None = ""
    while token is not None:
        page = _LIST.decode(api.list_page(resource, token=token))
        for raw in page.items or ():
            try:
                yield parse(raw)
            except ParseError as e:
                problems.append(str(e))
        token = page.metadata.continue_token or None
