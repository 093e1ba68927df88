"""What NetworkPolicies say of one connection, and which of their rules say it: a pure function of the objects.

It reads the policies themselves, not the flows that are made of them, so that the two can be held against each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from controller.policy.engine import Engine
from controller.policy.members import Identity
from controller.policy.rules import PortName
from kube.netpol import Block, Direction, NetworkPolicy, PodPeer, PolicyPort, Rule
from kube.objects import IPAddress
from kube.selectors import Labels


@dataclass(frozen=True, slots=True)
class Known:
    """What is judged by: pods and policies, and the labels of namespaces by name."""

    engine: Engine
    namespaces: Mapping[str, Labels]


class End(NamedTuple):
    """One end of a connection by its address; `pod` is `<namespace>/<name>`, "" for one that is no pod."""

    ip: IPAddress
    pod: str = ""


class Traffic(NamedTuple):
    """A new connection: `protocol` as Kubernetes writes it, or `ICMP`, which has no port (0)."""

    protocol: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Clause:
    """Rule number `place` (from 0) of a policy, and whether it names this peer and this port."""

    policy: str
    place: int
    rule: Rule
    peer: bool
    port: bool

    @property
    def allows(self) -> bool:
        return self.peer and self.port


@dataclass(frozen=True, slots=True)
class Judgement:
    """One direction, at the pod `subject`: the policies that isolate it, and all of their rules. Sorted."""

    direction: Direction
    subject: str
    isolating: tuple[str, ...]
    clauses: tuple[Clause, ...]

    @property
    def allowed(self) -> bool:
        return not self.isolating or any(each.allows for each in self.clauses)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said at the source and at the target; None where that end is not a pod that policies are for.

    `probe`: the node itself asks a pod of its own, which no policy can forbid.
    """

    egress: Judgement | None
    ingress: Judgement | None
    probe: bool = False

    @property
    def allowed(self) -> bool:
        return self.probe or all(each.allowed for each in (self.egress, self.ingress) if each is not None)


def judge(known: Known, source: End, target: End, traffic: Traffic, *, probe: bool = False) -> Verdict:
    """Whether a new connection from `source` to `target` is allowed, and by what."""
    case = _Case(known, target, traffic)
    return Verdict(
        case.judgement(Direction.EGRESS, source, target), case.judgement(Direction.INGRESS, target, source), probe
    )


@dataclass(frozen=True, slots=True)
class _Case:
    known: Known
    target: End
    traffic: Traffic

    def judgement(self, direction: Direction, subject: End, peer: End) -> Judgement | None:
        identity = self.known.engine.identity_of(subject.pod)
        if identity is None:
            return None
        policies = sorted(_isolating(self.known.engine, direction, identity), key=lambda each: each.meta.key)
        clauses = tuple(each for policy in policies for each in self._clauses(policy, direction, peer))
        return Judgement(direction, subject.pod, tuple(each.meta.key for each in policies), clauses)

    def _clauses(self, policy: NetworkPolicy, direction: Direction, peer: End) -> Iterator[Clause]:
        for place, rule in enumerate(policy.rules[direction]):
            named = rule.peers is None or any(self._is_peer(policy, each, peer) for each in rule.peers)
            port = rule.ports is None or any(map(self._is_port, rule.ports))
            yield Clause(policy.meta.key, place, rule, named, port)

    def _is_peer(self, policy: NetworkPolicy, given: PodPeer | Block, peer: End) -> bool:
        if isinstance(given, Block):
            # A block is about addresses, whoever has them.
            return peer.ip in given.cidr and not any(peer.ip in each for each in given.excepted)
        identity = _behind(self.known.engine, peer)
        if identity is None:
            return False
        namespace = identity.traits.namespace
        if given.namespaces is None:
            there = namespace == policy.meta.namespace
        else:
            there = given.namespaces.matches(self.known.namespaces.get(namespace, {}))
        return there and given.pods.matches(identity.labels)

    def _is_port(self, given: PolicyPort) -> bool:
        if given.protocol != self.traffic.protocol:
            return False
        if not given.name:
            return given.first <= self.traffic.port <= given.last
        identity = _behind(self.known.engine, self.target)
        numbers = dict(identity.traits.ports) if identity is not None else {}
        return numbers.get(PortName(given.protocol, given.name)) == self.traffic.port


def _isolating(engine: Engine, direction: Direction, identity: Identity) -> Iterator[NetworkPolicy]:
    for policy in engine.policies.values():
        here = policy.meta.namespace == identity.traits.namespace
        if here and direction in policy.rules and policy.pods.matches(identity.labels):
            yield policy


def _behind(engine: Engine, end: End) -> Identity | None:
    """Whom rules see behind an address: the pod that has it now."""
    owner = engine.owner_of(end.ip)
    return engine.identity_of(owner.meta.key) if owner is not None else None
