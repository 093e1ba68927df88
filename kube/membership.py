"""Which nodes take part, and why the others do not.

A node takes part with the pod ranges that are its alone. Two nodes that claim one range, or one datapath id, are a
mistake somebody made; the older node keeps it, so that a mistake never breaks what worked before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kube.annotations import NodeAnnotations
from kube.objects import IPAddress, IPNetwork, Node

LEAST_ADDRESSES = 4
"""Of a pod range: network, gateway, one pod, and IPv4's broadcast."""

_EPOCH = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the controller needs to know of a Node; None where its agent has not said it yet."""

    name: str
    created: datetime | None
    pod_cidrs: tuple[IPNetwork, ...]
    tunnel_ip: IPAddress | None
    datapath_id: int | None
    ovsdb: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the cluster that Weft cannot use. `kind` and `key` name the object."""

    kind: str
    key: str
    reason: str
    message: str


def node_facts(node: Node) -> NodeFacts:
    """Facts from a Node and its `weft.dev/*` annotations. Raises kube.errors.ParseError."""
    said = NodeAnnotations.parse(node.meta.name, node.meta.annotations)
    return NodeFacts(node.meta.name, node.meta.created, node.pod_cidrs, said.tunnel_ip, said.datapath_id, said.ovsdb)


@dataclass(frozen=True, slots=True)
class Membership:
    """The nodes as far as they can take part, by name, and what is wrong with the rest."""

    nodes: Mapping[str, NodeFacts]
    problems: tuple[Problem, ...]

    def by_datapath(self) -> dict[int, str]:
        return {facts.datapath_id: name for name, facts in self.nodes.items() if facts.datapath_id is not None}


def resolve(nodes: Iterable[NodeFacts]) -> Membership:
    """Give every contested range and datapath id to the node that was there first (then by name)."""
    by_age = sorted(nodes, key=lambda n: (n.created or _EPOCH, n.name))
    problems: list[Problem] = []
    ranges: list[tuple[IPNetwork, str]] = []
    datapaths: dict[int, str] = {}
    members: dict[str, NodeFacts] = {}
    contested = _contested(by_age)
    for node in by_age:
        facts = _without_small_ranges(node, problems)
        facts = _without_taken_ranges(facts, ranges if node.name in contested else [], problems)
        facts = _without_taken_datapath(facts, datapaths, problems)
        if not node.pod_cidrs:
            problems.append(_no_range(node.name))
        ranges += [(cidr, node.name) for cidr in facts.pod_cidrs]
        members[node.name] = facts
    return Membership(members, tuple(problems))


def _contested(nodes: Iterable[NodeFacts]) -> set[str]:
    """Names of nodes with a range that overlaps another's, found in one pass over the sorted ranges."""
    found: set[str] = set()
    claims = sorted(((cidr, node.name) for node in nodes for cidr in node.pod_cidrs), key=_range_order)
    last: tuple[IPNetwork, str] | None = None
    for cidr, name in claims:
        if last is not None and last[0].version == cidr.version and cidr.network_address in last[0]:
            found |= {name, last[1]}
            if cidr.broadcast_address <= last[0].broadcast_address:  # type: ignore[operator]
                continue
        last = (cidr, name)
    return found


def _range_order(claim: tuple[IPNetwork, str]) -> tuple[int, int, int, str]:
    cidr, name = claim
    return cidr.version, int(cidr.network_address), cidr.prefixlen, name


def _without_small_ranges(node: NodeFacts, problems: list[Problem]) -> NodeFacts:
    """The gateway of a range of one address would lie outside it, in another node's perhaps."""
    small = [cidr for cidr in node.pod_cidrs if cidr.num_addresses < LEAST_ADDRESSES]
    problems.extend(
        Problem("Node", node.name, "PodCIDRTooSmall",
                f"spec.podCIDRs {cidr} holds {cidr.num_addresses} of at least {LEAST_ADDRESSES} addresses, so no pod"
                " can have one: register the node again with a larger range (--node-cidr-mask-size)")
        for cidr in small
    )  # fmt: skip
    return replace(node, pod_cidrs=tuple(cidr for cidr in node.pod_cidrs if cidr not in small)) if small else node


def _without_taken_ranges(node: NodeFacts, taken: list[tuple[IPNetwork, str]], problems: list[Problem]) -> NodeFacts:
    kept = []
    for cidr in node.pod_cidrs:
        rival = next((name for other, name in taken if _overlap(other, cidr)), None)
        if rival is None:
            kept.append(cidr)
            continue
        problems.append(
            Problem("Node", node.name, "PodCIDRTaken",
                    f"spec.podCIDRs {cidr} overlaps a range of the older node {rival}; pods on {node.name} are not"
                    " reachable in it: delete and register the node again so that it gets a range of its own")
        )  # fmt: skip
    return replace(node, pod_cidrs=tuple(kept)) if len(kept) != len(node.pod_cidrs) else node


def _overlap(one: IPNetwork, two: IPNetwork) -> bool:
    return one.version == two.version and one.overlaps(two)


def _without_taken_datapath(node: NodeFacts, taken: dict[int, str], problems: list[Problem]) -> NodeFacts:
    if node.datapath_id is None:
        return node
    rival = taken.setdefault(node.datapath_id, node.name)
    if rival == node.name:
        return node
    problems.append(
        Problem("Node", node.name, "DatapathIdTaken",
                f"annotation weft.dev/datapath-id {node.datapath_id:016x} is that of the older node {rival};"
                f" the switch of {node.name} is not programmed: was its disk or database copied from {rival}?")
    )  # fmt: skip
    return replace(node, datapath_id=None)


def _no_range(name: str) -> Problem:
    return Problem(
        "Node", name, "NoPodCIDR",
        "spec.podCIDRs is empty, so its pods get no address: let kube-controller-manager allocate node CIDRs"
        " (--allocate-node-cidrs, --cluster-cidr) or set spec.podCIDRs",
    )  # fmt: skip
