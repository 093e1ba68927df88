"""Which identities there are, whom each rule is about and where it is needed, kept up to date event by event.

What an event may have changed in the policy tables of a node is a set of cells (an `Owner`): each cell's flows follow
from this state alone. `touched` collects them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from controller import owners
from controller.owners import Owner
from controller.policy.conjunctions import Conjunctions
from controller.policy.members import ActiveRule, Identity, Members, Traits, addresses
from controller.policy.rules import (
    ANYWHERE,
    Origin,
    PodSet,
    PortName,
    Rule,
    label_keys,
    port_names,
    rules_of,
    subject_of,
)
from controller.policy.touched import Touched
from kube.netpol import Direction, NetworkPolicy
from kube.objects import IPAddress, Namespace, Pod
from openflow.match import PortMatch
from openflow.net import IPNetwork

K = TypeVar("K")
At = TypeVar("At")

_NOBODY: tuple[None, None] = (None, None)


class Engine:
    """Pods, namespaces and policies as rules see them. Changed by one thread, through its methods."""

    def __init__(self) -> None:
        self.touched = Touched()
        self.identities: dict[Traits, Identity] = {}
        self.by_id: dict[int, Identity] = {}
        self.rules: dict[Rule, ActiveRule] = {}
        self.by_digest: dict[bytes, ActiveRule] = {}
        self.policies: dict[str, NetworkPolicy] = {}
        self.conjunctions = Conjunctions(self.touched.everywhere)
        self.networks: defaultdict[tuple[Direction, IPNetwork], set[ActiveRule]] = defaultdict(set)
        self.ports: defaultdict[tuple[Direction, PortMatch], set[ActiveRule]] = defaultdict(set)
        self._pods: dict[str, tuple[Pod, Identity | None]] = {}
        self._claims: defaultdict[IPAddress, set[str]] = defaultdict(set)
        self._labels: dict[str, dict[str, str]] = {}
        self._sets: dict[PodSet, Members] = {}
        self._sets_in: defaultdict[str, set[Members]] = defaultdict(set)
        self._identities_in: defaultdict[str, set[Identity]] = defaultdict(set)
        self._pods_in: defaultdict[str, set[str]] = defaultdict(set)
        self._local: defaultdict[str, dict[Identity, int]] = defaultdict(dict)
        self._keys: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._numbers: defaultdict[PortName, dict[int, int]] = defaultdict(dict)
        self._naming: defaultdict[PortName, dict[str, int]] = defaultdict(dict)
        self._renumber: set[PortName] = set()
        self._stale: set[str] = set()
        self._said: dict[str, Said] = {}
        self._moved: set[str] = set()

    def identity_of(self, pod: str) -> Identity | None:
        """The identity of a pod by its key; None for one that rules cannot select."""
        _, identity = self._pods.get(pod, (None, None))
        return identity

    def owner_of(self, ip: IPAddress) -> Pod | None:
        """The pod that has an address: of several that say so, the youngest."""
        return self.holder(ip)[0]

    def holder(self, ip: IPAddress) -> tuple[Pod | None, Identity | None]:
        """The pod that has an address, with its identity."""
        keys = self._claims.get(ip, ())
        if len(keys) == 1:
            return self._pods[next(iter(keys))]
        claims = [self._pods[key] for key in keys]
        return max(claims, key=lambda each: (str(each[0].meta.created or ""), each[0].meta.key), default=_NOBODY)

    def local(self, node: str) -> Iterable[Identity]:
        """Identities of the pods of a node."""
        return self._local.get(node, {}).keys()

    def take_dirty(self) -> tuple[set[tuple[str, Owner]], set[str]]:
        """Nodes and cells that may have changed since this was last called, and keys of pods whose identity has."""
        moved, self._moved = self._moved, set()
        return self.touched.take(), moved

    # Events.

    def set_pod(self, pod: Pod) -> None:
        self._put(pod)
        self._settle()

    def remove_pod(self, key: str) -> None:
        self._take(key)
        self._settle()

    def set_namespace(self, namespace: Namespace) -> None:
        self._label(namespace.meta.name, dict(namespace.meta.labels))

    def remove_namespace(self, name: str) -> None:
        self._label(name, {})

    def set_policies(self, policies: Iterable[NetworkPolicy]) -> None:
        """Take policies in, each in place of the one of its name."""
        new = [policy for policy in policies if not self._same(policy)]
        old = [self.policies[policy.meta.key] for policy in new if policy.meta.key in self.policies]
        for policy in new:
            self.policies[policy.meta.key] = policy
            self._mention(policy, 1)
        self._project()
        for policy in new:
            self._say(policy)
        self._unmention(old)

    def remove_policy(self, key: str) -> None:
        policy = self.policies.pop(key, None)
        if policy is not None:
            self._unsay(self._said.pop(key))
            self._unmention([policy])

    # Pods.

    def _put(self, pod: Pod) -> None:
        key = pod.meta.key
        old, before = self._pods.get(key, (None, None))
        identity = None if pod.host_network else self._identity(pod)
        same = old is not None and _place(old) == _place(pod)
        if old is not None and before is identity and same:
            self._pods[key] = pod, identity
            if identity is not None:
                identity.pods[key] = pod
            return
        self._take(key)
        self._pods[key] = pod, identity
        self._pods_in[pod.meta.namespace].add(key)
        self._moved.add(key)
        if identity is not None:
            self._arrive(identity, pod, key)

    def _take(self, key: str) -> None:
        pod, identity = self._pods.get(key, (None, None))
        if pod is None:
            return
        if identity is not None:
            self._leave(identity, pod)
        del self._pods[key]
        _discard(self._pods_in, pod.meta.namespace, key)
        self._moved.add(key)

    def _arrive(self, identity: Identity, pod: Pod, key: str) -> None:
        if not identity.pods:
            self._begin(identity)
        identity.pods[key] = pod
        for ip in addresses(pod):
            claims = self._claims[ip]
            claims.add(key)
            self._touch_address(ip, claims)
        if pod.node_name and _count(identity.nodes, pod.node_name, 1):
            self._settled(identity, pod.node_name, 1)

    def _leave(self, identity: Identity, pod: Pod) -> None:
        for ip in addresses(pod):
            self._touch_address(ip, self._claims[ip])
            _discard(self._claims, ip, pod.meta.key)
        if pod.node_name and _count(identity.nodes, pod.node_name, -1):
            self._settled(identity, pod.node_name, -1)
        del identity.pods[pod.meta.key]
        if not identity.pods:
            self._end(identity)

    def _settled(self, identity: Identity, node: str, change: int) -> None:
        """A node runs the first pod of an identity, or no longer runs any."""
        _count(self._local[node], identity, change)
        self.touched.place(identity, (node,))
        for rule in _rules(identity.sets):
            self._needed(rule, node, change)

    def _needed(self, rule: ActiveRule, node: str, change: int) -> None:
        if _count(rule.nodes, node, change):
            self.touched.rule(rule, node)

    # Identities.

    def _identity(self, pod: Pod) -> Identity:
        traits = self._traits(pod)
        known = self.identities.get(traits)
        return Identity.of(traits) if known is None else known

    def _traits(self, pod: Pod) -> Traits:
        here, anywhere = self._keys[pod.meta.namespace], self._keys[ANYWHERE]
        labels = tuple(sorted([pair for pair in pod.meta.labels.items() if pair[0] in here or pair[0] in anywhere]))
        if not pod.ports or not self._naming:
            return Traits(pod.meta.namespace, labels, ())
        ports: dict[PortName, int] = {}
        for port in pod.ports:
            name = PortName(port.protocol, port.name)
            if name in self._naming:
                ports.setdefault(name, port.port)
        return Traits(pod.meta.namespace, labels, tuple(sorted(ports.items())))

    def _begin(self, identity: Identity) -> None:
        self.identities[identity.traits] = self.by_id[identity.id] = identity
        self._identities_in[identity.traits.namespace].add(identity)
        for port, number in identity.traits.ports:
            self._number(port, number, 1)
        for members in (*self._sets_in[identity.traits.namespace], *self._sets_in[ANYWHERE]):
            if self._selects(members.which, identity):
                self._join(members, identity)

    def _end(self, identity: Identity) -> None:
        for members in tuple(identity.sets):
            self._part(members, identity)
        for port, number in identity.traits.ports:
            self._number(port, number, -1)
        _discard(self._identities_in, identity.traits.namespace, identity)
        del self.identities[identity.traits], self.by_id[identity.id]

    def _number(self, port: PortName, number: int, change: int) -> None:
        if _count(self._numbers[port], number, change):
            self._renumber.add(port)

    # Sets of pods.

    def _selects(self, which: PodSet, identity: Identity) -> bool:
        traits = identity.traits
        if which.namespaces is None:
            there = which.namespace == traits.namespace
        else:
            there = which.namespaces.matches(self._labels.get(traits.namespace, {}))
        if not there or (which.serving is not None and tuple(which.serving) not in traits.ports):
            return False
        return which.pods.matches(identity.labels)

    def _join(self, members: Members, identity: Identity) -> None:
        members.identities.add(identity)
        identity.sets.add(members)
        self._membership(members, identity, 1)

    def _part(self, members: Members, identity: Identity) -> None:
        self._membership(members, identity, -1)
        members.identities.discard(identity)
        identity.sets.discard(members)

    def _membership(self, members: Members, identity: Identity, change: int) -> None:
        """While the identity is a member."""
        self.touched.place(identity, identity.nodes)
        for rules in (*members.peer_of.values(), *members.also_of.values()):
            for rule in rules:
                self.touched.peer(identity, rule)
        if identity.nodes:
            for rule in _rules((members,)):
                for node in identity.nodes:
                    self._needed(rule, node, change)

    def _members(self, which: PodSet) -> Members:
        known = self._sets.get(which)
        if known is not None:
            return known
        made = self._sets[which] = Members(which)
        scope = which.scope
        self._sets_in[scope].add(made)
        spaces = self._identities_in.values() if scope is ANYWHERE else (self._identities_in[scope],)
        for identity in (each for space in list(spaces) for each in space):
            if self._selects(which, identity):
                self._join(made, identity)
        return made

    def _forget_unused(self, members: Members) -> None:
        if members.used or self._sets.get(members.which) is not members:
            return
        for identity in tuple(members.identities):
            self._part(members, identity)
        _discard(self._sets_in, members.which.scope, members)
        del self._sets[members.which]

    def _label(self, name: str, labels: dict[str, str]) -> None:
        if self._labels.get(name, {}) == labels:
            return
        self._labels[name] = labels
        for members in self._sets_in[ANYWHERE]:
            for identity in self._identities_in.get(name, ()):
                selected = self._selects(members.which, identity)
                if selected and identity not in members.identities:
                    self._join(members, identity)
                elif not selected and identity in members.identities:
                    self._part(members, identity)
        if not labels:
            del self._labels[name]

    # Policies.

    def _same(self, policy: NetworkPolicy) -> bool:
        known = self.policies.get(policy.meta.key)
        return known is not None and (known.pods, known.rules) == (policy.pods, policy.rules)

    def _mention(self, policy: NetworkPolicy, change: int) -> None:
        """Count the label keys and port names that the policy asks for, by where it asks."""
        for scope, key in label_keys(policy):
            if _count(self._keys[scope], key, change):
                self._stale.add(scope)
        for name in port_names(policy):
            known = name in self._naming
            _count(self._naming[name], policy.meta.key, change)
            if not self._naming[name]:
                del self._naming[name]
            if known != (name in self._naming):
                self._stale.add(ANYWHERE)

    def _unmention(self, policies: Iterable[NetworkPolicy]) -> None:
        for policy in policies:
            self._mention(policy, -1)
        self._project()

    def _project(self) -> None:
        """Pods of namespaces where other labels count now may have other identities."""
        stale, self._stale = self._stale, set()
        spaces = list(self._pods_in) if ANYWHERE in stale else stale
        for namespace in sorted(spaces):
            for key in sorted(self._pods_in.get(namespace, ())):
                self._put(self._pods[key][0])
        self._settle()

    def _settle(self) -> None:
        """Have policies say again what they mean by a port name that pods give other numbers now."""
        names, self._renumber = self._renumber, set()
        for key in sorted({key for name in names for key in self._naming.get(name, ())}):
            if key in self._said:
                self._say(self.policies[key])

    def _say(self, policy: NetworkPolicy) -> None:
        """Put into force what the policy says, in place of what it said before."""
        before = self._said.get(policy.meta.key)
        subject = self._members(subject_of(policy))
        for direction in policy.rules:
            self._isolate(subject, direction, 1)
        found = tuple((origin, self._rule(rule)) for origin, rule in rules_of(policy, self._served))
        for origin, rule in found:
            _count(rule.origins, origin, 1)
            self.touched.origin(rule)
        self._said[policy.meta.key] = Said(subject, tuple(policy.rules), found)
        if before is not None:
            self._unsay(before)

    def _unsay(self, said: "Said") -> None:
        for direction in said.isolates:
            self._isolate(said.subject, direction, -1)
        for origin, rule in said.rules:
            _count(rule.origins, origin, -1)
            self.touched.origin(rule)
            if not rule.origins:
                self._unrule(rule)
        self._forget_unused(said.subject)

    def _served(self, port: PortName) -> Iterable[int]:
        return tuple(self._numbers.get(port, ()))

    def _isolate(self, subject: Members, direction: Direction, change: int) -> None:
        if _count(subject.isolating, direction, change):
            for identity in subject.identities:
                self.touched.subject(identity, identity.nodes)

    # Rules.

    def _rule(self, rule: Rule) -> ActiveRule:
        known = self.rules.get(rule)
        if known is not None:
            return known
        peers = tuple(self._members(which) for which in rule.peers or ())
        also = None if rule.also is None else self._members(rule.also)
        made = self.rules[rule] = ActiveRule(rule, self._members(rule.subject), peers, also)
        self.by_digest[made.digest] = made
        self.conjunctions.add(made)
        self.touched.named(made)
        for index in self._indexes(made):
            index.add(made)
        for identity in made.subject.identities:
            self.touched.subject(identity, identity.nodes)
            for node in identity.nodes:
                self._needed(made, node, 1)
        return made

    def _unrule(self, rule: ActiveRule) -> None:
        self.touched.everywhere(rule)
        for index in self._indexes(rule):
            index.discard(rule)
        for network in rule.rule.networks:
            _drop_empty(self.networks, (rule.rule.direction, network))
        for match in rule.rule.ports or ():
            _drop_empty(self.ports, (rule.rule.direction, match))
        self.conjunctions.remove(rule)
        del self.rules[rule.rule], self.by_digest[rule.digest]
        for members in (rule.subject, *rule.named):
            self._forget_unused(members)

    def _indexes(self, rule: ActiveRule) -> Iterator[set[ActiveRule]]:
        """Everywhere that a rule is found by what it names."""
        direction = rule.rule.direction
        yield rule.subject.subject_of.of(direction)
        for members in rule.peers:
            yield members.peer_of.of(direction)
        if rule.also is not None:
            yield rule.also.also_of.of(direction)
        for network in rule.rule.networks:
            yield self.networks[direction, network]
        for match in rule.rule.ports or ():
            yield self.ports[direction, match]

    def _touch_address(self, ip: IPAddress, claims: Iterable[str]) -> None:
        self.touched.address(ip, [each for key in claims if (each := self._pods[key][1]) is not None])

    def cells(self, node: str) -> set[Owner]:
        """Every cell that may have flows on a node."""
        found: set[Owner] = set()
        needed: set[ActiveRule] = set()
        for identity in self.local(node):
            found.update(owners.subject(direction, identity.id) for direction in identity.isolated)
            needed.update(_rules(identity.sets))
        for rule in needed:
            found.update(rule.cells())
        return found


class Said(NamedTuple):
    """What a policy has put into force: whom it isolates in which directions, and its rules."""

    subject: Members
    isolates: tuple[Direction, ...]
    rules: tuple[tuple[Origin, ActiveRule], ...]


def _place(pod: Pod) -> tuple[object, ...]:
    """Where a pod is, and what decides whose an address is that two pods claim."""
    return pod.node_name, addresses(pod), pod.meta.created


def _rules(sets: Iterable[Members]) -> Iterator[ActiveRule]:
    """The rules of which one of these sets is the subject."""
    for members in sets:
        for rules in members.subject_of.values():
            yield from rules


def _count(counter: dict[K, int], key: K, change: int) -> bool:
    """Add to a count; what is counted no more is not in the counter. Whether the key came in or went out."""
    before = counter.get(key, 0)
    after = before + change
    if after:
        counter[key] = after
    else:
        del counter[key]
    return not before or not after


def _discard(index: dict[At, set[K]], at: At, value: K) -> None:
    index[at].discard(value)
    _drop_empty(index, at)


def _drop_empty(index: dict[At, set[K]], at: At) -> None:
    if at in index and not index[at]:
        del index[at]
