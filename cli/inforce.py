"""Whether policies are in force: the flows that each node's switch should hold for them beside those that it holds.

What a switch should hold is what the controller works out, by the same functions. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cli.view import NodeView, Silent
from controller.bridge import bridge_state
from controller.cluster import Cluster
from controller.flows import flows
from controller.owners import Owner, port_owner
from controller.policy.names import PolicyObjects
from controller.policy.rules import Origin
from controller.policy.share import Share, counting, shares
from kube.netpol import Direction
from openflow.codec import Encoded, Record, table_of
from openflow.decode import decode
from openflow.features.priority import LOW
from openflow.match import CT_BITS
from openflow.oxm import CT_STATE
from openflow.tables import Table

_SAYS_WHO = (Table.SOURCE_IDENTITY, Table.ROUTE)
"""Where a pod's own flows say which identity it is: without that no policy is about it."""

_NOT_HERE = "it is not a node that this command can look into"


class Count(NamedTuple):
    """Of packets that flows have matched since they were added, summed over nodes. `sessions` are the packets of new
    connections among them; None where they are dropped, and no connection comes of them."""

    packets: int
    bytes: int
    sessions: int | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """What a policy is on a node that runs pods which it selects: its flows, those that the switch does not hold and
    those that it holds otherwise. `unseen` says why the switch was not looked at, "" where it was."""

    node: str
    pods: tuple[str, ...]
    flows: int = 0
    missing: tuple[Encoded, ...] = ()
    different: tuple[Encoded, ...] = ()
    unseen: str = ""

    @property
    def in_force(self) -> bool | None:
        """None where that is not known."""
        return None if self.unseen else not (self.missing or self.different)


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A policy and where it is in force. `counts` of its rules, and of what `denied` drops: what no rule of any
    policy allows the pods that this one isolates."""

    share: Share
    nodes: tuple[NodeState, ...]
    counts: Mapping[Origin, Count]
    denied: Mapping[Direction, Count]
    total: Count

    @property
    def key(self) -> str:
        return self.share.policy.meta.key

    @property
    def in_force(self) -> bool | None:
        """On every node that was looked at; None where that is all that can be said, because others were not."""
        found = {each.in_force for each in self.nodes}
        return False if False in found else None if None in found else True


def states(
    objects: PolicyObjects,
    held: Sequence[tuple[NodeView, Mapping[bytes, Record]]],
    silent: Iterable[Silent],
    keys: Iterable[str],
) -> Iterator[PolicyState]:
    """The policies of these keys, compared with the flows that switches hold, by key of the flow."""
    wanted = _Wanted.of(objects, (view for view, _ in held))
    look = _Look(wanted, {view.node: records for view, records in held}, {each.node: each.why for each in silent})
    return map(look.state, shares(objects.engine, keys))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A cluster as a controller knows it, with the flows of owners that were asked for."""

    cluster: Cluster
    _known: dict[tuple[str, Owner], tuple[Encoded, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, objects: PolicyObjects, views: Iterable[NodeView]) -> "_Wanted":
        cluster = Cluster()
        cluster.policy = objects.engine
        cluster.pods = {pod.meta.key: pod for pod in objects.pods}
        cluster.bridges = {view.node: bridge_state(view.bridge.ports.values(), view.bridge.system) for view in views}
        return cls(cluster)

    def flows(self, node: str, owner: Owner) -> tuple[Encoded, ...]:
        at = node, owner
        if at not in self._known:
            self._known[at] = flows(self.cluster, node, owner)
        return self._known[at]

    def of_policy(self, share: Share, node: str, pods: tuple[str, ...]) -> dict[bytes, bytes]:
        """Everything that makes the policy be in force for these pods, which run on the node."""
        found = {flow.key: flow.body for cell in share.cells(node) for flow in self.flows(node, cell)}
        chosen = set(pods)
        for name, port in self.cluster.bridges[node].ports.items():
            if f"{port.namespace}/{port.pod}" in chosen:
                own = self.flows(node, port_owner(name))
                found |= {flow.key: flow.body for flow in own if table_of(flow.key) in _SAYS_WHO}
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    """`held`: flows by node and key; `silent`: why a node does not answer."""

    wanted: _Wanted
    held: Mapping[str, Mapping[bytes, Record]]
    silent: Mapping[str, str]

    def state(self, share: Share) -> PolicyState:
        nodes = tuple(self._node(share, node, pods) for node, pods in share.pods.items() if node)
        seen = [each.node for each in nodes if not each.unseen]
        flows = {origin: set(self._counting(share, origin, seen)) for origin in share.rules}
        return PolicyState(
            share,
            nodes,
            {origin: self._passed(found) for origin, found in flows.items()},
            {direction: self._matched(self._denying(share, direction, seen)) for direction in share.policy.rules},
            self._passed({at for found in flows.values() for at in found}),
        )

    def _node(self, share: Share, node: str, pods: tuple[str, ...]) -> NodeState:
        if node not in self.held:
            return NodeState(node, pods, unseen=self.silent.get(node, _NOT_HERE))
        wanted = self.wanted.of_policy(share, node, pods)
        held = self.held[node]
        wrong = [Encoded(*flow) for flow in sorted(wanted.items()) if not _holds(held, *flow)]
        return NodeState(
            node,
            pods,
            len(wanted),
            tuple(flow for flow in wrong if flow.key not in held),
            tuple(flow for flow in wrong if flow.key in held),
        )

    def _counting(self, share: Share, origin: Origin, nodes: Iterable[str]) -> Iterator[tuple[str, Encoded]]:
        """Node and flow of those that count what a rule lets through."""
        for node in nodes:
            for rule in share.rules[origin]:
                for cell in counting(rule, node):
                    yield from ((node, flow) for flow in self.wanted.flows(node, cell))

    def _denying(self, share: Share, direction: Direction, nodes: Iterable[str]) -> Iterator[tuple[str, Encoded]]:
        for node in nodes:
            for cell in share.subjects(direction, node):
                yield from ((node, flow) for flow in self.wanted.flows(node, cell) if _denies(flow))

    def _passed(self, flows: Collection[tuple[str, Encoded]]) -> Count:
        first = self._matched((node, flow) for node, flow in flows if _begins(flow))
        return self._matched(flows)._replace(sessions=first.packets)

    def _matched(self, flows: Iterable[tuple[str, Encoded]]) -> Count:
        found = [self.held[node][flow.key] for node, flow in flows if flow.key in self.held[node]]
        return Count(sum(each.packets for each in found), sum(each.bytes for each in found))


def _holds(held: Mapping[bytes, Record], key: bytes, body: bytes) -> bool:
    return key in held and held[key].flow.body == body


def _denies(flow: Encoded) -> bool:
    """Of a subject's flows the one below those that are parts of rules."""
    return decode(flow).priority == LOW


def _begins(flow: Encoded) -> bool:
    """Of the two flows by which a rule lets packets pass, the one for new connections."""
    return any(term.field == CT_STATE and term.value & CT_BITS["new"] for term in decode(flow).match)


def by_key(_: NodeView, records: Iterable[Record]) -> Mapping[bytes, Record]:
    """A switch's flows by what identifies them."""
    return {record.flow.key: record for record in records}
