"""NetworkPolicy as a checked, frozen value (Kubernetes API reference, networking.k8s.io/v1).

A part of a rule that cannot be read fails closed: that peer or port matches nothing, the rest of the policy holds,
and `problems` says which field it was. A policy whose pods cannot be read is refused as a whole.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network
from typing import TypeVar

import msgspec

from kube import objects, wire
from kube.errors import ParseError
from kube.objects import PROTOCOLS, Fail, IPNetwork, Meta
from kube.selectors import EVERYTHING, Selector, parse_selector

R = TypeVar("R")
V = TypeVar("V")

_LAST_PORT = 65535
_PORT_NAME = re.compile(r"(?!-)(?!.*--)(?=.*[a-z])[a-z0-9-]{1,15}(?<!-)")


class Direction(Enum):
    """Which traffic of the selected pods a rule speaks of (`policyTypes`)."""

    INGRESS = "Ingress"
    EGRESS = "Egress"

    # Of one member there is one object; an Enum's own hash is that of its name, worked out in Python each time.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class PodPeer:
    """Pods by their labels, in the namespaces that `namespaces` selects, or (None) in the policy's own."""

    namespaces: Selector | None
    pods: Selector


@dataclass(frozen=True, slots=True)
class Block:
    """The addresses of `cidr` without those of `excepted`."""

    cidr: IPNetwork
    excepted: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyPort:
    """Ports `first` to `last` of a protocol; or its ports that the destination pod calls `name`."""

    protocol: str
    first: int = 0
    last: int = _LAST_PORT
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows traffic with one of the peers to one of the ports; None is any, and no element matches nothing."""

    peers: tuple[PodPeer | Block, ...] | None
    ports: tuple[PolicyPort, ...] | None


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Isolates the pods that it selects in each direction that `rules` has, and allows what a rule there allows."""

    meta: Meta
    pods: Selector
    rules: Mapping[Direction, tuple[Rule, ...]]
    problems: tuple[ParseError, ...] = ()


_POLICY = msgspec.json.Decoder(wire.WirePolicy)


def parse_network_policy(raw: bytes | msgspec.Raw) -> NetworkPolicy:
    """A NetworkPolicy from its JSON. Raises ParseError."""
    policy = wire.decode("NetworkPolicy", _POLICY, raw)
    meta = objects.meta_of("NetworkPolicy", policy.metadata)
    fail = functools.partial(ParseError, "NetworkPolicy", meta.key)
    spec = policy.spec or wire.PolicySpec()
    pods = parse_selector(fail, "spec.podSelector", spec.pod_selector) if spec.pod_selector else EVERYTHING
    reader = _Reader(fail)
    rules = {each: reader.rules(each, spec) for each in _directions(fail, spec)}
    return NetworkPolicy(meta, pods, rules, tuple(reader.problems))


def _directions(fail: Fail, spec: wire.PolicySpec) -> Sequence[Direction]:
    if not spec.policy_types:
        return (Direction.INGRESS, Direction.EGRESS) if spec.egress else (Direction.INGRESS,)
    try:
        named = {Direction(name) for name in spec.policy_types}
    except ValueError:
        raise fail("spec.policyTypes", spec.policy_types, "a policy type is Ingress or Egress") from None
    return [each for each in Direction if each in named]


class _Reader:
    """Reads rules, and notes what in them cannot be read."""

    def __init__(self, fail: Fail) -> None:
        self._fail = fail
        self.problems: list[ParseError] = []

    def rules(self, direction: Direction, spec: wire.PolicySpec) -> tuple[Rule, ...]:
        read: list[tuple[str, list[wire.WirePeer] | None, list[wire.WirePolicyPort] | None]]
        if direction is Direction.INGRESS:
            read = [("from", each.from_, each.ports) for each in spec.ingress or ()]
        else:
            read = [("to", each.to, each.ports) for each in spec.egress or ()]
        field = f"spec.{direction.value.lower()}"
        return tuple(
            Rule(
                self._each(f"{field}[{index}].{word}", peers, self._peer),
                self._each(f"{field}[{index}].ports", ports, self._port),
            )
            for index, (word, peers, ports) in enumerate(read)
        )

    def _each(self, field: str, items: list[R] | None, parse: Callable[[str, R], V]) -> tuple[V, ...] | None:
        """Those that can be read; None where nothing was asked for, which is everything."""
        if not items:
            return None
        found = []
        for index, item in enumerate(items):
            try:
                found.append(parse(f"{field}[{index}]", item))
            except ParseError as e:
                self.problems.append(e)
        return tuple(found)

    def _peer(self, field: str, peer: wire.WirePeer) -> PodPeer | Block:
        selectors = [each for each in (peer.namespace_selector, peer.pod_selector) if each is not None]
        if peer.ip_block is not None:
            if selectors:
                raise self._fail(
                    f"{field}.ipBlock", peer.ip_block.cidr, "a peer has an ipBlock or selectors, not both"
                )
            return self._block(f"{field}.ipBlock", peer.ip_block)
        if not selectors:
            raise self._fail(field, {}, "a peer has a podSelector, a namespaceSelector or an ipBlock")
        namespaces = peer.namespace_selector
        return PodPeer(
            None if namespaces is None else parse_selector(self._fail, f"{field}.namespaceSelector", namespaces),
            parse_selector(self._fail, f"{field}.podSelector", peer.pod_selector or wire.WireSelector()),
        )

    def _block(self, field: str, block: wire.WireIPBlock) -> Block:
        cidr = self._network(f"{field}.cidr", block.cidr)
        excepted = []
        for index, text in enumerate(block.except_ or ()):
            network = self._network(f"{field}.except[{index}]", text)
            inside = isinstance(network, type(cidr)) and network != cidr and network.subnet_of(cidr)  # type: ignore[arg-type]
            if not inside:
                raise self._fail(f"{field}.except[{index}]", text, f"an exception is a part of {cidr}")
            excepted.append(network)
        return Block(cidr, tuple(excepted))

    def _network(self, field: str, text: str) -> IPNetwork:
        try:
            if "/" not in text:
                raise ValueError
            return ip_network(text, strict=False)
        except ValueError:
            raise self._fail(field, text, "not a network such as 10.0.0.0/8 or fd00::/8") from None

    def _port(self, field: str, port: wire.WirePolicyPort) -> PolicyPort:
        protocol = port.protocol or "TCP"
        if protocol not in PROTOCOLS:
            raise self._fail(f"{field}.protocol", protocol, "a protocol is TCP, UDP or SCTP")
        if isinstance(port.port, str):
            if port.end_port is not None:
                raise self._fail(f"{field}.endPort", port.end_port, f"{port.port!r} is a name: a range needs numbers")
            if not _PORT_NAME.fullmatch(port.port):
                raise self._fail(f"{field}.port", port.port, "a port's name has up to 15 of a-z, 0-9 and '-'")
            return PolicyPort(protocol, name=port.port)
        if port.port is None:
            if port.end_port is not None:
                raise self._fail(f"{field}.endPort", port.end_port, "a range needs a port that it begins with")
            return PolicyPort(protocol)
        last = port.port if port.end_port is None else port.end_port
        if not 1 <= port.port <= _LAST_PORT:
            raise self._fail(f"{field}.port", port.port, f"a port is 1 to {_LAST_PORT}")
        if not port.port <= last <= _LAST_PORT:
            raise self._fail(f"{field}.endPort", last, f"the end of a range is {port.port} to {_LAST_PORT}")
        return PolicyPort(protocol, port.port, last)
