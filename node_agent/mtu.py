"""How large a pod's packets may be, and which interface decides it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from node_agent.rtnl import Address, IPAddress, Link, Route

Tunnel = Literal["geneve", "vxlan"]

MINIMUM = {4: 68, 6: 1280}
"""The least MTU of a link by IP version: RFC 791 section 3.2, RFC 8200 section 5."""

_ENCAPSULATED_ETHERNET, _UDP = 14, 8
_TUNNEL_HEADER = {"geneve": 8, "vxlan": 8}  # RFC 8926 section 3.4 without options; RFC 7348 section 5
_IP_HEADER = {4: 20, 6: 40}


class MtuError(ValueError):
    """There is no usable MTU; the message gives the numbers."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface that tunnel packets leave through, and its MTU in bytes."""

    ifname: str
    mtu: int


def overhead(tunnel: Tunnel, underlay: int) -> int:
    """Bytes that a tunnel adds to a pod's IP packet, with underlay IP version 4 or 6.

    50 over IPv4 and 70 over IPv6, for both tunnel types. Geneve options would come on top; Weft sends none.
    """
    return _ENCAPSULATED_ETHERNET + _TUNNEL_HEADER[tunnel] + _UDP + _IP_HEADER[underlay]


def pod_mtu(uplink: Uplink, tunnel: Tunnel, underlay: int, pod_versions: frozenset[int]) -> int:
    """The MTU of pods: the uplink's less the tunnel's overhead.

    ``underlay``: IP version of the tunnel's outer header; ``pod_versions``: of the pods' addresses. Raises
    MtuError if what remains is less than a pod's IP version demands.
    """
    cost = overhead(tunnel, underlay)
    mtu = uplink.mtu - cost
    least = max(MINIMUM[version] for version in pod_versions)
    if mtu < least:
        raise MtuError(
            f"MTU {uplink.mtu} of {uplink.ifname} less {cost} bytes for {tunnel} over IPv{underlay} leaves {mtu},"
            f" but IPv{max(pod_versions)} in pods needs at least {least}: raise the MTU of {uplink.ifname}"
            f" to {least + cost} or more"
        )
    return mtu


def find_uplink(
    tunnel_ip: IPAddress, links: Sequence[Link], addresses: Sequence[Address], routes: Sequence[Route]
) -> Uplink:
    """The interface that carries the node's tunnel address.

    An address on the loopback interface is announced by a routing protocol; the packets then leave through the
    default routes, and the one with the smallest MTU counts. Raises MtuError when no interface has the address.
    """
    carriers = _carrying(tunnel_ip, links, addresses)
    if not carriers:
        have = ", ".join(sorted(str(address.ip.ip) for address in addresses))
        raise MtuError(f"no interface of this node has the tunnel address {tunnel_ip}; it has {have or 'none'}")
    if all(link.loopback for link in carriers):
        carriers = _default_links(tunnel_ip.version, links, routes)
    if not carriers:
        raise MtuError(f"tunnel address {tunnel_ip} is on the loopback interface, and there is no default route")
    chosen = min(carriers, key=lambda link: (link.loopback, link.mtu, link.name))
    return Uplink(chosen.name, chosen.mtu)


def _carrying(ip: IPAddress, links: Sequence[Link], addresses: Sequence[Address]) -> list[Link]:
    indexes = {address.link for address in addresses if address.ip.ip == ip}
    return [link for link in links if link.index in indexes]


def _default_links(version: int, links: Sequence[Link], routes: Sequence[Route]) -> list[Link]:
    indexes = {
        route.link for route in routes if route.destination.version == version and route.destination.prefixlen == 0
    }
    return [link for link in links if link.index in indexes]
