"""The Kubernetes objects Weft works with, as checked, frozen values.

An object is parsed once, here, at the border. What these types cannot say (a CIDR with host bits, two pod
addresses of one family) does not get past it: it is a `ParseError` that names object, field and value.

Sources: Kubernetes API reference, core/v1 (Node, Pod, Namespace); dual-stack rules from the "IPv4/IPv6
dual-stack" concept page: at most one CIDR or pod address per family.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol, TypeVar

import msgspec

from kube import wire
from kube.errors import ParseError as ParseError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
A = TypeVar("A", IPAddress, IPNetwork)

MIRROR = "kubernetes.io/config.mirror"
"""Annotation of the Pod that a kubelet makes of a static pod."""

PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
# kubectl apply's copy of the whole object: nobody reads it, and on many pods it would be most of the memory.
_UNREAD_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object has. `namespace` is "" on cluster-scoped kinds; `deleting`: deletion was asked."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created: datetime | None
    deleting: bool

    @property
    def key(self) -> str:
        """`name`, or `namespace/name`."""
        return wire.key(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Namespace:
    """core/v1 Namespace."""

    meta: Meta


@dataclass(frozen=True, slots=True)
class Node:
    """core/v1 Node. `pod_cidrs` has at most one network per family, none until the cluster assigns them."""

    meta: Meta
    pod_cidrs: tuple[IPNetwork, ...]
    internal_ips: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A container port that a policy or Service may call by name; `protocol` is TCP, UDP or SCTP."""

    name: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Pod:
    """core/v1 Pod. `node_name` is "" until scheduled; `ips` has at most one address per family."""

    meta: Meta
    node_name: str
    host_network: bool
    phase: str
    ips: tuple[IPAddress, ...]
    ports: tuple[NamedPort, ...]

    @property
    def finished(self) -> bool:
        """True once no container will run again: its address may already belong to another pod."""
        return self.phase in ("Succeeded", "Failed")

    def goes_by(self, uid: str) -> bool:
        """Whether it is the one that a runtime knows by a uid ("": it knows none), and not another of its name.

        A static pod's is that of its file, which the Pod that the kubelet makes of it says in MIRROR.
        """
        return not uid or uid in (self.meta.uid, self.meta.annotations.get(MIRROR))


class Object(Protocol):
    """An object of any kind."""

    @property
    def meta(self) -> Meta: ...


_NAMESPACE = msgspec.json.Decoder(wire.WireNamespace)
_NODE = msgspec.json.Decoder(wire.WireNode)
_POD = msgspec.json.Decoder(wire.WirePod)


def parse_namespace(raw: bytes | msgspec.Raw) -> Namespace:
    """A Namespace from its JSON. Raises ParseError."""
    return Namespace(meta_of("Namespace", wire.decode("Namespace", _NAMESPACE, raw).metadata))


def parse_node(raw: bytes | msgspec.Raw) -> Node:
    """A Node from its JSON; one without podCIDRs is valid: who needs them reports it. Raises ParseError."""
    node = wire.decode("Node", _NODE, raw)
    meta = meta_of("Node", node.metadata)
    fail = functools.partial(ParseError, "Node", meta.key)
    spec, status = node.spec or wire.NodeSpec(), node.status or wire.NodeStatus()
    addresses = enumerate(status.addresses or ())
    internal = [
        _address(fail, f"status.addresses[{index}].address", each.address)
        for index, each in addresses
        if each.type == "InternalIP"
    ]
    return Node(meta, _pod_cidrs(fail, spec), tuple(internal))


def parse_pod(raw: bytes | msgspec.Raw) -> Pod:
    """A Pod from its JSON. Raises ParseError."""
    pod = wire.decode("Pod", _POD, raw)
    meta = meta_of("Pod", pod.metadata)
    fail = functools.partial(ParseError, "Pod", meta.key)
    if not meta.namespace:
        raise fail("metadata.namespace", "", "a Pod always belongs to a namespace")
    spec, status = pod.spec or wire.PodSpec(), pod.status or wire.PodStatus()
    return Pod(
        meta=meta,
        node_name=spec.node_name or "",
        host_network=bool(spec.host_network),
        phase=status.phase or "Pending",
        ips=_pod_ips(fail, status),
        ports=_named_ports(fail, spec),
    )


Fail = Callable[[str, object, str], ParseError]


def meta_of(kind: str, meta: wire.WireMeta) -> Meta:
    """An object's metadata. Raises ParseError when it has no name."""
    if not meta.name:
        unnamed = wire.key(meta.namespace, "(unnamed)")
        raise ParseError(kind, unnamed, "metadata.name", "", "a name is required")
    annotations = meta.annotations or {}
    return Meta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        labels=meta.labels or {},
        annotations={name: text for name, text in annotations.items() if name != _UNREAD_ANNOTATION},
        created=meta.creation_timestamp,
        deleting=meta.deletion_timestamp is not None,
    )


def _pod_cidrs(fail: Fail, spec: wire.NodeSpec) -> tuple[IPNetwork, ...]:
    if spec.pod_cidrs:
        named = [(f"spec.podCIDRs[{index}]", text) for index, text in enumerate(spec.pod_cidrs)]
    else:
        named = [("spec.podCIDR", spec.pod_cidr)] if spec.pod_cidr else []
    networks = [_network(fail, field, text) for field, text in named]
    return _one_per_family(fail, "spec.podCIDRs", networks)


def _pod_ips(fail: Fail, status: wire.PodStatus) -> tuple[IPAddress, ...]:
    if status.pod_ips:
        named = [(f"status.podIPs[{index}].ip", each.ip) for index, each in enumerate(status.pod_ips)]
    else:
        named = [("status.podIP", status.pod_ip)] if status.pod_ip else []
    return _one_per_family(fail, "status.podIPs", [_address(fail, field, text) for field, text in named])


def _named_ports(fail: Fail, spec: wire.PodSpec) -> tuple[NamedPort, ...]:
    """Named ports of all long-running containers: a restarting init container is a sidecar and serves too."""
    sidecars = [each for each in spec.init_containers or () if each.restart_policy == "Always"]
    wires = [port for each in (*(spec.containers or ()), *sidecars) for port in each.ports or ()]
    return tuple(_named_port(fail, port) for port in wires if port.name)


def _named_port(fail: Fail, port: wire.WirePort) -> NamedPort:
    field = f"spec.containers[].ports[{port.name}]"
    if not 1 <= port.container_port <= 65535:
        raise fail(f"{field}.containerPort", port.container_port, "a port is 1 to 65535")
    if port.protocol not in PROTOCOLS:
        raise fail(f"{field}.protocol", port.protocol, "a protocol is TCP, UDP or SCTP")
    return NamedPort(port.name, port.container_port, port.protocol)


def _address(fail: Fail, field: str, text: str) -> IPAddress:
    try:
        address = ip_address(text)
    except ValueError:
        raise fail(field, text, "not an IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise fail(field, text, f"an address without a zone is needed: remove %{address.scope_id}")
    return address


def _network(fail: Fail, field: str, text: str) -> IPNetwork:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise fail(field, text, "not a network such as 10.244.1.0/24 or fd00:244:1::/64") from None
    if "/" not in text or _address(fail, field, text.split("/")[0]) != network.network_address:
        raise fail(field, text, f"not the address of a network; did you mean {network}?")
    if network.prefixlen == 0 or network.is_multicast or network.is_loopback:
        raise fail(field, text, "pods cannot have these addresses; give a private range")
    return network


def _one_per_family(fail: Fail, field: str, found: Sequence[A]) -> tuple[A, ...]:
    if len({each.version for each in found}) != len(found):
        raise fail(field, [str(each) for each in found], "at most one per family: one IPv4 and one IPv6")
    return tuple(found)
