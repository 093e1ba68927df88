"""Sets of traffic: everything, or ports of some protocols. What a rule allows, and what is left of it in common."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from controller.policy.ports import EVERY_BIT, PROTOCOLS
from controller.policy.verdict import Traffic
from kube.netpol import PolicyPort
from openflow.match import PortMatch

_NAMES = {number: name for name, number in PROTOCOLS.items()}
_FIRST = attrgetter("first")


@dataclass(frozen=True, slots=True)
class TrafficSet:
    """Traffic to any of `ports`; None is everything, also what has no ports, such as ICMP.

    Canonical, so that equal sets are equal: sorted, TCP before UDP before SCTP, and no two that touch.
    """

    ports: tuple[PolicyPort, ...] | None = ()

    def __contains__(self, traffic: Traffic) -> bool:
        return self.ports is None or any(
            each.protocol == traffic.protocol and each.first <= traffic.port <= each.last for each in self.ports
        )

    def __and__(self, other: "TrafficSet") -> "TrafficSet":
        if self.ports is None or other.ports is None:
            return other if self.ports is None else self
        return _of(each for one in self.ports for two in other.ports for each in _common(one, two))


EVERYTHING = TrafficSet(None)
NOTHING = TrafficSet()


@lru_cache(maxsize=4096)
def to_any(rules: frozenset[tuple[PortMatch, ...] | None]) -> TrafficSet:
    """What is allowed by any of some rules, each with its ports; None for a rule that says nothing of ports."""
    if None in rules:
        return EVERYTHING
    return _of(_range(match) for ports in rules for match in ports or ())


def _range(match: PortMatch) -> PolicyPort:
    return PolicyPort(_NAMES[match.protocol], match.value, match.value | (EVERY_BIT & ~match.mask))


def _common(one: PolicyPort, two: PolicyPort) -> Iterator[PolicyPort]:
    first, last = max(one.first, two.first), min(one.last, two.last)
    if one.protocol == two.protocol and first <= last:
        yield PolicyPort(one.protocol, first, last)


def _of(ranges: Iterable[PolicyPort]) -> TrafficSet:
    by_protocol: dict[str, list[PolicyPort]] = {name: [] for name in PROTOCOLS}
    for each in ranges:
        by_protocol[each.protocol].append(each)
    return TrafficSet(tuple(each for found in by_protocol.values() for each in _joined(sorted(found, key=_FIRST))))


def _joined(ranges: list[PolicyPort]) -> list[PolicyPort]:
    """Ranges of one protocol, sorted by where they begin; those that overlap or touch as one."""
    found: list[PolicyPort] = []
    for each in ranges:
        if found and each.first <= found[-1].last + 1:
            found[-1] = PolicyPort(each.protocol, found[-1].first, max(found[-1].last, each.last))
        else:
            found.append(each)
    return found
