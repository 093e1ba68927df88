"""Which address a new pod gets: a pure choice among what the node's podCIDRs leave free.

There is no file of leases. The Interface rows of the switch's database say what is in use, and the caller hands
that set over with each request. The choice goes round the CIDR (next-fit), so that a freed address rests for
as long as possible: whoever still remembers its old owner meets nobody, rather than somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_SEED_WINDOW = 1 << 16  # start within the first addresses of a huge CIDR: they are short to write


class PoolError(ValueError):
    """The node's podCIDRs cannot serve as pools; the message names the CIDR."""


class Exhausted(Exception):  # noqa: N818 - named as what went wrong
    """Every address of a CIDR is in use or reserved."""

    def __init__(self, cidr: IPNetwork, in_use: int, reserved: int) -> None:
        super().__init__(
            f"no free address in {cidr}: of {cidr.num_addresses}, {in_use} are in use and {reserved} reserved;"
            f" delete pods on this node, or give it a larger podCIDR"
        )
        self.cidr = cidr


class Unavailable(ValueError):  # noqa: N818 - named as what went wrong
    """A requested address cannot be given; the message names it and says why."""


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

    def allocate(
        self, used: Set[IPAddress], last: Sequence[IPAddress], requested: Sequence[IPAddress] = ()
    ) -> tuple[IPAddress, ...]:
        """One free address of each family, in the order of the CIDRs: the requested one, or the next after ``last``.

        ``last`` is the result of the allocation before (or of start). Raises Exhausted, or Unavailable for a
        requested address that is outside, reserved or in use. Takes as many steps as there are addresses in use
        in a row, whatever the size of the CIDR.
        """
        self._check_requested(requested)
        return tuple(self._from(cidr, used, last, requested) for cidr in self.cidrs)

    def _from(
        self, cidr: IPNetwork, used: Set[IPAddress], last: Sequence[IPAddress], requested: Sequence[IPAddress]
    ) -> IPAddress:
        wanted = next((ip for ip in requested if ip in cidr), None)
        if wanted is not None:
            return self._checked(cidr, used, wanted)
        cursor = next((int(ip) - int(cidr.network_address) for ip in last if ip in cidr), 0)
        taken = never_given(cidr)
        for step in range(1, cidr.num_addresses + 1):
            candidate = _at(cidr, (cursor + step) % cidr.num_addresses)
            if candidate not in used and candidate not in taken:
                return candidate
        raise Exhausted(cidr, sum(ip in cidr for ip in used - taken), sum(ip in cidr for ip in taken))

    def _checked(self, cidr: IPNetwork, used: Set[IPAddress], wanted: IPAddress) -> IPAddress:
        if wanted in never_given(cidr):
            raise Unavailable(f"requested address {wanted} is reserved in {cidr}")
        if wanted in used:
            raise Unavailable(f"requested address {wanted} is in use by another pod on this node")
        return wanted

    def _check_requested(self, requested: Sequence[IPAddress]) -> None:
        for ip in requested:
            cidr = next((cidr for cidr in self.cidrs if ip in cidr), None)
            if cidr is None:
                raise Unavailable(f"requested address {ip} is not in {', '.join(map(str, self.cidrs))}")
            if sum(other in cidr for other in requested) > 1:
                raise Unavailable(f"more than one address requested in {cidr}: {', '.join(map(str, requested))}")


def _at(cidr: IPNetwork, offset: int) -> IPAddress:
    return cidr.network_address + offset
