"""Identities and the sets of them that rules speak of: the two ends that events move."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

from controller import owners
from controller.owners import Owner
from controller.policy.rules import Origin, PodSet, PortName, Rule
from kube.netpol import Direction
from kube.objects import IPAddress, Pod
from kube.selectors import Labels
from openflow.fields import IdentityId

UNKNOWN = IdentityId(0)


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


@dataclass(slots=True, eq=False)
class Identity:
    """Pods that no rule can tell apart. `nodes` counts them by the node that they run on."""

    traits: Traits
    id: IdentityId
    labels: Labels
    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: Counter[str] = field(default_factory=Counter)
    sets: set["Members"] = field(default_factory=set)

    @classmethod
    def of(cls, traits: Traits) -> "Identity":
        return cls(traits, traits.id, dict(traits.labels))

    def is_isolated(self, direction: Direction) -> bool:
        """Whether some policy selects these pods in a direction."""
        return any(direction in members.isolating for members in self.sets)

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


def rules_by_direction() -> dict[Direction, set["ActiveRule"]]:
    return {direction: set() for direction in Direction}


@dataclass(slots=True, eq=False)
class Members:
    """A set of pods that policies speak of, as identities, and who speaks of it. `isolating` counts the policies that
    isolate it in a direction."""

    which: PodSet
    identities: set[Identity] = field(default_factory=set)
    isolating: Counter[Direction] = field(default_factory=Counter)
    subject_of: dict[Direction, set["ActiveRule"]] = field(default_factory=rules_by_direction)
    peer_of: dict[Direction, set["ActiveRule"]] = field(default_factory=rules_by_direction)
    also_of: dict[Direction, set["ActiveRule"]] = field(default_factory=rules_by_direction)

    @property
    def used(self) -> bool:
        named = (*self.subject_of.values(), *self.peer_of.values(), *self.also_of.values())
        return any(named) or bool(self.isolating)


@dataclass(eq=False)
class ActiveRule:
    """A rule with the sets that it speaks of, the policies' rules that say it, and the nodes that run subjects of it,
    by how many of its identities they run. `number` is its conjunction's, 1 to 2**32 - 1 (see `conjunctions`)."""

    rule: Rule
    subject: Members
    peers: tuple[Members, ...]
    also: Members | None
    origins: Counter[Origin] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    number: int = 0

    @cached_property
    def clauses(self) -> int:
        """How many clauses its conjunction has; the first is its subject, the last its ports."""
        return 1 + self.rule.clauses

    @cached_property
    def digest(self) -> bytes:
        """What the rule says, in 16 bytes."""
        return blake2b(repr(self.rule).encode(), digest_size=16).digest()

    @property
    def named(self) -> Iterator[Members]:
        """The sets of pods whose addresses it needs."""
        yield from self.peers
        if self.also is not None:
            yield self.also

    def cells(self) -> Iterator[Owner]:
        """What it needs in the policy tables of a node of its subjects, beside the cells of the subjects."""
        direction = self.rule.direction
        yield owners.rule(direction, self.digest)
        for network in self.rule.networks:
            yield owners.network(direction, network)
        for match in self.rule.ports or ():
            yield owners.ports(direction, match)
        for identity in (each for members in self.named for each in members.identities):
            yield from identity.cells(direction)
