"""Pods and policies of the shapes that policy compilers are measured with.

`small_namespaces`, `large_namespaces` and `all_to_all` are those of Antrea's own benchmark
(pkg/controller/networkpolicy/networkpolicy_controller_perf_test.go), as Weft's issue on NetworkPolicy words them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network

from kube.netpol import Block, Direction, NetworkPolicy, PodPeer, Rule
from kube.objects import Meta, Namespace, Pod
from kube.selectors import EVERYTHING, Operator, Requirement, Selector, selector

_FIRST_IP = int(IPv4Address("10.0.0.1"))
_STRIDE = 7919  # a prime: neighbours by number are not neighbours by node, nor are every hundredth


@dataclass(frozen=True, slots=True)
class Workload:
    """What a controller has listed when it starts, and the number of nodes that the pods are spread over."""

    nodes: int
    namespaces: tuple[Namespace, ...]
    pods: tuple[Pod, ...]
    policies: tuple[NetworkPolicy, ...]


def small_namespaces(namespaces: int, nodes: int) -> Workload:
    """In each namespace 4 pods of two apps; one policy isolates all, and two let an app's pods reach each other."""
    names = [f"ns-{number}" for number in range(namespaces)]
    pods = (pod(name, place, f"app-{place % 2}", index * 4 + place, nodes)
            for index, name in enumerate(names) for place in range(4))  # fmt: skip
    policies = (policy for name in names for policy in (isolate(name), among(name, "app-0"), among(name, "app-1")))
    return Workload(nodes, tuple(map(namespace, names)), tuple(pods), tuple(policies))


def large_namespaces(namespaces: int, apps: int, nodes: int) -> Workload:
    """In each namespace `apps` apps of 10 pods; one policy isolates all, and one an app lets its pods reach each
    other."""
    names = [f"ns-{number}" for number in range(namespaces)]
    each = apps * 10
    pods = (pod(name, place, f"app-{place % apps}", index * each + place, nodes)
            for index, name in enumerate(names) for place in range(each))  # fmt: skip
    policies = (policy for name in names
                for policy in (isolate(name), *(among(name, f"app-{app}") for app in range(apps))))  # fmt: skip
    return Workload(nodes, tuple(map(namespace, names)), tuple(pods), tuple(policies))


def all_to_all(pods: int, policies: int, nodes: int) -> Workload:
    """One namespace, in which every policy lets every pod reach every pod."""
    everyone = (PodPeer(None, EVERYTHING),)
    said = (
        NetworkPolicy(meta(f"all-{number}", "ns-0"), EVERYTHING, {Direction.INGRESS: (Rule(everyone, None),)})
        for number in range(policies)
    )
    found = (pod("ns-0", place, f"app-{place}", place, nodes) for place in range(pods))
    return Workload(nodes, (namespace("ns-0"),), tuple(found), tuple(said))


def blocks(namespaces: int, policies: int, pods: int, nodes: int) -> Workload:
    """In each namespace `policies` policies, each of which lets one app reach a network but for parts of it."""
    names = [f"ns-{number}" for number in range(namespaces)]
    found = (pod(name, place, f"app-{place}", index * pods + place, nodes)
             for index, name in enumerate(names) for place in range(pods))  # fmt: skip
    said = (
        except_policy(name, f"block-{number}", f"app-{number % pods}", index * policies + number)
        for index, name in enumerate(names)
        for number in range(policies)
    )
    return Workload(nodes, tuple(map(namespace, names)), tuple(found), tuple(said))


def except_policy(name: str, title: str, app: str, seed: int) -> NetworkPolicy:
    """Egress of an app to a /16 that `seed` chooses, without four parts of it."""
    base = f"{20 + seed // 256 % 64}.{seed % 256}"
    parts = tuple(ip_network(f"{base}.{16 * (part + seed % 5)}.{64 * part}/26") for part in range(4))
    rule = Rule((Block(ip_network(f"{base}.0.0/16"), parts),), None)
    return NetworkPolicy(meta(title, name), _app(app), {Direction.EGRESS: (rule,)})


def isolate(name: str) -> NetworkPolicy:
    """No pod of the namespace may be reached."""
    return NetworkPolicy(meta("deny-all", name), EVERYTHING, {Direction.INGRESS: ()})


def among(name: str, app: str) -> NetworkPolicy:
    """Pods of an app may reach each other."""
    rule = Rule((PodPeer(None, _app(app)),), None)
    return NetworkPolicy(meta(f"among-{app}", name), _app(app), {Direction.INGRESS: (rule,)})


def pod(name: str, place: int, app: str, number: int, nodes: int) -> Pod:
    """The pod `number` of the cluster, on a node that follows from it."""
    where = f"node-{(number * _STRIDE + number // nodes) % nodes}"
    made = meta(f"pod-{place}", name, {"app": app, "tier": "backend"})
    return Pod(made, where, False, "Running", (IPv4Address(_FIRST_IP + number),), ())


def namespace(name: str) -> Namespace:
    return Namespace(meta(name))


def meta(name: str, inside: str = "", labels: dict[str, str] | None = None) -> Meta:
    return Meta(name, inside, f"uid-{inside}-{name}", "1", labels or {}, {}, None, False)


def _app(app: str) -> Selector:
    return selector((Requirement("app", Operator.IN, (app,)),))


def node_names(workload: Workload) -> Iterator[str]:
    return (f"node-{number}" for number in range(workload.nodes))
