"""The node's own side of the pod network: the gateway interface, routes to pods, and kernel settings.

`desired` says what should be, `changes` compares it with what is (both pure), `apply` carries out the
difference. The gateway interface is a port of Open vSwitch. It outlives ovs-vswitchd (the switch makes its TAP
devices persistent), but when the port or the bridge is made anew, everything on it is gone, and `apply` once
more puts it back.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_interface

from node_agent import rtnl, rtnl_read, sysctl
from node_agent.ipam import gateway_address, next_hop_address
from node_agent.netlink import Netlink
from node_agent.nlmsg import NetlinkError, Request
from node_agent.rtnl import Address, IPAddress, IPInterface, IPNetwork, Link, Neighbour, Route

ROUTE_PROTOCOL = 87
"""Protocol number ("W" in ASCII) of routes that Weft made, see rt_protos(5): how it knows its own again."""

_METRIC = {4: 0, 6: 1024}  # what the kernel makes of "no metric"
_FORWARD_IPV6 = "net/ipv6/conf/all/forwarding"
_VANISHED = frozenset({errno.ENODEV, errno.ENXIO})
_ATTEMPTS = 3


class DeviceMissing(NetlinkError):  # noqa: N818 - named as what went wrong
    """The gateway interface is not there (yet, or again): apply once it is."""

    def __init__(self, ifname: str) -> None:
        super().__init__(f"configure {ifname}", errno.ENODEV, "is ovs-vswitchd running, and the port on the bridge?")
        self.ifname = ifname


class RouteConflict(Exception):  # noqa: N818 - named as what went wrong
    """Somebody else's route is where ours must be; it was not touched."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What the host's side depends on. ``pod_cidrs``: this node's; ``remote_pod_cidrs``: all other nodes'."""

    gateway_ifname: str
    gateway_mac: str
    router_mac: str
    mtu: int
    pod_cidrs: tuple[IPNetwork, ...]
    remote_pod_cidrs: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route through the gateway interface, by way of ``gateway``, with ``source`` for what the host sends."""

    destination: IPNetwork
    gateway: IPAddress
    source: IPAddress


@dataclass(frozen=True, slots=True)
class HostState:
    """How the gateway interface and the kernel shall be. ``sysctls`` are written in order, before all else."""

    ifname: str
    mac: str
    mtu: int
    addresses: tuple[IPInterface, ...]
    routes: tuple[HostRoute, ...]
    neighbours: tuple[tuple[IPAddress, str], ...]
    sysctls: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What the kernel has: the gateway interface with what is on it, and the node's routes."""

    link: Link
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    neighbours: tuple[Neighbour, ...]


def desired(config: HostConfig) -> HostState:
    """The state for a configuration: host addresses, all pods behind one permanent neighbour (the router).

    A remote CIDR of a family that this node's own CIDRs lack has no route: there is no address to send from.
    """
    return HostState(
        ifname=config.gateway_ifname,
        mac=config.gateway_mac,
        mtu=config.mtu,
        addresses=tuple(ip_interface(gateway_address(cidr)) for cidr in config.pod_cidrs),
        routes=tuple(sorted(_routes(config), key=lambda route: (route.destination.version, route.destination))),
        neighbours=tuple((next_hop_address(cidr), config.router_mac) for cidr in config.pod_cidrs),
        sysctls=tuple(_sysctls(config)),
    )


def changes(state: HostState, found: Found) -> tuple[Request, ...]:
    """What turns ``found`` into ``state``, in an order that works. Nothing, when they agree.

    Raises RouteConflict when a destination has a route that is not Weft's.
    """
    name, index = found.link.name, found.link.index
    addresses = {Address(index, ip) for ip in state.addresses}
    neighbours = {Neighbour(index, ip, mac) for ip, mac in state.neighbours}
    routes = tuple(_route(route, index) for route in state.routes)
    _refuse_conflicts(routes, found.routes)
    ours = [route for route in found.routes if route.protocol == ROUTE_PROTOCOL]
    kept_ips = {neighbour.ip for neighbour in neighbours}
    return (
        *_link_changes(state, found.link),
        *(rtnl.add_address(a, name) for a in sorted(addresses - set(found.addresses), key=_by_ip)),
        *(rtnl.set_neighbour(n, name) for n in sorted(neighbours - set(found.neighbours), key=_by_ip)),
        *(rtnl.delete_route(route, name) for route in ours if route not in routes),
        *(rtnl.add_route(route, name) for route in routes if route not in ours),
        *(rtnl.delete_neighbour(n, name) for n in found.neighbours if n.ip not in kept_ips and _settled(n.ip)),
        *(rtnl.delete_address(a, name) for a in found.addresses if a not in addresses and _settled(a.ip)),
    )


def apply(state: HostState) -> tuple[str, ...]:
    """Make the calling thread's network namespace be as ``state``; returns what was changed, for the log.

    Raises DeviceMissing, RouteConflict (before anything is changed), NetlinkError or SysctlError.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _apply_once(state)
        except DeviceMissing:
            raise
        except NetlinkError as e:
            # The switch took the device away, or made it anew, between our reading and our writing.
            if e.errno not in _VANISHED:
                raise
    return _apply_once(state)


def pod_cidrs() -> tuple[IPNetwork, ...]:
    """This node's own ranges, by the routes that `apply` made: what is in use while nobody says what should be."""
    with Netlink() as netlink:
        routes = rtnl_read.routes(netlink, ROUTE_PROTOCOL)
    own = {route.destination for route in routes if route.gateway == next_hop_address(route.destination)}
    return tuple(sorted(own, key=lambda cidr: (cidr.version, int(cidr.network_address))))


def remove(config: HostConfig) -> tuple[str, ...]:
    """Remove Weft's routes, and its addresses and neighbours from the gateway interface; returns what was removed.

    Succeeds when nothing is there. Forwarding stays on: others on the node may rely on it by now.
    """
    with Netlink() as netlink:
        routes = rtnl_read.routes(netlink, ROUTE_PROTOCOL)
        requests = [rtnl.delete_route(route, config.gateway_ifname) for route in routes]
        link = rtnl_read.link(netlink, config.gateway_ifname)
        if link is not None:
            found = _read(netlink, link)
            requests += [rtnl.delete_neighbour(n, link.name) for n in found.neighbours if _settled(n.ip)]
            requests += [rtnl.delete_address(a, link.name) for a in found.addresses if _settled(a.ip)]
        netlink.execute(requests)
    return tuple(request.what for request in requests)


def _apply_once(state: HostState) -> tuple[str, ...]:
    with Netlink() as netlink:
        link = rtnl_read.link(netlink, state.ifname)
        if link is None:
            raise DeviceMissing(state.ifname)
        requests = changes(state, _read(netlink, link))
        written = [done for key, value in state.sysctls for done in _write(key, value)]
        netlink.execute(requests)
    return (*written, *(request.what for request in requests))


def _read(netlink: Netlink, link: Link) -> Found:
    return Found(
        link=link,
        addresses=rtnl_read.addresses(netlink, link.index),
        routes=rtnl_read.routes(netlink),
        neighbours=rtnl_read.permanent_neighbours(netlink, link.index),
    )


def _routes(config: HostConfig) -> Iterator[HostRoute]:
    own = {cidr.version: cidr for cidr in reversed(config.pod_cidrs)}
    for cidr in {*config.pod_cidrs, *config.remote_pod_cidrs}:
        if cidr.version in own:
            via = own[cidr.version]
            yield HostRoute(cidr, next_hop_address(via), gateway_address(via))


def _sysctls(config: HostConfig) -> Iterator[tuple[str, str]]:
    versions = {cidr.version for cidr in config.pod_cidrs}
    if 4 in versions:
        yield f"net/ipv4/conf/{config.gateway_ifname}/rp_filter", "2"  # loose: pods of other nodes come in here too
        yield "net/ipv4/ip_forward", "1"
    if 6 in versions:
        on_gateway = f"net/ipv6/conf/{config.gateway_ifname}"
        yield f"{on_gateway}/disable_ipv6", "0"
        yield f"{on_gateway}/accept_ra", "0"
        yield f"{on_gateway}/addr_gen_mode", "1"  # no link-local address: nobody on the bridge may use it
        yield _FORWARD_IPV6, "1"


def _write(key: str, value: str) -> Iterator[str]:
    """Write a sysctl if it differs; yields what was written."""
    if key == _FORWARD_IPV6 and sysctl.read(key) == "0":
        yield from _keep_router_advertisements()
    if sysctl.write(key, value):
        yield f"set sysctl {key} to {value}"


def _keep_router_advertisements() -> Iterator[str]:
    """A router ignores router advertisements (accept_ra 1), unless told otherwise (2).

    A node that got its IPv6 default route that way would lose it when forwarding is turned on.
    """
    for name in sysctl.children("net/ipv6/conf"):
        key = f"net/ipv6/conf/{name}/accept_ra"
        if name not in ("all", "default", "lo") and sysctl.read(key) == "1" and sysctl.write(key, "2"):
            yield f"set sysctl {key} to 2"


def _link_changes(state: HostState, link: Link) -> Iterable[Request]:
    if link.mac != state.mac:
        yield rtnl.set_mac(link.name, state.mac)
    if link.mtu != state.mtu:
        yield rtnl.set_mtu(link.name, state.mtu)
    if not link.up:
        yield rtnl.set_up(link.name)


def _route(route: HostRoute, index: int) -> Route:
    return Route(
        link=index,
        destination=route.destination,
        gateway=route.gateway,
        source=route.source,
        priority=_METRIC[route.destination.version],
        protocol=ROUTE_PROTOCOL,
        onlink=True,
    )


def _refuse_conflicts(routes: Iterable[Route], found: Iterable[Route]) -> None:
    foreign = {(r.destination, r.priority): r for r in found if r.protocol != ROUTE_PROTOCOL}
    for route in routes:
        other = foreign.get((route.destination, route.priority))
        if other is not None:
            raise RouteConflict(
                f"the node has a route to {other} (interface index {other.link}, protocol {other.protocol}) that is"
                f" not Weft's, and pods are to be there: remove it, or choose other podCIDRs"
            )


def _settled(ip: IPAddress | IPInterface) -> bool:
    """Whether the address is one that is given, rather than one that the kernel makes for itself."""
    return not (ip.is_link_local or ip.is_multicast)


def _by_ip(value: Address | Neighbour) -> tuple[int, bytes]:
    return value.ip.version, value.ip.packed
