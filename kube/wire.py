"""The shapes of Kubernetes objects on the wire: only the fields Weft reads.

msgspec skips every other field without building an object for it, which is why a Pod costs microseconds here
and about a millisecond in the official models. These shapes are the parsers' alone: the rest of Weft sees
`kube.objects`. Every list and map may be null, because some clients write null for empty.

Source: Kubernetes API reference, core/v1, meta/v1, networking.k8s.io/v1 and coordination.k8s.io/v1.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeVar

import msgspec

from kube.errors import ParseError

T = TypeVar("T")
_PATH = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    """A wire shape: camelCase names, unknown fields skipped."""


class WireMeta(Shape, frozen=True):
    """meta/v1 ObjectMeta."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class WireNamespace(Shape, frozen=True):
    metadata: WireMeta


class NodeSpec(Shape, frozen=True):
    pod_cidr: str | None = msgspec.field(default=None, name="podCIDR")
    pod_cidrs: list[str] | None = msgspec.field(default=None, name="podCIDRs")


class NodeAddress(Shape, frozen=True):
    type: str
    address: str


class NodeStatus(Shape, frozen=True):
    addresses: list[NodeAddress] | None = None


class WireNode(Shape, frozen=True):
    metadata: WireMeta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class WirePort(Shape, frozen=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"


class WireContainer(Shape, frozen=True):
    ports: list[WirePort] | None = None
    restart_policy: str | None = None


class PodSpec(Shape, frozen=True):
    node_name: str | None = None
    host_network: bool | None = None
    containers: list[WireContainer] | None = None
    init_containers: list[WireContainer] | None = None


class WirePodIP(Shape, frozen=True):
    ip: str


class PodStatus(Shape, frozen=True):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[WirePodIP] | None = msgspec.field(default=None, name="podIPs")


class WirePod(Shape, frozen=True):
    metadata: WireMeta
    spec: PodSpec | None = None
    status: PodStatus | None = None


class WireRequirement(Shape, frozen=True):
    """meta/v1 LabelSelectorRequirement."""

    key: str
    operator: str
    values: list[str] | None = None


class WireSelector(Shape, frozen=True):
    """meta/v1 LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[WireRequirement] | None = None


class WireIPBlock(Shape, frozen=True):
    cidr: str
    except_: list[str] | None = msgspec.field(default=None, name="except")


class WirePeer(Shape, frozen=True):
    pod_selector: WireSelector | None = None
    namespace_selector: WireSelector | None = None
    ip_block: WireIPBlock | None = msgspec.field(default=None, name="ipBlock")


class WirePolicyPort(Shape, frozen=True):
    protocol: str | None = None
    port: int | str | None = None
    end_port: int | None = None


class WireIngress(Shape, frozen=True):
    from_: list[WirePeer] | None = msgspec.field(default=None, name="from")
    ports: list[WirePolicyPort] | None = None


class WireEgress(Shape, frozen=True):
    to: list[WirePeer] | None = None
    ports: list[WirePolicyPort] | None = None


class PolicySpec(Shape, frozen=True):
    pod_selector: WireSelector | None = None
    policy_types: list[str] | None = None
    ingress: list[WireIngress] | None = None
    egress: list[WireEgress] | None = None


class WirePolicy(Shape, frozen=True):
    """networking.k8s.io/v1 NetworkPolicy."""

    metadata: WireMeta
    spec: PolicySpec | None = None


class LeaseSpec(Shape, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class WireLease(Shape, frozen=True):
    """coordination.k8s.io/v1 Lease."""

    metadata: WireMeta
    spec: LeaseSpec | None = None


class AnyMeta(Shape, frozen=True):
    """The metadata of an object that may be broken: every field may be of any type."""

    name: object = ""
    namespace: object = ""
    resource_version: object = ""


class AnyObject(Shape, frozen=True):
    metadata: AnyMeta = AnyMeta()


class ListMeta(Shape, frozen=True):
    """meta/v1 ListMeta; the token is named `continue` on the wire."""

    resource_version: str = ""
    continue_token: str | None = msgspec.field(default=None, name="continue")


class WireList(Shape, frozen=True):
    """One page of a list, its items undecoded, so that one bad item does not spoil the page."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class WatchLine(Shape, frozen=True):
    """One line of a watch: `type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class StatusDetails(Shape, frozen=True):
    retry_after_seconds: int | None = None


class WireStatus(Shape, frozen=True):
    """meta/v1 Status: what an API server answers, or sends in an ERROR line, when it refuses."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


def decode(kind: str, decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    """Decode `raw`; ParseError names the object as well as a broken object lets itself be named."""
    try:
        return _decode(kind, decoder, raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ParseError(kind, "(unreadable)", "object", bytes(raw[:80]), f"not JSON: {error}") from error


def identify(raw: bytes | msgspec.Raw) -> tuple[str, str]:
    """(`namespace/name`, resourceVersion) of an object that may be broken; empty where unreadable."""
    try:
        meta = msgspec.json.decode(raw, type=AnyObject).metadata
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    version = meta.resource_version if isinstance(meta.resource_version, str) else ""
    return key(*(part if isinstance(part, str) else "" for part in (meta.namespace, meta.name))), version


def key(namespace: str, name: str) -> str:
    """How Weft names an object within its kind: `name`, or `namespace/name` when it is namespaced."""
    return f"{namespace}/{name}" if namespace else name


def _decode(kind: str, decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _located(kind, bytes(raw), str(error)) from error


def _located(kind: str, raw: bytes, error: str) -> ParseError:
    found = _PATH.search(error)
    path = found[1] if found else ""
    value = _lookup(msgspec.json.decode(raw), path)
    name = identify(raw)[0] or "(unnamed)"
    return ParseError(kind, name, path.lstrip(".") or "object", value, _PATH.sub("", error).replace("`", ""))


def _lookup(tree: object, path: str) -> object:
    """The value at msgspec's `path`; a map's unnamed member (`[...]`) is shown as the whole map."""
    for name, index in _STEP.findall(path):
        if name and isinstance(tree, dict):
            tree = tree.get(name)
        elif index and isinstance(tree, list):
            tree = tree[int(index)]
    return tree
