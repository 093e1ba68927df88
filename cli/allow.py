"""Rules of NetworkPolicies in words, and the rule that is missing where none allows a connection. Pure."""

import json
import re
from collections.abc import Iterator, Mapping

from controller.policy.verdict import Clause, End, Judgement, Known, Traffic
from kube.netpol import Block, Direction, PodPeer, PolicyPort, Rule
from kube.selectors import Labels

_PEER = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_MADE = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation"})
"""Labels that controllers make up: the next pods of the same kind have others."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def rule_name(direction: Direction, clause: Clause) -> str:
    """`policy shop/p, rule ingress #0`; counted from 0, as the API does."""
    return f"policy {clause.policy}, rule {direction.value.lower()} #{clause.place}"


def rule_words(direction: Direction, rule: Rule) -> str:
    """`from podSelector app=cart or ipBlock 10.0.0.0/8, to TCP 80`."""
    word = _PEER[direction]
    if rule.peers is None:
        peers = f"{word} anybody"
    else:
        peers = f"{word} {' or '.join(map(_peer_words, rule.peers)) or 'no peer that can be read'}"
    if rule.ports is None:
        return f"{peers}; any port"
    return f"{peers}; {', '.join(map(port_words, rule.ports)) or 'no port that can be read'}"


def missing(known: Known, judgement: Judgement, peer: End, traffic: Traffic) -> Iterator[str]:
    """The least that would allow what is denied: what a rule lacks that has the rest, else a rule."""
    direction, word = judgement.direction, _PEER[judgement.direction]
    for each in judgement.clauses:
        if each.peer:
            yield f"{rule_name(direction, each)} allows this peer; only the port is missing: {_port_missing(traffic)}"
    lacking = [each for each in judgement.clauses if each.port and not each.peer]
    for each in lacking:
        name = rule_name(direction, each)
        yield f"{name} allows {_traffic(traffic)}; only the peer is missing: add to its `{word}` " + _peer(
            known, judgement, peer
        )
    if not any(each.peer or each.port for each in judgement.clauses):
        ports = f", ports: [{_port(traffic)}]" if traffic.port else ""
        rule = f"{direction.value.lower()}: [{{{word}: [{_peer(known, judgement, peer)}]{ports}}}]"
        yield f"the smallest missing allow, in a policy of namespace {_namespace(judgement.subject)}: {rule}"


def _port_missing(traffic: Traffic) -> str:
    if not traffic.port:
        return "no `ports` can name ICMP, so only a rule without them allows it"
    return f"add to its `ports` {_port(traffic)}"


def _traffic(traffic: Traffic) -> str:
    return f"{traffic.protocol} port {traffic.port}" if traffic.port else traffic.protocol


def _port(traffic: Traffic) -> str:
    return f"{{protocol: {traffic.protocol}, port: {traffic.port}}}"


def _peer(known: Known, judgement: Judgement, peer: End) -> str:
    """The peer as an element of `from` or `to`."""
    identity = known.engine.identity_of(peer.pod)
    if identity is None:
        return f'{{ipBlock: {{cidr: "{peer.ip}/{peer.ip.max_prefixlen}"}}}}'
    labels = identity.pods[peer.pod].meta.labels
    pods = f"podSelector: {_selector({key: value for key, value in labels.items() if key not in _MADE})}"
    namespace = identity.traits.namespace
    if namespace == _namespace(judgement.subject):
        return f"{{{pods}}}"
    return f"{{namespaceSelector: {_selector(_namespace_labels(known, namespace))}, {pods}}}"


def _namespace_labels(known: Known, namespace: str) -> Labels:
    """The label that names the namespace, which Kubernetes gives to each; without it, those that it has."""
    labels = known.namespaces.get(namespace, {})
    return {_NAMESPACE_NAME: labels[_NAMESPACE_NAME]} if _NAMESPACE_NAME in labels else labels


def _namespace(pod: str) -> str:
    return pod.partition("/")[0]


def _selector(labels: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{_text(key)}: {_text(value)}" for key, value in sorted(labels.items()))
    return f"{{matchLabels: {{{pairs}}}}}" if pairs else "{}"


def _text(value: str) -> str:
    """A string of YAML; in quotes where it would else be taken for something else."""
    plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return value if plain else json.dumps(value)


def _peer_words(peer: PodPeer | Block) -> str:
    if isinstance(peer, Block):
        excepted = f" except {', '.join(map(str, peer.excepted))}" if peer.excepted else ""
        return f"ipBlock {peer.cidr}{excepted}"
    if peer.namespaces is None:
        return f"podSelector {peer.pods}"
    pods = f" and podSelector {peer.pods}" if peer.pods.requirements else ""
    return f"namespaceSelector {peer.namespaces}{pods}"


def port_words(port: PolicyPort) -> str:
    """`TCP 80`, `TCP 80-90`, `UDP dns`, `any TCP port`."""
    if port.name:
        return f"{port.protocol} {port.name}"
    if (port.first, port.last) == (0, 65535):
        return f"any {port.protocol} port"
    return f"{port.protocol} {port.first}" + (f"-{port.last}" if port.last != port.first else "")
