"""The world of the NetworkPolicy scenarios and the words they are written in.

The world is three namespaces of three pods each on three nodes. All pods serve TCP 80 and 81 and UDP 80 and 53, over
both families, and have a label that is their name. Every namespace has besides a pod in a node's own network, with
the labels of the pod called a. What every pair may do is the reference's answer (`netpol_oracle`); each scenario says
besides, by hand, what some pairs may, so that a wrong reference shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

Obj = dict[str, Any]
Labels = dict[str, str]

NAMESPACES: dict[str, Labels] = {
    "x": {"team": "red", "level": "1"},
    "y": {"team": "red", "level": "2"},
    "z": {"level": "3"},
}
PODS: dict[str, str] = {
    "x/a": "node1", "x/b": "node1", "x/c": "node2",
    "y/a": "node1", "y/b": "node2", "y/c": "node3",
    "z/a": "node2", "z/b": "node3", "z/c": "node3",
}  # fmt: skip
"""Pods and where they run: each has others of its namespace and of other namespaces on its node and elsewhere."""
HOSTS: dict[str, str] = {"x/h": "node1", "y/h": "node2", "z/h": "node3"}
"""Pods in their node's network."""
TIERS = {"a": "front", "b": "back"}
PORTS = (("TCP", 80), ("TCP", 81), ("UDP", 80), ("UDP", 53), ("ICMP", 0))
HOST_PORTS = (("TCP", 80), ("ICMP", 0))
MARKERS = {f"w/marker-{number}": f"node{number}" for number in (1, 2, 3)}
"""Pods that nothing else is about: see `netpol_lab_fixture.PolicyLab.settle`."""
_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Policies, and changes of labels after they are in force (None takes a label away).

    `yes` and `no` are spot checks as text: "x/a>y/b" is every port and an echo over both families, and
    "x/a>y/b TCP80 ICMP v6" these over this family.
    """

    title: str
    policies: Sequence[Obj]
    yes: Sequence[str]
    no: Sequence[str] = ()
    pod_labels: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    namespace_labels: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)

    @property
    def relabels(self) -> bool:
        return bool(self.pod_labels or self.namespace_labels)

    @property
    def ids(self) -> tuple[str, ...]:
        """The numbers of the requirements it shows, which its title begins with."""
        return tuple(word for word in self.title.split() if word[0] == "N" and word[1:].isdigit())


def world() -> list[Obj]:
    """The objects that all scenarios start from."""
    labelled = [*NAMESPACES.items(), ("w", {})]
    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": m}} for n, m in labelled),
        *(serving(key, node) for key, node in PODS.items()),
        *(pod(key, node, [_server("http", 80)], hostNetwork=True) for key, node in HOSTS.items()),
        *(pod(key, node, [waiting()]) for key, node in MARKERS.items()),
    ]


def pod(key: str, node: str, containers: list[Obj], **spec: Any) -> Obj:
    """A pod with the labels that its name gives it."""
    namespace, name = key.split("/")
    name_of = "a" if name == "h" else name
    marks = {"pod": name_of} | ({"tier": TIERS[name_of]} if name_of in TIERS else {})
    meta = {"name": name, "namespace": namespace, "labels": marks}
    given = {"nodeName": node, "hostname": f"{namespace}-{name}", "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": given | spec}


def serving(key: str, node: str) -> Obj:
    """A pod that serves; "http" is its port 80, but 81 of those named c, and "extra" is port 81 of those named a."""
    name = key.rpartition("/")[2]
    first, second = ("http-80", "http") if name == "c" else ("http", "extra" if name == "a" else "other")
    return pod(key, node, [_server(first, 80, ("udp-80", 80)), _server(second, 81, ("dns", 53))])


def waiting() -> Obj:
    """A container that does nothing."""
    return {"name": "c", "image": "registry.k8s.io/pause:3.9"}


def _server(name: str, tcp: int, *udp: tuple[str, int]) -> Obj:
    called: list[Obj] = [{"name": name, "containerPort": tcp}]
    called += [{"name": each, "containerPort": number, "protocol": "UDP"} for each, number in udp]
    arguments = ["netexec", f"--http-port={tcp}", f"--udp-port={udp[0][1] if udp else -1}"]
    return {"name": f"tcp-{tcp}", "image": _IMAGE, "args": arguments, "ports": called}


# Words of policies.


def policy(namespace: str, name: str = "p", **spec: Any) -> Obj:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def labels(**wanted: str) -> Obj:
    return {"matchLabels": wanted}


def expression(key: str, operator: str, *values: str) -> Obj:
    made: Obj = {"key": key, "operator": operator} | ({"values": [*values]} if values else {})
    return {"matchExpressions": [made]}


def pods(selector: Obj) -> Obj:
    return {"podSelector": selector}


def spaces(selector: Obj) -> Obj:
    return {"namespaceSelector": selector}


def named(namespace: str) -> Obj:
    """The namespace of a name, by the label that every namespace has."""
    return spaces(labels(**{"kubernetes.io/metadata.name": namespace}))


A, B, C = (pods(labels(pod=name)) for name in "abc")
X, Y, Z = (spaces({"matchLabels": {"level": level}}) for level in "123")


def port(number: int | str | None = None, protocol: str | None = None, end: int | None = None) -> Obj:
    given = {"port": number, "protocol": protocol, "endPort": end}
    return {name: value for name, value in given.items() if value is not None}


def block(cidr: str, *excepted: str) -> Obj:
    return {"ipBlock": {"cidr": cidr} | ({"except": [*excepted]} if excepted else {})}


def around(key: str, length: int) -> str:
    """The range of this length that the address of a pod or (of what comes from it) a node is in, IPv6 from 33."""
    return f"@{key}/{length}"


def resolved(value: Any, ips: Mapping[str, tuple[str, str]]) -> Any:
    """The same with ranges in place of what `around` made. `ips` are IPv4 and IPv6 addresses by key."""
    if isinstance(value, dict):
        return {name: resolved(each, ips) for name, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, ips) for each in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    key, _, length = value[1:].rpartition("/")
    return str(ip_network(f"{ips[key][int(length) > 32]}/{length}", strict=False))
