"""A policy's share in the switches: whom it is about on which nodes, and which cells of their tables are its own.

Cells are shared by policies that name the same pods, networks or ports, and a rule by policies that say the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller import owners
from controller.owners import Owner
from controller.policy.engine import Engine
from controller.policy.members import ActiveRule, Identity
from controller.policy.rules import Origin
from kube.netpol import Direction, NetworkPolicy


@dataclass(frozen=True, slots=True)
class Share:
    """`identities` are of the pods that the policy selects; `rules` what its rules have become: none for one that
    allows nothing, several for one that names ports."""

    policy: NetworkPolicy
    identities: tuple[Identity, ...]
    rules: Mapping[Origin, tuple[ActiveRule, ...]]

    @property
    def pods(self) -> Mapping[str, tuple[str, ...]]:
        """The pods that it selects, by the node that they run on ("" for none yet). Both sorted."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for identity in self.identities:
            for key, pod in identity.pods.items():
                if not pod.finished:
                    found[pod.node_name].append(key)
        return {node: tuple(sorted(found[node])) for node in sorted(found)}

    def cells(self, node: str) -> set[Owner]:
        """What of a node's policy tables the policy has a part in."""
        found = {cell for direction in self.policy.rules for cell in self.subjects(direction, node)}
        for rules in self.rules.values():
            for rule in rules:
                if node in rule.nodes:
                    found.update(rule.cells())
        return found

    def subjects(self, direction: Direction, node: str) -> Iterator[Owner]:
        """The cells of the pods that it isolates."""
        for identity in self.identities:
            if node in identity.nodes:
                yield owners.subject(direction, identity.id)

    def shared(self, origin: Origin) -> tuple[Origin, ...]:
        """The other rules of policies whose traffic is counted together with that of this one. Sorted."""
        found = {other for rule in self.rules[origin] for like in _counted_with(rule) for other in like.origins}
        return tuple(sorted(found - {origin}))


def shares(engine: Engine, keys: Iterable[str]) -> Iterator[Share]:
    """The shares of the policies of these keys, which exist."""
    wanted = {key: engine.policies[key] for key in keys}
    rules: defaultdict[Origin, list[ActiveRule]] = defaultdict(list)
    for rule in engine.rules.values():
        for origin in rule.origins:
            if origin.policy in wanted:
                rules[origin].append(rule)
    spaces: defaultdict[str, list[Identity]] = defaultdict(list)
    for identity in engine.identities.values():
        spaces[identity.traits.namespace].append(identity)
    for key, policy in wanted.items():
        selected = [each for each in spaces[policy.meta.namespace] if policy.pods.matches(each.labels)]
        yield Share(policy, tuple(selected), {each: tuple(rules[each]) for each in _origins(key, policy)})


def counting(rule: ActiveRule, node: str) -> Iterator[Owner]:
    """The cells of a node whose flows count what the rule lets through: its own, or where it asks for nothing but
    the subject, those of its subjects, which count for every rule that lets them do everything."""
    direction = rule.rule.direction
    if not _lets_everything(rule):
        yield owners.rule(direction, rule.digest)
        return
    for identity in rule.subject.identities:
        if node in identity.nodes:
            yield owners.subject(direction, identity.id)


def _counted_with(rule: ActiveRule) -> Iterator[ActiveRule]:
    yield rule
    if _lets_everything(rule):
        sets = {members for identity in rule.subject.identities for members in identity.sets}
        for members in sets:
            yield from filter(_lets_everything, members.subject_of[rule.rule.direction])


def _lets_everything(rule: ActiveRule) -> bool:
    return not rule.rule.clauses


def _origins(key: str, policy: NetworkPolicy) -> Iterator[Origin]:
    for direction, rules in policy.rules.items():
        yield from (Origin(key, direction.value, place) for place in range(len(rules)))
