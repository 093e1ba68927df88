"""The network under the pods': the node's tunnel address, its uplink and MTU, and the transport bridge."""

from collections.abc import Sequence

from node_agent import mtu, rtnl_read, transport
from node_agent.netlink import Netlink
from node_agent.rtnl import Address, IPAddress, IPNetwork, Link, Route
from node_agent.settings import TUNNEL_PORTS, AgentSettings
from node_agent.transport import Addressing, Transport
from ovsdb.setup import TransportConfig, TunnelConfig

TRANSPORT_BRIDGE = "br-phy"


class UnderlayError(ValueError):
    """The node's own network is not what the settings say; the message says what to change."""


class Underlay:
    """What the agent finds out about the node's network, read anew before each use of it."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._switched = settings.datapath_type == "netdev"
        self._addressing = Addressing((), ())
        self._mac = ""
        self._uplink = mtu.Uplink("", 0)
        self.tunnel_ip: IPAddress | None = None

    def read(self, internal_ips: Sequence[IPAddress], remembered: str) -> None:
        """Look at the interfaces. `remembered` is the addressing that the transport bridge has already, as text.

        Raises UnderlayError or MtuError when there is no usable tunnel address.
        """
        with Netlink() as netlink:
            links = rtnl_read.links(netlink)
            addresses = rtnl_read.addresses(netlink)
            routes = rtnl_read.routes(netlink)
        self._read_transport(links, remembered)
        self.tunnel_ip = self._settings.tunnel_ip or self._first_address(internal_ips)
        if self.tunnel_ip is None:
            raise UnderlayError(
                "no address for tunnels: give the setting tunnel-ip, or transport-interface with an address"
            )
        self._uplink = self._find_uplink(links, addresses, routes)

    def _find_uplink(
        self, links: Sequence[Link], addresses: Sequence[Address], routes: Sequence[Route]
    ) -> mtu.Uplink:
        if self._switched or self.tunnel_ip is None:
            # The address is on the bridge's device, but packets leave by the interface.
            physical = self._transport_link(links)
            return mtu.Uplink(physical.name, physical.mtu)
        return mtu.find_uplink(self.tunnel_ip, links, addresses, routes)

    def tunnel(self) -> TunnelConfig:
        kind = self._settings.tunnel_type
        return TunnelConfig(kind, self._settings.tunnel_port or TUNNEL_PORTS[kind], self.tunnel_ip)

    def transport(self) -> TransportConfig | None:
        """The transport bridge that the userspace datapath needs; None with the kernel's."""
        interface = self._settings.transport_interface
        if not self._switched or interface is None:
            return None
        text = self._addressing.to_text() if self._addressing.addresses else ""
        return TransportConfig(interface, self._mac, text, TRANSPORT_BRIDGE)

    def attach(self, remembered: str) -> tuple[str, ...]:
        """Move the transport interface's addresses to the transport bridge, from what the database remembers.

        Returns what was changed. Raises NetlinkError, also while Open vSwitch has not made the bridge's device yet.
        """
        interface = self._settings.transport_interface
        if not self._switched or interface is None or not remembered:
            return ()
        return transport.attach_transport(Transport(interface, TRANSPORT_BRIDGE, Addressing.parse(remembered)))

    def switched_interfaces(self) -> tuple[str, ...]:
        """Interfaces whose packets belong to Open vSwitch alone."""
        interface = self._settings.transport_interface
        return (interface,) if self._switched and interface is not None else ()

    def pod_mtu(self, pod_cidrs: Sequence[IPNetwork]) -> int:
        """MTU of pods in bytes. Raises MtuError."""
        if self._settings.mtu is not None or self.tunnel_ip is None:
            return self._settings.mtu or 0
        versions = frozenset(cidr.version for cidr in pod_cidrs) or frozenset({4})
        return mtu.pod_mtu(self._uplink, self._settings.tunnel_type, self.tunnel_ip.version, versions)

    def _read_transport(self, links: Sequence[Link], remembered: str) -> None:
        """What the transport interface has, and what was moved from it before."""
        interface = self._settings.transport_interface
        if interface is not None:
            self._mac = self._transport_link(links).mac
            # Whoever deletes the transport bridge deletes what it remembered; then this process is the last to know.
            moved = Addressing.parse(remembered) if remembered else self._addressing
            self._addressing = moved.joined(transport.snapshot(interface))

    def _transport_link(self, links: Sequence[Link]) -> Link:
        name = self._settings.transport_interface
        for link in links:
            if link.name == name:
                return link
        have = ", ".join(sorted(link.name for link in links))
        raise UnderlayError(f"transport-interface {name} does not exist on this node; it has {have}")

    def _first_address(self, internal_ips: Sequence[IPAddress]) -> IPAddress | None:
        if self._settings.transport_interface is not None:
            return next((interface.ip for interface in self._addressing.addresses), None)
        return next(iter(internal_ips), None)
