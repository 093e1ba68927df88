"""Which kinds Weft reads, where the API serves them and how each is parsed: one line per kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from kube.lease import Lease, parse_lease
from kube.netpol import NetworkPolicy, parse_network_policy
from kube.objects import Namespace, Node, Object, Pod, parse_namespace, parse_node, parse_pod

T_co = TypeVar("T_co", bound=Object, covariant=True)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T_co]):
    """A kind as the API serves it. `prefix` is `/api/v1` or `/apis/<group>/<version>`."""

    kind: str
    prefix: str
    plural: str
    namespaced: bool
    parse: Callable[[bytes | msgspec.Raw], T_co]

    def path(self, name: str = "", namespace: str = "") -> str:
        """The URL path of one object, or of all of them (in `namespace`, or everywhere) without a name."""
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        one = f"/{quote(name, safe='')}" if name else ""
        return f"{self.prefix}{scope}/{self.plural}{one}"


NODES: Resource[Node] = Resource("Node", "/api/v1", "nodes", False, parse_node)
NAMESPACES: Resource[Namespace] = Resource("Namespace", "/api/v1", "namespaces", False, parse_namespace)
PODS: Resource[Pod] = Resource("Pod", "/api/v1", "pods", True, parse_pod)
NETWORK_POLICIES: Resource[NetworkPolicy] = Resource(
    "NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies", True, parse_network_policy
)
LEASES: Resource[Lease] = Resource("Lease", "/apis/coordination.k8s.io/v1", "leases", True, parse_lease)
