"""Handing the node's uplink to Open vSwitch, and taking it back.

The userspace datapath sends tunnel packets itself, so the transport interface has to be a port of a bridge
(`br-phy`), and its addresses and routes live on the bridge's internal device. That device vanishes when the
bridge is made anew: the caller therefore keeps what was moved (`Addressing.to_text`) in the switch's database
*before* the first move, and attaches again whenever the device is there anew. Every step may be repeated, and
the agent may die between any two.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any, Self

from node_agent import ethtool, rtnl, rtnl_read, sysctl
from node_agent.netlink import Netlink
from node_agent.nlmsg import NetlinkError, Request
from node_agent.rtnl import Address, IPAddress, IPInterface, Link, Route


class AddressingError(ValueError):
    """A stored Addressing does not parse; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """What moves between the transport interface and the bridge. Routes have ``link`` 0: whichever it is now.

    Lifetimes are not kept: an address from DHCP or a router advertisement becomes a permanent one.
    """

    addresses: tuple[IPInterface, ...]
    routes: tuple[Route, ...]

    def to_text(self) -> str:
        """As JSON, for an OVSDB external_ids value."""
        routes = [
            [str(r.destination), _text(r.gateway), _text(r.source), r.priority, r.protocol, r.scope, r.onlink]
            for r in self.routes
        ]
        return json.dumps({"addresses": [str(ip) for ip in self.addresses], "routes": routes})

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of to_text. Raises AddressingError."""
        try:
            data = json.loads(text)
            addresses = tuple(ip_interface(ip) for ip in data["addresses"])
            return cls(addresses, tuple(_parse_route(*fields) for fields in data["routes"]))
        except (ValueError, KeyError, TypeError) as e:
            raise AddressingError(f"stored transport addresses {text!r} do not parse: {e}") from e

    def joined(self, other: Self) -> Self:
        """This, and after it what only `other` has: addresses that the interface got since the move."""
        addresses = (*self.addresses, *(ip for ip in other.addresses if ip not in self.addresses))
        routes = (*self.routes, *(route for route in other.routes if route not in self.routes))
        return replace(self, addresses=addresses, routes=routes)


@dataclass(frozen=True, slots=True)
class Transport:
    """The transport interface, the bridge it is a port of, and what moves."""

    interface: str
    bridge_ifname: str
    addressing: Addressing


def snapshot(interface: str) -> Addressing:
    """The addresses and routes of an interface, less what the kernel makes by itself. Raises NetlinkError."""
    with Netlink() as netlink:
        link = _must_find(netlink, interface)
        addresses = tuple(a.ip for a in rtnl_read.addresses(netlink, link.index) if not a.ip.is_link_local)
        routes = [r for r in rtnl_read.routes(netlink) if r.link == link.index and r.protocol != rtnl.PROTO_KERNEL]
    # Routes on the link first: those through a gateway need them.
    ordered = sorted(routes, key=lambda r: (r.gateway is not None, r.destination.version, str(r)))
    return Addressing(addresses, tuple(replace(route, link=0) for route in ordered))


def attach_transport(transport: Transport) -> tuple[str, ...]:
    """Move addresses and routes to the bridge's device, and quieten the interface; returns what was changed.

    The bridge's device takes the interface's MAC address, so that neighbours (and clouds that filter by it) see
    no change; set Bridge.other_config:hwaddr to it as well, or the switch will choose another. The kernel's own
    stack still sees what comes in on the interface: have nft.Ruleset.switched name it. Raises NetlinkError if
    either device is missing.
    """
    interface = transport.interface
    if ethtool.gro(interface):
        ethtool.set_gro(interface, enabled=False)  # merged packets do not fit into a tunnel
    _inherit_accept_ra(interface, transport.bridge_ifname)
    named = _take_mac(interface, transport.bridge_ifname)
    moved = move_addresses(interface, transport.bridge_ifname, transport.addressing)
    return (*named, *moved, *_set_arp(interface, enabled=False))


def detach_transport(transport: Transport) -> tuple[str, ...]:
    """Give addresses and routes back to the interface, whether or not the bridge is still there.

    Receive offload (GRO) is turned on again, which is the kernel's default.
    """
    returned = _set_arp(transport.interface, enabled=True)
    ethtool.set_gro(transport.interface, enabled=True)
    return (*returned, *move_addresses(transport.bridge_ifname, transport.interface, transport.addressing))


def move_addresses(src_if: str, dst_if: str, addressing: Addressing) -> tuple[str, ...]:
    """Have ``dst_if`` up with the addresses and routes, and ``src_if`` without; returns what was changed.

    New before old: there is no moment at which the node is without them. ``src_if`` may be missing.
    """
    with Netlink() as netlink:
        destination = _must_find(netlink, dst_if)
        arriving = _arrivals(netlink, destination, addressing)
        netlink.execute(arriving)
        source = rtnl_read.link(netlink, src_if)
        leaving = _departures(netlink, source, addressing) if source is not None else []
        netlink.execute(leaving)
    return tuple(request.what for request in (*arriving, *leaving))


def _arrivals(netlink: Netlink, link: Link, addressing: Addressing) -> list[Request]:
    addresses = {address.ip for address in rtnl_read.addresses(netlink, link.index)}
    routes = set(rtnl_read.routes(netlink))
    wanted = [replace(route, link=link.index) for route in addressing.routes]
    return [
        *([] if link.up else [rtnl.set_up(link.name)]),
        *(rtnl.add_address(Address(link.index, ip), link.name) for ip in addressing.addresses if ip not in addresses),
        *(rtnl.replace_route(route, link.name) for route in wanted if route not in routes),
    ]


def _departures(netlink: Netlink, link: Link, addressing: Addressing) -> list[Request]:
    addresses = rtnl_read.addresses(netlink, link.index)
    leaving = {replace(route, link=link.index) for route in addressing.routes}
    return [
        *(rtnl.delete_route(route, link.name) for route in rtnl_read.routes(netlink) if route in leaving),
        *(rtnl.delete_address(address, link.name) for address in addresses if address.ip in addressing.addresses),
    ]


def _inherit_accept_ra(interface: str, bridge_ifname: str) -> None:
    """Router advertisements now arrive on the bridge; a node that forwards must be told to heed them (2)."""
    key = f"net/ipv6/conf/{bridge_ifname}/accept_ra"
    if sysctl.read(f"net/ipv6/conf/{interface}/accept_ra") in ("1", "2") and sysctl.read(key) is not None:
        sysctl.write(key, "2")


def _take_mac(interface: str, bridge_ifname: str) -> tuple[str, ...]:
    with Netlink() as netlink:
        mac = _must_find(netlink, interface).mac
        if _must_find(netlink, bridge_ifname).mac == mac:
            return ()
        request = rtnl.set_mac(bridge_ifname, mac)
        netlink.execute([request])
    return (request.what,)


def _set_arp(interface: str, *, enabled: bool) -> tuple[str, ...]:
    """While the bridge speaks for the interface, the interface must not answer ARP as well."""
    with Netlink() as netlink:
        if _must_find(netlink, interface).arp == enabled:
            return ()
        request = rtnl.set_arp(interface, enabled=enabled)
        netlink.execute([request])
    return (request.what,)


def _must_find(netlink: Netlink, name: str) -> Link:
    link = rtnl_read.link(netlink, name)
    if link is None:
        hint = "is ovs-vswitchd running? It makes a device that was deleted anew only when it starts"
        raise NetlinkError(f"use {name} as transport", errno.ENODEV, hint)
    return link


def _parse_route(*fields: Any) -> Route:
    destination, gateway, source, priority, protocol, scope, onlink = fields
    return Route(
        link=0,
        destination=ip_network(destination),
        gateway=_address(gateway),
        source=_address(source),
        priority=int(priority),
        protocol=int(protocol),
        scope=int(scope),
        onlink=bool(onlink),
    )


def _address(text: str | None) -> IPAddress | None:
    return None if text is None else ip_address(text)


def _text(ip: IPv4Address | IPv6Address | None) -> str | None:
    return None if ip is None else str(ip)
