"""Identities and the sets of them that rules speak of: the two ends that events move."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from controller import owners
from controller.owners import Owner
from controller.policy.rules import Origin, PodSet, PortName, Rule
from kube.netpol import Direction
from kube.objects import IPAddress, Pod
from kube.selectors import Labels
from openflow.codec import Encoded
from openflow.fields import IdentityId

UNKNOWN = IdentityId(0)

Made = dict[Owner, tuple[Encoded, ...]]
"""Flows of cells that are the same on every node that has the cell."""


class Traits(NamedTuple):
    """What makes pods the same to every rule: their namespace, the labels that some selector mentions, and the
    numbers of the ports whose names some rule mentions. Both sorted."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[tuple[PortName, int], ...]

    @property
    def id(self) -> IdentityId:
        """A 64-bit BLAKE2b digest of this: every replica computes the same without asking."""
        words = [self.namespace, *(f"{key}={value}" for key, value in self.labels)]
        words += (f"\0{port.protocol}/{port.name}={number}" for port, number in self.ports)
        text = "\0".join(words)
        return IdentityId(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") or 1)


class Named(NamedTuple):
    """What an identity needs wherever rules name it, if all of these are in force there."""

    rules: frozenset["ActiveRule"]
    flows: Made


@dataclass(slots=True, eq=False)
class Identity:
    """Pods that no rule can tell apart. `nodes` counts them by the node that they run on. `isolation` and `named` are
    what `flows` has worked out of it: what it needs on each of its nodes, and where rules of a direction name it."""

    traits: Traits
    id: IdentityId
    labels: Labels
    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    sets: set["Members"] = field(default_factory=set)
    isolation: Made | None = None
    named: dict[Direction, Named] = field(default_factory=dict)

    @classmethod
    def of(cls, traits: Traits) -> "Identity":
        return cls(traits, traits.id, dict(traits.labels))

    def forget(self) -> None:
        """What was worked out of it may be different now."""
        self.isolation = None
        self.named.clear()

    def is_isolated(self, direction: Direction) -> bool:
        """Whether some policy selects these pods in a direction."""
        return any([direction in members.isolating for members in self.sets])  # noqa: C419 - in half the time

    @property
    def isolated(self) -> set[Direction]:
        """The directions in which some policy selects these pods."""
        return {direction for members in self.sets for direction in members.isolating}

    def addresses(self) -> Iterator[IPAddress]:
        """Where its pods can be found."""
        for pod in self.pods.values():
            yield from addresses(pod)

    def cells(self, direction: Direction) -> Iterator[Owner]:
        """What it needs in the policy tables where rules of a direction name it."""
        yield owners.peer(direction, self.id)
        for ip in self.addresses():
            yield owners.address(direction, ip)


def addresses(pod: Pod) -> tuple[IPAddress, ...]:
    """The pod's own; none once it has ended: they may be another's by now."""
    return () if pod.finished else pod.ips


class RulesByDirection(dict[Direction, set["ActiveRule"]]):
    """Most sets of pods have one part in the rules of one direction: only that is kept."""

    __slots__ = ()

    def __missing__(self, direction: Direction) -> set["ActiveRule"]:
        return set()

    def of(self, direction: Direction) -> set["ActiveRule"]:
        """The set to add to and to remove from."""
        return self.setdefault(direction, set())


@dataclass(slots=True, eq=False)
class Members:
    """A set of pods that policies speak of, as identities, and who speaks of it. `isolating` counts the policies that
    isolate it in a direction."""

    which: PodSet
    identities: set[Identity] = field(default_factory=set)
    isolating: dict[Direction, int] = field(default_factory=dict)
    subject_of: RulesByDirection = field(default_factory=RulesByDirection)
    peer_of: RulesByDirection = field(default_factory=RulesByDirection)
    also_of: RulesByDirection = field(default_factory=RulesByDirection)

    def naming(self, direction: Direction) -> Iterator["ActiveRule"]:
        """The rules that name it, as peer or beside one."""
        yield from self.peer_of[direction]
        yield from self.also_of[direction]

    @property
    def used(self) -> bool:
        named = (*self.subject_of.values(), *self.peer_of.values(), *self.also_of.values())
        return any(named) or bool(self.isolating)


@dataclass(slots=True, eq=False)
class ActiveRule:
    """A rule with the sets that it speaks of, the policies' rules that say it, and the nodes that run subjects of it,
    by how many of its identities they run. `number` is its conjunction's, 1 to 2**32 - 1 (see `conjunctions`); `made`
    is what `flows` has worked out of it, until it is touched. `digest` is what the rule says, in 16 bytes; `clauses`
    how many clauses its conjunction has: the first is its subject, the last its ports; `named` are the sets of pods
    whose addresses it needs."""

    rule: Rule
    subject: Members
    peers: tuple[Members, ...]
    also: Members | None
    origins: dict[Origin, int] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    number: int = 0
    made: Made | None = None
    digest: bytes = field(init=False)
    clauses: int = field(init=False)
    named: tuple[Members, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.digest = blake2b(self.rule.words.encode(), digest_size=16).digest()
        self.clauses = 1 + self.rule.clauses
        self.named = self.peers if self.also is None else (*self.peers, self.also)

    def plain_cells(self) -> Iterator[Owner]:
        """What it needs for its networks and ports in the policy tables of a node of its subjects."""
        direction = self.rule.direction
        for network in self.rule.networks:
            yield owners.network(direction, network)
        for match in self.rule.ports or ():
            yield owners.ports(direction, match)

    def cells(self) -> Iterator[Owner]:
        """All that it needs there, beside the cells of the subjects."""
        direction = self.rule.direction
        yield owners.rule(direction, self.digest)
        yield from self.plain_cells()
        for identity in (each for members in self.named for each in members.identities):
            yield from identity.cells(direction)
