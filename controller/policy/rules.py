"""What a NetworkPolicy allows, as values that do not know which pods there are.

Policies that say the same share a rule. A rule with a named port is one rule for each number that some pod gives the
name: then the name has become a property of the pods, and the number an ordinary port.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from controller.policy.ports import EVERY_BIT, PROTOCOLS, port_matches
from controller.policy.prefixes import subtract
from kube.netpol import Block, Direction, NetworkPolicy, PodPeer, PolicyPort
from kube.netpol import Rule as PolicyRule
from kube.selectors import EVERYTHING, Selector
from openflow.match import PortMatch
from openflow.net import IPNetwork

_WORDS = {direction: direction.value for direction in Direction}

ANYWHERE = ""
"""The scope of what pods of every namespace are asked for."""


class PortName(NamedTuple):
    """What a pod may call one of its ports; the protocol as Kubernetes writes it."""

    protocol: str
    name: str


class Serving(NamedTuple):
    """Pods that give a port name this number."""

    port: PortName
    number: int


class PodSet(NamedTuple):
    """Pods by what can be known of them: in namespace `namespace`, or in those that `namespaces` selects; with labels
    that `pods` selects; and, if `serving` is given, with such a port."""

    namespace: str
    namespaces: Selector | None
    pods: Selector
    serving: Serving | None = None

    @property
    def scope(self) -> str:
        """The namespace that such pods are in, or ANYWHERE."""
        return ANYWHERE if self.namespaces is not None else self.namespace

    @property
    def words(self) -> str:
        """The same in plain text."""
        namespaces = self.namespace if self.namespaces is None else self.namespaces.words
        serving = "" if self.serving is None else f"{self.serving.port} {self.serving.number}"
        return f"{namespaces} {self.pods.words} {serving}"


def everybody(serving: Serving) -> PodSet:
    """All pods with such a port."""
    return PodSet("", EVERYTHING, EVERYTHING, serving)


class Rule(NamedTuple):
    """Traffic of `subject` in a direction is allowed with peers that are in one of `peers` or `networks` (`peers`
    None: with anybody), and in `also` if that is given, to `ports` of the destination (None: of whatever kind)."""

    direction: Direction
    subject: PodSet
    peers: tuple[PodSet, ...] | None = None
    networks: tuple[IPNetwork, ...] = ()
    also: PodSet | None = None
    ports: tuple[PortMatch, ...] | None = None

    @property
    def clauses(self) -> int:
        """How many things have to hold, beside being the subject's traffic."""
        return (self.peers is not None) + (self.also is not None) + (self.ports is not None)

    @property
    def words(self) -> str:
        """The same in plain text: what replicas agree on that know the rule."""
        peers = None if self.peers is None else [each.words for each in self.peers]
        also = None if self.also is None else self.also.words
        ports = None if self.ports is None else [tuple(each) for each in self.ports]
        networks = [*map(str, self.networks)]
        return f"{_WORDS[self.direction]} {self.subject.words} {peers} {networks} {also} {ports}"


Numbers = Callable[[PortName], Iterable[int]]
"""The numbers that pods give a port name."""


class Origin(NamedTuple):
    """Which rule of which policy; counted from 0, as the API does."""

    policy: str
    direction: str
    place: int

    def __str__(self) -> str:
        return f"policy/{self.policy}#{self.direction.lower()}/{self.place}"


def subject_of(policy: NetworkPolicy) -> PodSet:
    """The pods that a policy is for."""
    return PodSet(policy.meta.namespace, None, policy.pods)


def label_keys(policy: NetworkPolicy) -> set[tuple[str, str]]:
    """The label keys that a policy mentions, each with the scope in which pods are asked for it."""
    peers = (peer for rules in policy.rules.values() for rule in rules for peer in rule.peers or ())
    sets = [subject_of(policy), *(_pod_set(policy, peer) for peer in peers if isinstance(peer, PodPeer))]
    return {(which.scope, key) for which in sets for key in which.pods.keys}


def port_names(policy: NetworkPolicy) -> frozenset[PortName]:
    """The port names that a policy mentions."""
    ports = (port for rules in policy.rules.values() for rule in rules for port in rule.ports or ())
    return frozenset(PortName(port.protocol, port.name) for port in ports if port.name)


def rules_of(policy: NetworkPolicy, numbers: Numbers) -> Iterator[tuple[Origin, Rule]]:
    """What a policy allows, with the rule of the policy that says so."""
    for direction, rules in policy.rules.items():
        for index, rule in enumerate(rules):
            origin = Origin(policy.meta.key, direction.value, index)
            yield from ((origin, each) for each in _expand(policy, direction, rule, numbers))


def _expand(policy: NetworkPolicy, direction: Direction, rule: PolicyRule, numbers: Numbers) -> Iterator[Rule]:
    if rule.peers == () or rule.ports == ():
        return  # Nothing of it could be read: it allows nothing.
    said = direction, subject_of(policy), _pods(policy, rule), _networks(rule)
    if rule.ports is None:
        yield Rule(*said)
        return
    numeric = tuple(sorted({match for port in rule.ports if not port.name for match in _matches(port)}))
    if numeric:
        yield Rule(*said, ports=numeric)
    for name in sorted({PortName(port.protocol, port.name) for port in rule.ports if port.name}):
        for number in sorted(numbers(name)):
            yield from _named(Rule(*said), Serving(name, number))


def _named(rule: Rule, serving: Serving) -> Iterator[Rule]:
    """The name means what the destination pod says: in ingress that is the subject, in egress the peer."""
    rule = rule._replace(ports=(PortMatch(PROTOCOLS[serving.port.protocol], serving.number, EVERY_BIT),))
    if rule.direction is Direction.INGRESS:
        yield rule._replace(subject=rule.subject._replace(serving=serving))
    elif rule.peers is None:
        yield rule._replace(peers=(everybody(serving),))
    else:
        if rule.peers:
            yield rule._replace(peers=tuple(each._replace(serving=serving) for each in rule.peers), networks=())
        if rule.networks:
            yield rule._replace(peers=(), also=everybody(serving))


def _pods(policy: NetworkPolicy, rule: PolicyRule) -> tuple[PodSet, ...] | None:
    if rule.peers is None:
        return None
    found = {_pod_set(policy, peer) for peer in rule.peers if isinstance(peer, PodPeer)}
    return tuple(sorted(found, key=str)) if len(found) > 1 else tuple(found)


def _pod_set(policy: NetworkPolicy, peer: PodPeer) -> PodSet:
    namespace = policy.meta.namespace if peer.namespaces is None else ""
    return PodSet(namespace, peer.namespaces, peer.pods)


def _networks(rule: PolicyRule) -> tuple[IPNetwork, ...]:
    blocks = (peer for peer in rule.peers or () if isinstance(peer, Block))
    found = {network for block in blocks for network in subtract(block.cidr, block.excepted)}
    return tuple(sorted(found, key=lambda network: (network.version, network)))


def _matches(port: PolicyPort) -> Iterator[PortMatch]:
    return port_matches(PROTOCOLS[port.protocol], port.first, port.last)
