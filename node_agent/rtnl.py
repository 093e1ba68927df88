"""Links, addresses, routes and neighbours as values, and the rtnetlink requests that make and remove them.

Pure: requests are bytes with a description; `netlink.Netlink` sends them, `rtnl_read` gives the same values back.
Numbers are those of <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>, <linux/neighbour.h> and
<linux/ipv6.h>.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from node_agent.nlmsg import APPEND, CREATE, DUMP, EXCL, REPLACE, Request, attribute

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

AF_INET, AF_INET6 = 2, 10
NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30

IFF_UP, IFF_LOOPBACK, IFF_NOARP, IFF_PROMISC = 0x1, 0x8, 0x80, 0x100
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO = 1, 3, 4, 18
IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD = 26, 27, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INET6_CONF, DEVCONF_DISABLE_IPV6 = 2, 26
IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_F_NODAD = 1, 2, 8, 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 6, 7, 15
TABLE_EVERY, TABLE_MAIN, SCOPE_UNIVERSE, SCOPE_LINK, UNICAST, ONLINK = 0, 254, 0, 253, 1, 4
PROTO_KERNEL, PROTO_BOOT = 2, 3
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
NUD_UNKNOWN = 0x01 | 0x20 | 0x40  # incomplete, failed, and those that are not asked for (multicast)

LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefixlen, flags, scope, index
ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, ifindex, state, flags, type
U32 = struct.Struct("=I")

_EXISTS = frozenset({errno.EEXIST})
_GONE = frozenset({errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface as the kernel reports it. ``ipv6``: the kernel has IPv6 and it is not off on the interface
    (net/ipv6/conf/NAME/disable_ipv6)."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    arp: bool
    loopback: bool
    group: int
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """An address on the interface with index ``link``."""

    link: int
    ip: IPInterface


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route of the main table. ``priority`` is the metric (the kernel turns 0 into 1024 for IPv6)."""

    link: int
    destination: IPNetwork
    gateway: IPAddress | None = None
    source: IPAddress | None = None
    priority: int = 0
    protocol: int = PROTO_BOOT
    scope: int = SCOPE_UNIVERSE
    onlink: bool = False

    def __str__(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        return f"{self.destination}{via}"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry."""

    link: int
    ip: IPAddress
    mac: str


@dataclass(frozen=True, slots=True)
class VethEnd:
    """What one end of a veth pair is born with. ``mac`` None: the kernel chooses."""

    name: str
    mtu: int
    mac: str | None = None
    group: int = 0


def new_veth(host: VethEnd, peer: VethEnd, peer_netns: int) -> Request:
    """A veth pair whose ``peer`` is born, down, in the namespace with descriptor ``peer_netns``.

    The host's end is up from the beginning, and promiscuous, as Open vSwitch would make it when it opens the port:
    each would be one more change of a link, after each of which ovs-vswitchd looks at all ports and reads all routes
    before it listens to the controller again. Without the latter, a port with its flows in place took 8 ms instead of
    13 (40 pods on the node; measured once where this was written).
    """
    peer_attributes = attribute(
        VETH_INFO_PEER, LINK.pack(0, 0, 0, 0, 0), _born_with(peer), attribute(IFLA_NET_NS_FD, U32.pack(peer_netns))
    )
    info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"veth"), attribute(IFLA_INFO_DATA, peer_attributes))
    flags = IFF_NOARP | IFF_PROMISC | IFF_UP
    body = LINK.pack(0, 0, 0, flags, flags) + _born_with(host) + info
    return Request(NEWLINK, CREATE | EXCL, body, f"create veth pair {host.name} and {peer.name}")


def _born_with(end: VethEnd) -> bytes:
    mac = attribute(IFLA_ADDRESS, mac_bytes(end.mac)) if end.mac else b""
    group = attribute(IFLA_GROUP, U32.pack(end.group)) if end.group else b""
    return attribute(IFLA_IFNAME, _name(end.name)) + attribute(IFLA_MTU, U32.pack(end.mtu)) + mac + group


def get_link(name: str) -> Request:
    return Request(
        GETLINK, 0, LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, _name(name)), f"find interface {name}",
        frozenset({errno.ENODEV}),
    )  # fmt: skip


def delete_link(name: str) -> Request:
    body = LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, _name(name))
    return Request(DELLINK, 0, body, f"delete interface {name}", frozenset({errno.ENODEV}))


def set_up(name: str) -> Request:
    body = LINK.pack(0, 0, 0, IFF_UP, IFF_UP) + attribute(IFLA_IFNAME, _name(name))
    return Request(NEWLINK, 0, body, f"bring up {name}")


def set_arp(name: str, *, enabled: bool) -> Request:
    """Whether the host's own stack answers and learns by ARP on the interface (the flag NOARP, negated)."""
    flags = 0 if enabled else IFF_NOARP
    body = LINK.pack(0, 0, 0, flags, IFF_NOARP) + attribute(IFLA_IFNAME, _name(name))
    return Request(NEWLINK, 0, body, f"turn ARP {'on' if enabled else 'off'} on {name}")


def set_mtu(name: str, mtu: int) -> Request:
    body = LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, _name(name)) + attribute(IFLA_MTU, U32.pack(mtu))
    return Request(NEWLINK, 0, body, f"set MTU of {name} to {mtu}")


def set_mac(name: str, mac: str) -> Request:
    body = LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, _name(name)) + attribute(IFLA_ADDRESS, mac_bytes(mac))
    return Request(NEWLINK, 0, body, f"set MAC address of {name} to {mac}")


def no_link_local(link: int, name: str) -> Request:
    """Never make an IPv6 link-local address by oneself. Takes effect when the interface comes up."""
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([ADDR_GEN_NONE]))
    body = LINK.pack(0, 0, link, 0, 0) + attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode))
    return Request(NEWLINK, 0, body, f"turn off link-local addresses on {name}")


def add_address(address: Address, ifname: str) -> Request:
    """Usable at once: without duplicate address detection."""
    return Request(NEWADDR, CREATE | EXCL, _address(address), f"add address {address.ip} to {ifname}", _EXISTS)


def delete_address(address: Address, ifname: str) -> Request:
    return Request(DELADDR, 0, _address(address), f"delete address {address.ip} from {ifname}", _GONE)


def _address(address: Address) -> bytes:
    ip = address.ip
    flags = attribute(IFA_FLAGS, U32.pack(IFA_F_NODAD)) if ip.version == 6 else b""
    return (
        ADDRESS.pack(family(ip), ip.network.prefixlen, 0, SCOPE_UNIVERSE, address.link)
        + attribute(IFA_LOCAL, ip.packed)
        + attribute(IFA_ADDRESS, ip.packed)
        + flags
    )


def add_route(route: Route, ifname: str) -> Request:
    """Fails with EEXIST if there is a route to the same destination with the same metric."""
    return Request(NEWROUTE, CREATE | EXCL, _route(route), f"add route {route} dev {ifname}")


def add_route_unless_there(route: Route, ifname: str) -> Request:
    """As add_route, but a route that is there already stays, and is no failure."""
    return Request(NEWROUTE, CREATE | EXCL, _route(route), f"add route {route} dev {ifname}", _EXISTS)


def add_route_beside(route: Route, ifname: str) -> Request:
    """As add_route, but next to a route to the same destination through another interface."""
    return Request(NEWROUTE, CREATE | APPEND, _route(route), f"add route {route} dev {ifname}", _EXISTS)


def replace_route(route: Route, ifname: str) -> Request:
    """Put the route in the place of one with the same destination and metric, with no moment without either."""
    return Request(NEWROUTE, CREATE | REPLACE, _route(route), f"set route {route} dev {ifname}")


def delete_route(route: Route, ifname: str) -> Request:
    return Request(DELROUTE, 0, _route(route), f"delete route {route} dev {ifname}", _GONE)


def _route(route: Route) -> bytes:
    to = route.destination
    head = ROUTE.pack(
        family(to), to.prefixlen, 0, 0, TABLE_MAIN, route.protocol, route.scope, UNICAST,
        ONLINK if route.onlink else 0,
    )  # fmt: skip
    return (
        head
        + attribute(RTA_DST, to.network_address.packed)
        + attribute(RTA_OIF, U32.pack(route.link))
        + (attribute(RTA_GATEWAY, route.gateway.packed) if route.gateway else b"")
        + (attribute(RTA_PREFSRC, route.source.packed) if route.source else b"")
        + (attribute(RTA_PRIORITY, U32.pack(route.priority)) if route.priority else b"")
    )


def set_neighbour(neighbour: Neighbour, ifname: str) -> Request:
    """A permanent entry, in the place of any other for the same address."""
    body = _neighbour(neighbour) + attribute(NDA_LLADDR, mac_bytes(neighbour.mac))
    return Request(NEWNEIGH, CREATE | REPLACE, body, f"set neighbour {neighbour.ip} at {neighbour.mac} dev {ifname}")


def delete_neighbour(neighbour: Neighbour, ifname: str) -> Request:
    return Request(DELNEIGH, 0, _neighbour(neighbour), f"delete neighbour {neighbour.ip} dev {ifname}", _GONE)


def _neighbour(neighbour: Neighbour) -> bytes:
    head = NEIGHBOUR.pack(family(neighbour.ip), neighbour.link, NUD_PERMANENT, 0, 0)
    return head + attribute(NDA_DST, neighbour.ip.packed)


def list_links() -> Request:
    return Request(GETLINK, DUMP, LINK.pack(0, 0, 0, 0, 0), "list interfaces")


def list_addresses(family: int, link: int) -> Request:
    return Request(GETADDR, DUMP, ADDRESS.pack(family, 0, 0, 0, link), "list addresses")


def list_routes(family: int, protocol: int, table: int = TABLE_MAIN) -> Request:
    """Of a table, which does not exist (ENOENT) until it has a route; of every one, if it is TABLE_EVERY."""
    head = ROUTE.pack(family, 0, 0, 0, table, protocol, 0, 0, 0)
    return Request(GETROUTE, DUMP, head, "list routes", frozenset({errno.ENOENT}))


def list_neighbours(family: int) -> Request:
    return Request(GETNEIGH, DUMP, NEIGHBOUR.pack(family, 0, 0, 0, 0), "list neighbours")


def family(ip: IPAddress | IPNetwork) -> int:
    return AF_INET if ip.version == 4 else AF_INET6


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _name(ifname: str) -> bytes:
    return ifname.encode() + b"\0"
