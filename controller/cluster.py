"""The cluster in memory. Every change says which flows it may have changed; computing them is `flows.flows`.

One thread owns this state. The law: after any sequence of changes, `flows.flows` gives for every node and owner
what it gives on a Cluster built from the same objects at once, and an owner that no change named has kept its flows.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from controller.bridge import BridgeState
from controller.owners import PIPELINE, Owner, node_owner, port_owner
from controller.policy.engine import Engine
from controller.policy.members import Identity
from kube.changes import Applied, Change, Deleted, Listed
from kube.errors import ParseError
from kube.membership import Membership, NodeFacts, Problem, node_facts, resolve
from kube.netpol import NetworkPolicy
from kube.objects import Namespace, Node, Object, Pod
from ovsdb.rows import PodPort

Dirty = set[tuple[str, Owner]]
"""Pairs of node and owner whose flows may differ from what they were."""


class Cluster:
    """Nodes, pods, policies and bridges, and what follows from them."""

    def __init__(self) -> None:
        self.membership = Membership({}, ())
        self.pods: dict[str, Pod] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.policy = Engine()
        self.bridges: dict[str, BridgeState] = {}
        self._facts: dict[str, NodeFacts] = {}
        self._unreadable: dict[str, Problem] = {}
        self._ports_of: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the operator should know about Node objects that cannot be used."""
        return (*self.membership.problems, *self._unreadable.values())

    def pod_of(self, where: str, port: PodPort) -> Pod | None:
        """The Pod that a port of node `where` was made for, if it is known and still runs there."""
        pod = self.pods.get(f"{port.namespace}/{port.pod}")
        return pod if pod is not None and _belongs(port, pod, where) else None

    def identity_of(self, where: str, port: PodPort) -> Identity | None:
        """The identity of the Pod that a port of node `where` was made for."""
        pod = self.pod_of(where, port)
        return None if pod is None else self.policy.identity_of(pod.meta.key)

    def owners(self, where: str) -> Iterator[Owner]:
        """Everybody who may own flows on the bridge of node `where`."""
        bridge = self.bridges.get(where)
        if bridge is not None:
            yield PIPELINE
            yield from map(node_owner, self.membership.nodes)
            yield from map(port_owner, bridge.ports)
            yield from self.policy.cells(where)

    def apply(self, change: Change) -> Dirty:
        """Take in a change of a Kubernetes object."""
        if isinstance(change, Listed):
            return self._listed(change)
        if isinstance(change, Applied):
            return self._objects([change.object])
        if isinstance(change, Deleted):
            return self._gone(change.kind, {change.key})
        return set()

    def _listed(self, change: Listed) -> Dirty:
        present = {obj.meta.key for obj in change.objects} | change.refused
        return self._gone(change.kind, self._keys(change.kind) - present) | self._objects(change.objects)

    def _keys(self, kind: str) -> set[str]:
        nodes = self._facts.keys() | self._unreadable.keys()
        by_kind: dict[str, Iterable[str]] = {
            "Node": nodes, "Pod": self.pods, "Namespace": self.namespaces, "NetworkPolicy": self.policy.policies,
        }  # fmt: skip
        return set(by_kind[kind])

    def _objects(self, objects: Iterable[Object]) -> Dirty:
        dirty: Dirty = set()
        nodes, policies = [], []
        for each in objects:
            if isinstance(each, Node):
                nodes.append(each)
            elif isinstance(each, NetworkPolicy):
                policies.append(each)
            elif isinstance(each, Pod):
                self.pods[each.meta.key] = each
                self.policy.set_pod(each)
                dirty |= self._ports(each.meta.key)
            elif isinstance(each, Namespace):
                self.namespaces[each.meta.name] = each
                self.policy.set_namespace(each)
        self.policy.set_policies(policies)
        return dirty | self._policy_dirty() | (self._nodes(nodes) if nodes else set())

    def _gone(self, kind: str, keys: Iterable[str]) -> Dirty:
        dirty: Dirty = set()
        if kind == "Node":
            for key in keys:
                self._facts.pop(key, None)
                self._unreadable.pop(key, None)
            return self._resolve()
        for key in keys:
            if kind == "Pod":
                self.pods.pop(key, None)
                self.policy.remove_pod(key)
                dirty |= self._ports(key)
            elif kind == "Namespace":
                self.namespaces.pop(key, None)
                self.policy.remove_namespace(key)
            else:
                self.policy.remove_policy(key)
        return dirty | self._policy_dirty()

    def _policy_dirty(self) -> Dirty:
        """Cells of policy tables, and ports of pods that have another identity now."""
        dirty, moved = self.policy.take_dirty()
        return dirty.union(*map(self._ports, moved))

    def _ports(self, pod_key: str) -> Dirty:
        return {(where, port_owner(name)) for where, name in self._ports_of.get(pod_key, ())}

    def _nodes(self, nodes: Iterable[Node]) -> Dirty:
        changed = False
        for node in nodes:
            try:
                facts = node_facts(node)
            except ParseError as e:
                # What was known of the node stands: a typing error must not take a working node out.
                self._unreadable[node.meta.name] = Problem("Node", node.meta.name, "BadAnnotation", str(e))
                continue
            self._unreadable.pop(node.meta.name, None)
            changed |= self._facts.get(node.meta.name) != facts
            self._facts[node.meta.name] = facts
        return self._resolve() if changed else set()

    def _resolve(self) -> Dirty:
        before, self.membership = self.membership.nodes, resolve(self._facts.values())
        after = self.membership.nodes
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        return {(where, node_owner(name)) for where in self.bridges for name in changed}

    def set_bridge(self, where: str, state: BridgeState) -> Dirty:
        """Take a whole bridge in, as when its database was first read or read again."""
        dirty = self.remove_bridge(where)
        self.bridges[where] = state
        self.policy.touched.watched.add(where)
        for port in state.ports.values():
            self._ports_of[f"{port.namespace}/{port.pod}"].add((where, port.name))
        return dirty | {(where, owner) for owner in self.owners(where)}

    def remove_bridge(self, where: str) -> Dirty:
        dirty = {(where, owner) for owner in self.owners(where)}
        bridge = self.bridges.pop(where, None)
        self.policy.touched.watched.discard(where)
        for port in bridge.ports.values() if bridge else ():
            self._forget(where, port)
        return dirty

    def set_port(self, where: str, port: PodPort) -> Dirty:
        """A pod port's rows were written or changed."""
        bridge = self.bridges[where]
        if port.name in bridge.ports:
            self._forget(where, bridge.ports[port.name])
        self._ports_of[f"{port.namespace}/{port.pod}"].add((where, port.name))
        return {(where, port_owner(name)) for name in bridge.set_port(port)}

    def remove_port(self, where: str, name: str) -> Dirty:
        bridge = self.bridges[where]
        if name in bridge.ports:
            self._forget(where, bridge.ports[name])
        return {(where, port_owner(each)) for each in bridge.remove_port(name)}

    def set_system_port(self, where: str, name: str, ofport: int | None) -> Dirty:
        """The tunnel's or gateway's port number, which most flows of the node depend on."""
        bridge = self.bridges[where]
        if bridge.system.get(name) == ofport:
            return set()
        bridge.system[name] = ofport
        return {(where, PIPELINE), *((where, node_owner(each)) for each in self.membership.nodes)}

    def _forget(self, where: str, port: PodPort) -> None:
        key = f"{port.namespace}/{port.pod}"
        self._ports_of[key].discard((where, port.name))
        if not self._ports_of[key]:
            del self._ports_of[key]


def _belongs(port: PodPort, candidate: Pod, where: str) -> bool:
    """Whether a Pod object is the one that this port was made for, and not a later one of the same name."""
    # Bound to this node, and nothing less: policies are in force where a Pod says that it runs.
    return (not candidate.meta.uid or candidate.goes_by(port.uid)) and candidate.node_name == where
