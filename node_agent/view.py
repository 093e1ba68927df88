"""What a node's agent knows of the cluster: its own Node, and where the other nodes' pods are. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kube.changes import Applied, Change, Deleted, Listed
from kube.errors import ParseError
from kube.membership import NodeFacts, node_facts, resolve
from kube.objects import IPAddress, IPNetwork, Node
from node_agent.controllers import ControllerView
from ovsdb.rows import PodPort

_NAMED = 3


@dataclass(frozen=True, slots=True)
class NodeView:
    """`problem` says why there is no pod range, as text for a CNI error; it is empty when there is one. `controller`
    is what a Lease says of it, None where the settings do."""

    pod_cidrs: tuple[IPNetwork, ...] = ()
    remote_pod_cidrs: tuple[IPNetwork, ...] = ()
    tunnel_peers: tuple[IPAddress, ...] = ()
    internal_ips: tuple[IPAddress, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    problem: str = "the Node object of this node has not been read yet"
    controller: ControllerView | None = None


class NodeBook:
    """Follows the Nodes for the agent of node `own`."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._facts: dict[str, NodeFacts] = {}
        self._node: Node | None = None
        self._listed = False

    def apply(self, change: Change) -> None:
        """Take in a change of Nodes. A Node that cannot be read keeps what was known of it."""
        if isinstance(change, Listed):
            present = {node.meta.name for node in change.objects} | change.refused
            for name in self._facts.keys() - present:
                self._drop(name)
            for node in change.objects:
                self._set(node)
            self._listed = True
        elif isinstance(change, Applied):
            self._set(change.object)
        elif isinstance(change, Deleted):
            self._drop(change.key)

    def view(self) -> NodeView:
        if not self._listed:
            return NodeView()
        membership = resolve(self._facts.values())
        own = membership.nodes.get(self._own)
        if own is None or self._node is None:
            return NodeView(problem=f"there is no Node {self._own}: is the setting node-name right?")
        problems = [p.message for p in membership.problems if p.key == self._own]
        others = [facts for name, facts in sorted(membership.nodes.items()) if name != self._own]
        remote = {cidr for facts in others for cidr in facts.pod_cidrs}
        return NodeView(
            pod_cidrs=own.pod_cidrs,
            remote_pod_cidrs=tuple(sorted(remote, key=lambda cidr: (cidr.version, int(cidr.network_address)))),
            tunnel_peers=tuple(facts.tunnel_ip for facts in others if facts.tunnel_ip is not None),
            internal_ips=self._node.internal_ips,
            annotations=self._node.meta.annotations,
            problem="" if own.pod_cidrs else f"Node {self._own}: {'; '.join(problems)}",
        )

    def _set(self, node: object) -> None:
        if not isinstance(node, Node):
            return
        if node.meta.name == self._own:
            self._node = node
        try:
            self._facts[node.meta.name] = node_facts(node)
        except ParseError:
            if node.meta.name == self._own:
                # What our Node's annotations say comes from here, and is written again: it need not be read.
                self._facts[self._own] = node_facts(_unannotated(node))

    def _drop(self, name: str) -> None:
        self._facts.pop(name, None)
        if name == self._own:
            self._node = None


def stranded(node: str, cidrs: Iterable[IPNetwork], ports: Iterable[PodPort]) -> str:
    """Why these ranges cannot be taken into use on the node: its pods have addresses of others. "" when they can."""
    ranges = tuple(cidrs)
    outside = sorted(
        f"{port.namespace}/{port.pod}" for port in ports if any(_is_outside(ip, ranges) for ip in port.ips)
    )
    if not outside:
        return ""
    named = ", ".join(outside[:_NAMED]) + (", ..." if len(outside) > _NAMED else "")
    return (
        f"Node {node}: spec.podCIDRs is {', '.join(map(str, ranges))} now, and {len(outside)} of its pods have other"
        f" addresses ({named}): new pods wait until those are deleted; drain the node"
    )


def _is_outside(ip: IPAddress, ranges: Iterable[IPNetwork]) -> bool:
    return not any(ip in cidr for cidr in ranges)


def _unannotated(node: Node) -> Node:
    return replace(node, meta=replace(node.meta, annotations={}))
