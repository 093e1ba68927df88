"""Where a pod's addresses may be: `runtimeConfig.ipRanges`, and `addressPools` of the configuration.

`ipRanges` is a list of sets of ranges as the reference plugin host-local has them; a pod gets an address out of each
set. `addressPools` is Weft's own: ranges, by namespace, that this namespace's pods get addresses of and no others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from cni.fields import field, fold, invalid

IPAddress = IPv4Address | IPv6Address

_ASKED = "runtimeConfig.ipRanges"
_POOLS = "addressPools"


class AddressRange(NamedTuple):
    """All addresses from the first to the last."""

    first: IPAddress
    last: IPAddress


class AskedRanges(NamedTuple):
    """At most one set of ranges of a family, and the gateways that they name."""

    ranges: tuple[AddressRange, ...] = ()
    gateways: tuple[IPAddress, ...] = ()


ANYWHERE = AskedRanges()

Pools = Mapping[str, tuple[AddressRange, ...]]
"""Ranges by namespace."""


def parse_asked(runtime: Mapping[str, Any]) -> AskedRanges:
    """`ipRanges` of a runtimeConfig. Errors: CniError 7, naming key and value."""
    given = {_ASKED: fold(runtime).get("ipranges")}
    sets = field(given, _ASKED, list[list[dict[str, Any]]], [])
    parsed = [[_asked(fold(each), sets) for each in ranges] for ranges in sets]
    versions = [{each.first.version for each, _ in ranges} for ranges in parsed]
    if any(len(of_set) != 1 for of_set in versions) or len(set(map(frozenset, versions))) < len(versions):
        raise invalid(_ASKED, sets, "a pod has one address of each family: give at most one list of ranges for each")
    flat = [pair for ranges in parsed for pair in ranges]
    return AskedRanges(tuple(each for each, _ in flat), tuple(gateway for _, gateway in flat if gateway is not None))


def parse_pools(conf: Mapping[str, Any]) -> Pools:
    """`addressPools` of a configuration, in any letter case. Errors: CniError 7, naming namespace and value."""
    by_namespace = field({_POOLS: fold(conf).get(_POOLS.lower())}, _POOLS, dict[str, Any], {})
    where = f"{_POOLS}."
    texts = {name: field(by_namespace, name, list[str], [], where=where) for name in by_namespace}
    pools = {name: tuple(_pool_range(name, text) for text in ranges) for name, ranges in texts.items()}
    _refuse_overlaps(pools)
    return pools


def _asked(each: Mapping[str, Any], shown: object) -> tuple[AddressRange, IPAddress | None]:
    """One range of host-local: `subnet`, and what `rangeStart`, `rangeEnd` and `gateway` say of it."""
    keys = ("subnet", "rangestart", "rangeend", "gateway")
    within, start, end, hop = (field(each, key, str, "", where=_ASKED + ".") for key in keys)
    try:
        subnet = ip_network(within, strict=False)
        first, last = ip_address(start or subnet[0]), ip_address(end or subnet[-1])
        gateway = ip_address(hop) if hop else None
    except ValueError as e:
        raise invalid(_ASKED, shown, str(e) if within else "subnet is missing") from e
    if first not in subnet or last not in subnet or int(first) > int(last):
        raise invalid(_ASKED, shown, f"{first} to {last} is no range within {subnet}")
    return AddressRange(first, last), gateway


def _pool_range(namespace: str, text: str) -> AddressRange:
    try:
        network = ip_network(text)
    except ValueError as e:
        raise invalid(f"{_POOLS}.{namespace}", text, f"expected a CIDR: {e}") from e
    return AddressRange(network[0], network[-1])


def _refuse_overlaps(pools: Pools) -> None:
    """An address of two namespaces would be neither's."""
    of_all = ((each, namespace) for namespace, ranges in pools.items() for each in ranges)
    owner, end = "", (0, 0)  # of the range that reaches farthest, among those that begin before the next
    for each, other in sorted(of_all, key=lambda pair: _place(pair[0].first)):
        if owner not in ("", other) and _place(each.first) <= end:
            shown = " to ".join(map(str, each))
            raise invalid(f"{_POOLS}.{other}", shown, f"overlaps with {_POOLS}.{owner}")
        owner, end = max((owner, end), (other, _place(each.last)), key=lambda pair: pair[1])


def _place(ip: IPAddress) -> tuple[int, int]:
    return ip.version, int(ip)
