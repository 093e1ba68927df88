"""The networks that rules name, cut into pieces whose addresses no rule tells apart.

Networks lie within each other or apart, so a piece is a network without those inside it, and an address belongs to
the smallest network that has it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from ipaddress import ip_network
from typing import NamedTuple

from controller.policy.engine import Engine
from controller.policy.members import ActiveRule
from kube.netpol import Block
from kube.objects import IPAddress
from openflow.net import IPNetwork

_BITS = {4: 32, 6: 128}
ROOT: dict[int, IPNetwork] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
"""Every address of a family."""


class Span(NamedTuple):
    """The addresses of `cidr` without those of `excepted`."""

    cidr: IPNetwork
    excepted: tuple[IPNetwork, ...] = ()

    def __str__(self) -> str:
        excepted = f" except {', '.join(map(str, self.excepted))}" if self.excepted else ""
        return f"{self.cidr}{excepted}"


class Atoms:
    """The pieces of one address family. A piece goes by its network."""

    def __init__(self, engine: Engine, version: int) -> None:
        self._version = version
        self._networks = _Index(version)
        self._pieces = _Index(version)
        for (_, network), rules in engine.networks.items():
            self._networks.add(network, rules)
        for network in {ROOT[version], *_named(engine)}:
            self._pieces.add(network, ())
        self._known: dict[IPNetwork, frozenset[ActiveRule]] = {}

    def of(self, ip: IPAddress) -> IPNetwork:
        """The piece that has an address."""
        size = next(size for size in self._pieces.sizes if self._pieces.at(ip, size) is not None)
        return ip_network((ip, size), strict=False)

    def rules(self, ip: IPAddress) -> frozenset[ActiveRule]:
        """The rules that name a network with this address."""
        piece = self.of(ip)
        if piece not in self._known:
            found = (self._networks.at(ip, size) or () for size in self._networks.sizes)
            self._known[piece] = frozenset(rule for rules in found for rule in rules)
        return self._known[piece]

    def outside(self, ranges: Iterable[IPNetwork]) -> Iterator[tuple[IPNetwork, IPAddress]]:
        """Each piece that has an address in none of `ranges`, with such an address. Sorted."""
        own = {each for each in ranges if each.version == self._version}
        below = _below({*self._pieces, *own})
        for network in sorted(set(self._pieces) - own):
            ip = _free(network, below.get(network, ()))
            if ip is not None and not any(ip in each for each in own):
                yield network, ip

    def spans(self, pieces: Iterable[IPNetwork]) -> tuple[Span, ...]:
        """Pieces in the fewest words: one inside another of them goes without saying."""
        chosen = set(pieces)
        below = _below(self._pieces)
        above = {child: parent for parent, children in below.items() for child in children}
        tops = sorted(each for each in chosen if above.get(each) not in chosen)
        return tuple(Span(each, tuple(_holes(each, chosen, below))) for each in tops)


def _named(engine: Engine) -> Iterator[IPNetwork]:
    """Every network that a policy writes down."""
    for policy in engine.policies.values():
        for rules in policy.rules.values():
            for block in (peer for rule in rules for peer in rule.peers or () if isinstance(peer, Block)):
                yield from (block.cidr, *block.excepted)


class _Index:
    """What is said of networks of one family, found by an address and the length of the prefix."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._at: defaultdict[int, dict[int, set[ActiveRule]]] = defaultdict(dict)

    def add(self, network: IPNetwork, rules: Iterable[ActiveRule]) -> None:
        if network.version == self._version:
            self._at[network.prefixlen].setdefault(int(network.network_address), set()).update(rules)

    def at(self, ip: IPAddress, size: int) -> set[ActiveRule] | None:
        """None where there is no such network."""
        free = _BITS[self._version] - size
        return self._at[size].get(int(ip) >> free << free)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Lengths of prefixes, the longest first."""
        return tuple(sorted(self._at, reverse=True))

    def __iter__(self) -> Iterator[IPNetwork]:
        for size, networks in self._at.items():
            for number in networks:
                yield ip_network((number.to_bytes(_BITS[self._version] // 8, "big"), size))


def _below(networks: Iterable[IPNetwork]) -> Mapping[IPNetwork, list[IPNetwork]]:
    """The largest networks within each, sorted."""
    found: defaultdict[IPNetwork, list[IPNetwork]] = defaultdict(list)
    around: list[IPNetwork] = []
    for each in sorted(networks):
        while around and not each.subnet_of(around[-1]):  # type: ignore[arg-type]
            around.pop()
        if around:
            found[around[-1]].append(each)
        around.append(each)
    return found


def _free(network: IPNetwork, taken: Iterable[IPNetwork]) -> IPAddress | None:
    """The first address of a network that is in none of these, which are sorted and lie within it."""
    number = int(network.network_address)
    for each in taken:
        if number < int(each.network_address):
            break
        number = int(each.broadcast_address) + 1
    free = number - int(network.network_address)
    return network.network_address + free if number <= int(network.broadcast_address) else None


def _holes(
    network: IPNetwork, chosen: set[IPNetwork], below: Mapping[IPNetwork, list[IPNetwork]]
) -> Iterator[IPNetwork]:
    for each in below.get(network, ()):
        if each in chosen:
            yield from _holes(each, chosen, below)
        else:
            yield each
