"""A pod's wire: the veth pair between its namespace and the bridge, and everything inside the namespace.

The pod's end is born in the pod's namespace. If it were made here and moved, the kernel would wait for all
readers of the old namespace, which takes longer than all the rest; so nothing ever moves. The whole network of
a pod is Layer 3: host routes (/32, /128), and a permanent neighbour entry for the gateway, so no ARP or ND is
ever needed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from ipaddress import ip_network

from cni.requested import NO_LIMITS, Bandwidth, Limit
from node_agent import departure, ethtool, rtnl, rtnl_read, shaping, sysctl
from node_agent.netlink import Netlink, SharedNetlink
from node_agent.netns import NetNs, run_in
from node_agent.nlmsg import NetlinkError, Request
from node_agent.rtnl import Address, IPAddress, IPInterface, Link, Neighbour, Route, VethEnd

POD_GROUP = 0x57656674
"""Interface group ("Weft" in ASCII) of the host's ends of all pods, for nftables and for finding leftovers."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One pod interface as it shall be. Addresses are /32 and /128, one per family, each with its gateway.

    ``userspace_datapath``: Open vSwitch reads packets from the veth in user space, so the pod's kernel has to
    finish checksums itself.
    """

    host_ifname: str
    ifname: str
    mac: str
    addresses: tuple[IPInterface, ...]
    gateways: tuple[IPAddress, ...]
    router_mac: str
    mtu: int
    userspace_datapath: bool = False
    bandwidth: Bandwidth = NO_LIMITS


class InterfaceExists(Exception):  # noqa: N818 - named as what went wrong
    """An interface of that name is there already; it was not touched."""

    def __init__(self, ifname: str, where: str) -> None:
        super().__init__(f"an interface {ifname} exists already in {where}; it was not touched")
        self.ifname = ifname


def create(attachment: Attachment, netns: NetNs, shared: SharedNetlink | None = None) -> Callable[[], None]:
    """Make the veth pair: the host's end up in the caller's namespace, the pod's end down in ``netns``.

    ``shared``: a session of that namespace, by which pairs that are asked for together are made together. Returns
    the undo, to be registered with an ExitStack. Raises InterfaceExists (CNI: IFNAME must be new), or NetlinkError;
    nothing is left then.
    """
    name = attachment.host_ifname
    host = VethEnd(name, attachment.mtu, group=POD_GROUP)
    pod = VethEnd(attachment.ifname, attachment.mtu, mac=attachment.mac)
    with nullcontext(shared) if shared else closing(SharedNetlink()) as session, ExitStack() as undo:
        try:
            session.execute([rtnl.new_veth(host, pod, netns.fd)])
        except NetlinkError as e:
            raise _explained(e, attachment, netns) from e
        undo.callback(delete, name)
        # The host's end is a bridge port: the node's own stack is to have no part in what comes out of it. Before the
        # pod's end is up there is no carrier, and so no IPv6 that would have to be taken off again.
        ipv6 = f"net/ipv6/conf/{name}/disable_ipv6"
        if _uses_ipv6(attachment) or sysctl.read(ipv6) is not None:  # None: the kernel has no IPv6
            session.alone(lambda: sysctl.put(ipv6, "1"))
        if attachment.bandwidth.ingress:
            _shape_received(name, attachment.bandwidth.ingress)
        return undo.pop_all().close


def configure(attachment: Attachment, netns: NetNs) -> frozenset[IPAddress]:
    """Bring up the pod's end inside ``netns``: loopback, addresses, routes, the gateway's neighbour, sysctls.

    Routes that the namespace already has stay: with a second interface the first keeps the default route. Returns the
    gateways by which there is a default route now.
    Raises NetlinkError, SysctlError; what was done until then goes with the interface.
    """
    return run_in(netns, lambda: _configure_here(attachment))


@dataclass(frozen=True, slots=True)
class PodEnd:
    """What a pod's namespace has of an attachment. `link` is None where the interface is not there; the others are
    that link's, the routes of every table; `defaults` are the IP versions that have a default route by another;
    `rate` limits what the link sends, in bits per second (0: nothing does)."""

    link: Link | None
    addresses: frozenset[IPInterface] = frozenset()
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    defaults: frozenset[int] = frozenset()
    rate: int = 0


def pod_end(ifname: str, netns: NetNs) -> PodEnd:
    """Look into a pod's namespace."""
    return run_in(netns, lambda: _pod_end_here(ifname))


def received_rate(host_ifname: str) -> int:
    """To how many bits per second what a pod receives is limited, by its host end; 0: it is not."""
    with Netlink() as netlink:
        link = rtnl_read.link(netlink, host_ifname)
        return 0 if link is None else _rate(netlink, link)


def delete(host_ifname: str) -> bool:
    """Remove the pair, by the host's end; whether there was one. Succeeds if there is none (CNI DEL).

    An interface of that name that is not a pod's stays: no row in a database may cost the node its uplink.
    """
    with Netlink() as netlink:
        if _pods(netlink, host_ifname) is None:
            return False
    departure.delete_link(host_ifname)
    return True


def exists(host_ifname: str) -> bool:
    """Whether there is a pod's host end of that name."""
    return host_end(host_ifname) is not None


def host_end(host_ifname: str) -> Link | None:
    """The pod's host end of that name."""
    with Netlink() as netlink:
        return _pods(netlink, host_ifname)


def host_interfaces() -> tuple[str, ...]:
    """The names of all pods' host ends, so that those nobody knows any more can be deleted after a crash."""
    with Netlink() as netlink:
        return tuple(sorted(link.name for link in rtnl_read.links(netlink) if link.group == POD_GROUP))


def requests(attachment: Attachment, link: Link) -> tuple[Request, ...]:
    """What it takes to configure the pod's end, as one batch for the kernel (pure)."""
    name = link.name
    quiet = [rtnl.no_link_local(link.index, name)] if _uses_ipv6(attachment) else []
    addresses = [rtnl.add_address(Address(link.index, ip), name) for ip in attachment.addresses]
    routes = [request for gateway in attachment.gateways for request in _routes(gateway, link)]
    neighbours = [
        rtnl.set_neighbour(Neighbour(link.index, gateway, attachment.router_mac), name)
        for gateway in attachment.gateways
    ]
    egress = attachment.bandwidth.egress
    shaped = [shaping.shape(link.index, egress, name)] if egress else []
    return (rtnl.set_up("lo"), *quiet, *shaped, rtnl.set_up(name), *addresses, *routes, *neighbours)


def _shape_received(name: str, limit: Limit) -> None:
    """Limit what the pod receives, at the host's end."""
    with Netlink() as netlink:
        link = rtnl_read.link(netlink, name)
        if link is not None:
            netlink.execute([shaping.shape(link.index, limit, name)])


def _rate(netlink: Netlink, link: Link) -> int:
    return shaping.rate(netlink.query(shaping.get(link.index, link.name)))


def _pods(netlink: Netlink, host_ifname: str) -> Link | None:
    link = rtnl_read.link(netlink, host_ifname)
    return link if link is not None and link.group == POD_GROUP else None


def _configure_here(attachment: Attachment) -> frozenset[IPAddress]:
    name = attachment.ifname
    with Netlink() as netlink:
        link = rtnl_read.link(netlink, name)
        if link is None:
            raise NetlinkError(f"configure {name}", errno.ENODEV, "it vanished from the pod's namespace")
        if _uses_ipv6(attachment):
            _ipv6_sysctls(link)
        if attachment.userspace_datapath:
            ethtool.set_tx_checksum(name, enabled=False)
        idle = netlink.execute(requests(attachment, link))
    return frozenset(gateway for gateway in attachment.gateways if default_route(gateway, link) not in idle)


def _pod_end_here(ifname: str) -> PodEnd:
    with Netlink() as netlink:
        link = rtnl_read.link(netlink, ifname)
        if link is None:
            return PodEnd(None)
        routes = rtnl_read.routes(netlink, every_table=True)
        return PodEnd(
            link,
            frozenset(each.ip for each in rtnl_read.addresses(netlink, link.index)),
            tuple(each for each in routes if each.link == link.index),
            rtnl_read.permanent_neighbours(netlink, link.index),
            frozenset(
                each.destination.version
                for each in routes
                if each.link != link.index and each.destination.prefixlen == 0
            ),
            _rate(netlink, link),
        )


def _ipv6_sysctls(link: Link) -> None:
    """Container runtimes turn IPv6 off in new namespaces; the network plugin turns it on for its interface.

    Only where it is off: a write of disable_ipv6 begins again and again until the kernel's lock of all interfaces is
    free (restart_syscall in net/ipv6/addrconf.c), which keeps cores busy while many pods are wired.
    """
    settings = f"net/ipv6/conf/{link.name}"
    if not link.ipv6:
        sysctl.put(f"{settings}/disable_ipv6", "0")
    sysctl.put(f"{settings}/accept_ra", "0")


def default_route(gateway: IPAddress, link: Link) -> Request:
    """Everything through the gateway, unless another interface has the default route (pure)."""
    everything = ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0")
    return rtnl.add_route_unless_there(Route(link.index, everything, gateway=gateway), link.name)


def _routes(gateway: IPAddress, link: Link) -> tuple[Request, Request]:
    """The gateway on the link, and everything through it."""
    scope = rtnl.SCOPE_LINK if gateway.version == 4 else rtnl.SCOPE_UNIVERSE
    return (
        rtnl.add_route_beside(Route(link.index, ip_network(gateway), scope=scope), link.name),
        default_route(gateway, link),
    )


def _uses_ipv6(attachment: Attachment) -> bool:
    return any(ip.version == 6 for ip in attachment.addresses)


def _explained(error: NetlinkError, attachment: Attachment, netns: NetNs) -> Exception:
    """EEXIST says that one of the two names is taken; find out which."""
    if error.errno != errno.EEXIST:
        return error
    with Netlink() as netlink:
        if rtnl_read.link(netlink, attachment.host_ifname) is not None:
            return InterfaceExists(attachment.host_ifname, "the node's namespace")
    return InterfaceExists(attachment.ifname, f"the pod's namespace {netns.path}")
