"""Whom policies let whom reach: what `verdict` says of every two pods, worked out for kinds of pods instead.

A party is an identity, or the part of one whose addresses rules tell apart: those of one party are alike to every
rule. What is outside is in parties, too, by the networks that rules name. A property test holds this to `verdict`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from controller.policy.atoms import ROOT, Atoms, Span
from controller.policy.engine import Engine
from controller.policy.members import ActiveRule, Identity, addresses
from controller.policy.names import identity_title
from controller.policy.traffic import EVERYTHING, TrafficSet, to_any
from kube.netpol import Direction
from openflow.net import IPNetwork, gateway_address

OUTSIDE = "outside"
_SHOWN = 2


@dataclass(frozen=True, slots=True, eq=False)
class Party:
    """Pods of one identity, or (`identity` None) addresses that no pod has. `rules` name a network with their
    addresses, which are in `spans`; `split`: the identity has pods in other parties, too."""

    identity: Identity | None
    rules: frozenset[ActiveRule]
    spans: tuple[Span, ...]
    pods: tuple[str, ...] = ()
    split: bool = False

    @property
    def namespace(self) -> str:
        """ "" for what is outside."""
        return self.identity.traits.namespace if self.identity is not None else ""

    @property
    def name(self) -> str:
        """`shop[app=web]`, `shop[app=web] in 10.1.0.0/16`, `outside`, `outside 10.0.0.0/8 except 10.1.0.0/16`."""
        where = ", ".join(map(str, self.spans[:_SHOWN]))
        where += f" and {len(self.spans) - _SHOWN} more" if len(self.spans) > _SHOWN else ""
        if self.identity is not None:
            title = identity_title(self.identity)
            return f"{title} in {where}" if self.split else title
        rest = any(span.cidr in ROOT.values() for span in self.spans) and not self.rules
        return OUTSIDE if rest else f"{OUTSIDE} {where}"


Pair = tuple[Party, Party]


@dataclass(frozen=True, slots=True)
class Reach:
    """What every party may begin with every other, over one address family: source and target → traffic.

    There is no pair of two that are outside, nor of a party of a single pod with itself. That a node reaches its own
    pods is not told: no policy can forbid it.
    """

    version: int
    parties: tuple[Party, ...]
    allowed: Mapping[Pair, TrafficSet]


def reach(engine: Engine, version: int, ranges: Iterable[IPNetwork] = ()) -> Reach:
    """Who reaches whom over IPv4 or IPv6. `ranges` are the nodes' ranges of pod addresses: nothing in them is outside
    but what nodes call themselves."""
    atoms = Atoms(engine, version)
    own = [each for each in ranges if each.version == version]
    parties = (*_pods(engine, atoms, version), *_outside(atoms, own))
    rules = {(each, direction): _rules(each, direction) for each in parties for direction in Direction}
    allowed = {}
    for source, target in product(parties, parties):
        if _meet(source, target):
            egress = _allowed(rules[source, Direction.EGRESS], target)
            allowed[source, target] = egress & _allowed(rules[target, Direction.INGRESS], source)
    return Reach(version, parties, allowed)


def _pods(engine: Engine, atoms: Atoms, version: int) -> Iterator[Party]:
    """Pods that have their address to themselves; of several that claim one, the one that rules see there."""
    for identity in sorted(engine.identities.values(), key=identity_title):
        found: defaultdict[frozenset[ActiveRule], set[tuple[str, IPNetwork]]] = defaultdict(set)
        for key, pod in identity.pods.items():
            for ip in addresses(pod):
                if ip.version == version and engine.owner_of(ip) is pod:
                    found[atoms.rules(ip)].add((key, atoms.of(ip)))
        parties = [
            Party(identity, rules, atoms.spans({piece for _, piece in pods}), tuple(sorted({key for key, _ in pods})),
                  len(found) > 1)
            for rules, pods in found.items()
        ]  # fmt: skip
        yield from sorted(parties, key=_by_network)


def _outside(atoms: Atoms, ranges: list[IPNetwork]) -> Iterator[Party]:
    found: defaultdict[frozenset[ActiveRule], set[IPNetwork]] = defaultdict(set)
    for piece, ip in atoms.outside(ranges):
        found[atoms.rules(ip)].add(piece)
    for gateway in map(gateway_address, ranges):
        found[atoms.rules(gateway)].add(atoms.of(gateway))
    parties = [Party(None, rules, atoms.spans(pieces)) for rules, pieces in found.items()]
    yield from sorted(parties, key=_by_network)


def _by_network(party: Party) -> tuple[Span, ...]:
    return party.spans


def _meet(source: Party, target: Party) -> bool:
    """Whether packets go through the network from one to the other, by a pod's port."""
    if source.identity is None and target.identity is None:
        return False
    return source is not target or len(source.pods) > 1


def _rules(subject: Party, direction: Direction) -> list[ActiveRule] | None:
    """The rules that allow a subject something; None where it is not isolated."""
    identity = subject.identity
    if identity is None or not identity.is_isolated(direction):
        return None
    return list({rule for members in identity.sets for rule in members.subject_of[direction]})


def _allowed(rules: list[ActiveRule] | None, peer: Party) -> TrafficSet:
    if rules is None:
        return EVERYTHING
    return to_any(frozenset(rule.rule.ports for rule in rules if _names(rule, peer)))


def _names(rule: ActiveRule, peer: Party) -> bool:
    sets = peer.identity.sets if peer.identity is not None else set()
    named = rule.rule.peers is None or rule in peer.rules or not sets.isdisjoint(rule.peers)
    return named and (rule.also is None or rule.also in sets)
