"""Which address a new pod gets: a pure choice among what the node's podCIDRs leave free.

There is no file of leases. The Interface rows of the switch's database say what is in use, and the caller hands
that set over with each request. The choice goes round the CIDR (next-fit), so that a freed address rests for
as long as possible: whoever still remembers its old owner meets nobody, rather than somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from node_agent import spans
from node_agent.spans import Spans

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_SEED_WINDOW = 1 << 16  # start within the first addresses of a huge CIDR: they are short to write


class PoolError(ValueError):
    """The node's podCIDRs cannot serve as pools; the message names the CIDR."""


class Exhausted(Exception):  # noqa: N818 - named as what went wrong
    """Every address of a CIDR that a pod may have is in use or reserved."""

    def __init__(self, cidr: IPNetwork, among: str, in_use: int, of: tuple[int, int]) -> None:
        """`of`: how many there are, and how many of them are reserved."""
        super().__init__(
            f"no free address in {among or cidr}: of {of[0]}, {in_use} are in use and {of[1]} reserved;"
            f" delete pods on this node, or give it a larger {'range' if among else 'podCIDR'}"
        )
        self.cidr = cidr


class Unavailable(ValueError):  # noqa: N818 - named as what went wrong
    """A requested address cannot be given; the message names it and says why."""


class InUse(Unavailable):
    """The requested address `ip` is another pod's."""

    def __init__(self, ip: IPAddress) -> None:
        super().__init__(f"requested address {ip} is in use by another pod on this node")
        self.ip = ip


Range = tuple[IPAddress, IPAddress]
"""The first and the last address of it."""

RELATIVE = (IPv4Network("0.0.0.0/8"), IPv6Network("::/96"))
"""Ranges in these, which no pod's addresses are of, count from the beginning of a node's podCIDR."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Ranges by the name of the setting that has them. They concern families of which they have a range."""

    name: str
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: just these addresses; some that are in all of `within`, and in none of `apart`."""

    ips: tuple[IPAddress, ...] = ()
    within: tuple[Bounds, ...] = ()
    apart: tuple[Bounds, ...] = ()


ANY = Wish()


def gateway_address(cidr: IPNetwork) -> IPAddress:
    """The node's own address in its podCIDR: the first host address."""
    return cidr.network_address + 1


def next_hop_address(cidr: IPNetwork) -> IPAddress:
    """Where the *host* sends packets for pods: the network address, which is no one's."""
    return cidr.network_address


def never_given(cidr: IPNetwork) -> frozenset[IPAddress]:
    """The network address, the gateway and, in IPv4, the broadcast address."""
    last = {cidr.broadcast_address} if cidr.version == 4 else set()
    return frozenset({next_hop_address(cidr), gateway_address(cidr)} | last)


@dataclass(frozen=True, slots=True)
class Pools:
    """The node's podCIDRs, at most one of each family, less addresses that pods never get.

    Raises PoolError for two CIDRs of one family, for none, and for one too small to hold a single pod (IPv4 /31
    and /32, IPv6 /127 and /128).
    """

    cidrs: tuple[IPNetwork, ...]

    def __post_init__(self) -> None:
        if not self.cidrs:
            raise PoolError("the node has no podCIDR: is the controller manager run with --allocate-node-cidrs?")
        for cidr in self.cidrs:
            same = [str(other) for other in self.cidrs if other.version == cidr.version]
            if len(same) > 1:
                raise PoolError(f"more than one IPv{cidr.version} podCIDR on one node: {', '.join(same)}")
            if cidr.num_addresses < 4:
                raise PoolError(f"podCIDR {cidr} is too small: it holds {cidr.num_addresses} addresses of at least 4")

    def start(self, seed: int) -> tuple[IPAddress, ...]:
        """A ``last`` for the first allocation after a restart, anywhere in the pools as ``seed`` decides.

        Which address was given last is not recorded; a start that differs each time keeps freed ones resting.
        """
        return tuple(_at(cidr, seed % min(cidr.num_addresses, _SEED_WINDOW)) for cidr in self.cidrs)

    def allocate(self, used: Set[IPAddress], last: Sequence[IPAddress], wish: Wish = ANY) -> tuple[IPAddress, ...]:
        """One free address of each family, in the order of the CIDRs: the requested one, or the next after ``last``.

        ``last`` is the result of the allocation before (or of start). Raises Exhausted, or Unavailable for a
        requested address that is outside, reserved or in use (InUse), and for bounds that have no address in a CIDR.
        Takes as many steps as there are addresses in use in a row, whatever the size of the CIDR.
        """
        self._check_requested(wish.ips)
        return tuple(_from(cidr, used, last, wish) for cidr in self.cidrs)

    def _check_requested(self, requested: Sequence[IPAddress]) -> None:
        for ip in requested:
            cidr = next((cidr for cidr in self.cidrs if ip in cidr), None)
            if cidr is None:
                raise Unavailable(
                    f"requested address {ip} is not in {', '.join(map(str, self.cidrs))}, which this node has;"
                    " bind the pod to the node that has the address, or ask for another"
                )
            if sum(other in cidr for other in requested) > 1:
                raise Unavailable(f"more than one address requested in {cidr}: {', '.join(map(str, requested))}")


def _from(cidr: IPNetwork, used: Set[IPAddress], last: Sequence[IPAddress], wish: Wish) -> IPAddress:
    wanted = next((ip for ip in wish.ips if ip in cidr), None)
    if wanted is not None:
        return _checked(cidr, used, wanted, wish)
    bounded = _bounded(cidr, wish.within)
    possible = _possible(cidr, bounded, wish.apart)
    cursor = next((int(ip) - int(cidr.network_address) for ip in last if ip in cidr), 0)
    for offset in spans.in_turn(possible, cursor):
        candidate = _at(cidr, offset)
        if candidate not in used:
            return candidate
    all_of_them = spans.size(bounded)
    reserved = all_of_them - spans.size(possible)
    raise Exhausted(cidr, _names(wish.within), all_of_them - reserved, (all_of_them, reserved))


def _bounded(cidr: IPNetwork, within: Iterable[Bounds]) -> Spans:
    """Where addresses may be, as offsets; bounds that have no range of a family leave it alone."""
    found: Spans = ((0, cidr.num_addresses - 1),)
    for bounds in within:
        if any(each[0].version == cidr.version for each in bounds.ranges):
            found = spans.both(found, _spans(cidr, bounds))
            if not found:
                ranges = ", ".join(" to ".join(map(str, each)) for each in bounds.ranges)
                raise Unavailable(f"{bounds.name} ({ranges}) has no address in this node's podCIDR {cidr}")
    return found


def _possible(cidr: IPNetwork, bounded: Spans, apart: Iterable[Bounds]) -> Spans:
    """Of those, the ones that are neither reserved nor others'."""
    offsets = (int(ip) - int(cidr.network_address) for ip in never_given(cidr))
    others = (span for bounds in apart for span in _spans(cidr, bounds))
    return spans.less(bounded, [*((offset, offset) for offset in offsets), *others])


def _spans(cidr: IPNetwork, bounds: Bounds) -> Spans:
    """The bounds' offsets in a CIDR."""
    everything = ((0, cidr.num_addresses - 1),)
    same_family = [each for each in bounds.ranges if each[0].version == cidr.version]
    return spans.both(everything, spans.merged((_offset(cidr, a), _offset(cidr, b)) for a, b in same_family))


def _offset(cidr: IPNetwork, ip: IPAddress) -> int:
    return int(ip) if any(ip in network for network in RELATIVE) else int(ip) - int(cidr.network_address)


def _checked(cidr: IPNetwork, used: Set[IPAddress], wanted: IPAddress, wish: Wish) -> IPAddress:
    offset = int(wanted) - int(cidr.network_address)
    if wanted in never_given(cidr):
        raise Unavailable(f"requested address {wanted} is reserved in {cidr}; ask for another")
    if not _holds(_bounded(cidr, wish.within), offset):
        raise Unavailable(f"requested address {wanted} is not in {_names(wish.within)}")
    for bounds in wish.apart:
        if _holds(_spans(cidr, bounds), offset):
            raise Unavailable(f"requested address {wanted} is in {bounds.name}, which is for that namespace alone")
    if wanted in used:
        raise InUse(wanted)
    return wanted


def _holds(some: Spans, offset: int) -> bool:
    return any(first <= offset <= last for first, last in some)


def _names(within: Iterable[Bounds]) -> str:
    return " and ".join(bounds.name for bounds in within)


def _at(cidr: IPNetwork, offset: int) -> IPAddress:
    return cidr.network_address + offset
