"""What the kernel has: links, addresses, routes and neighbours read into the values of `rtnl`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from node_agent import rtnl
from node_agent.netlink import Netlink
from node_agent.nlmsg import attributes
from node_agent.rtnl import Address, IPAddress, IPInterface, IPNetwork, Link, Neighbour, Route

_FAMILIES = (rtnl.AF_INET, rtnl.AF_INET6)


def link(netlink: Netlink, name: str) -> Link | None:
    """The interface called ``name``, or None."""
    body = netlink.query(rtnl.get_link(name))
    return None if body is None else _link(body)


def links(netlink: Netlink) -> tuple[Link, ...]:
    """All interfaces, by index."""
    found = (_link(body) for body in netlink.dump(rtnl.list_links()))
    return tuple(sorted(found, key=lambda link: link.index))


def addresses(netlink: Netlink, index: int = 0) -> tuple[Address, ...]:
    """All addresses, or those of one interface, in the kernel's order."""
    dumps = (netlink.dump(rtnl.list_addresses(family, index)) for family in _FAMILIES)
    found = (_address(body) for bodies in dumps for body in bodies)
    return tuple(address for address in found if index in (0, address.link))


def routes(netlink: Netlink, protocol: int = 0, *, every_table: bool = False) -> tuple[Route, ...]:
    """Unicast routes with a single next hop, of the main table or of every one; of one protocol number, or of all."""
    table = rtnl.TABLE_EVERY if every_table else rtnl.TABLE_MAIN
    dumps = (netlink.dump(rtnl.list_routes(family, protocol, table)) for family in _FAMILIES)
    found = (_route(body, every_table) for bodies in dumps for body in bodies)
    return tuple(route for route in found if route is not None and protocol in (0, route.protocol))


def permanent_neighbours(netlink: Netlink, index: int) -> tuple[Neighbour, ...]:
    """The permanent neighbour entries of one interface."""
    return tuple(entry for entry, state in _neighbours(netlink, index) if state & rtnl.NUD_PERMANENT)


def resolved_neighbours(netlink: Netlink, index: int) -> tuple[Neighbour, ...]:
    """The neighbours of one interface whose MAC the kernel knows."""
    return tuple(entry for entry, state in _neighbours(netlink, index) if entry.mac and not state & rtnl.NUD_UNKNOWN)


def _neighbours(netlink: Netlink, index: int) -> Iterator[tuple[Neighbour, int]]:
    for family in _FAMILIES:
        for body in netlink.dump(rtnl.list_neighbours(family)):
            _, link, state, _, _ = rtnl.NEIGHBOUR.unpack_from(body)
            found = attributes(body[rtnl.NEIGHBOUR.size :])
            ip = _ip(found.get(rtnl.NDA_DST))
            if ip is not None and link == index:
                yield Neighbour(index, ip, found.get(rtnl.NDA_LLADDR, b"").hex(":")), state


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = rtnl.LINK.unpack_from(body)
    found = attributes(body[rtnl.LINK.size :])
    return Link(
        index=index,
        name=found[rtnl.IFLA_IFNAME].rstrip(b"\0").decode(),
        mac=found.get(rtnl.IFLA_ADDRESS, b"").hex(":"),
        mtu=_u32(found, rtnl.IFLA_MTU),
        up=bool(flags & rtnl.IFF_UP),
        arp=not flags & rtnl.IFF_NOARP,
        loopback=bool(flags & rtnl.IFF_LOOPBACK),
        group=_u32(found, rtnl.IFLA_GROUP),
        ipv6=_has_ipv6(attributes(found.get(rtnl.IFLA_AF_SPEC, b""))),
    )


def _has_ipv6(by_family: dict[int, bytes]) -> bool:
    settings = attributes(by_family.get(rtnl.AF_INET6, b"")).get(rtnl.IFLA_INET6_CONF, b"")
    at = rtnl.DEVCONF_DISABLE_IPV6 * rtnl.U32.size
    return len(settings) > at and settings[at : at + rtnl.U32.size] == bytes(rtnl.U32.size)


def _address(body: bytes) -> Address:
    family, prefixlen, _, _, index = rtnl.ADDRESS.unpack_from(body)
    found = attributes(body[rtnl.ADDRESS.size :])
    # On a point-to-point link ADDRESS is the other end's; LOCAL, where it is given, is always our own.
    own = found.get(rtnl.IFA_LOCAL) or found[rtnl.IFA_ADDRESS]
    ip: IPInterface = (IPv4Interface if family == rtnl.AF_INET else IPv6Interface)((own, prefixlen))
    return Address(index, ip)


def _route(body: bytes, every_table: bool) -> Route | None:
    """None for what is not Weft's business: local and blackhole routes, several next hops, and other tables if they
    were not asked for."""
    family, dst_len, _, _, table, protocol, scope, kind, flags = rtnl.ROUTE.unpack_from(body)
    found = attributes(body[rtnl.ROUTE.size :])
    table = _u32(found, rtnl.RTA_TABLE) or table
    if (table != rtnl.TABLE_MAIN and not every_table) or kind != rtnl.UNICAST or rtnl.RTA_OIF not in found:
        return None
    any_address = bytes(4 if family == rtnl.AF_INET else 16)
    network: type[IPv4Network] | type[IPv6Network] = IPv4Network if family == rtnl.AF_INET else IPv6Network
    destination: IPNetwork = network((found.get(rtnl.RTA_DST, any_address), dst_len))
    return Route(
        link=_u32(found, rtnl.RTA_OIF),
        destination=destination,
        gateway=_ip(found.get(rtnl.RTA_GATEWAY)),
        source=_ip(found.get(rtnl.RTA_PREFSRC)),
        priority=_u32(found, rtnl.RTA_PRIORITY),
        protocol=protocol,
        scope=scope,
        onlink=bool(flags & rtnl.ONLINK),
    )


def _ip(packed: bytes | None) -> IPAddress | None:
    if packed is None:
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _u32(found: dict[int, bytes], kind: int) -> int:
    value = found.get(kind)
    return 0 if value is None else int(rtnl.U32.unpack(value)[0])
