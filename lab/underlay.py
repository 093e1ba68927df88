"""The two networks between the nodes of a lab: bridges in a namespace of their own.

Nothing of it is in the machine's root namespace, so a lab can neither disturb the machine's network nor
be disturbed by it. The management network carries the API and what pods send out of the cluster; the
transport network carries tunnels only, because its node side is handed to a userspace switch.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute

from lab import names, netns
from lab.names import Family, Interface, Underlay

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_IFA_F_NODAD = 0x02
_BRIDGE_MAC = "02:57:65:66:74:fe"


@dataclass(frozen=True, slots=True)
class UnderlayConfig:
    """What the two networks of one lab look like; `mtu` in bytes, of both."""

    lab: str
    family: Family
    mtu: int


def create(config: UnderlayConfig) -> None:
    """Make the underlay namespace with both bridges; the management one has the gateway's addresses."""
    path = netns.create(names.underlay_namespace(config.lab))
    netns.run_in(path, lambda: _make_bridges(config))


def attach_node(config: UnderlayConfig, number: int) -> None:
    """Make the namespace of node `number`, with eth0 on management and eth1 on transport."""
    node = names.node_name(number)
    path = netns.create(names.node_namespace(config.lab, node))
    switch = netns.path_of(names.underlay_namespace(config.lab))
    netns.run_in(path, lambda: _make_node_ends(config, number, switch))
    netns.run_in(switch, lambda: _plug_in(node))


def detach_node(lab: str, number: int) -> None:
    """Take node `number` off both networks, at once: eth0 and eth1 go with their other ends. Its namespace stays.

    A namespace that ends takes its devices along too, but when the kernel gets to it.
    """
    netns.run_in(netns.path_of(names.underlay_namespace(lab)), lambda: _unplug(names.node_name(number)))


def _make_bridges(config: UnderlayConfig) -> None:
    # Ports of a bridge need no addresses of their own; without this each sends router solicitations.
    _sysctl("net/ipv6/conf/default/disable_ipv6", "1")
    with IPRoute() as ip:
        for underlay in Underlay:
            # A fixed address: by default it changes with the ports, behind the nodes' neighbour caches.
            ip.link("add", ifname=underlay, kind="bridge", address=_BRIDGE_MAC, br_mcast_snooping=0)
            ip.link("set", index=_index(underlay), mtu=config.mtu, state="up")
        _sysctl(f"net/ipv6/conf/{Underlay.MANAGEMENT}/disable_ipv6", "0")
        _add_addresses(ip, Underlay.MANAGEMENT, names.gateway_interfaces(config.family))


def _make_node_ends(config: UnderlayConfig, number: int, switch: Path) -> None:
    for setting in ("accept_ra", "accept_dad"):
        _sysctl(f"net/ipv6/conf/default/{setting}", "0")
    fd = os.open(switch, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with IPRoute() as ip:
            for device, underlay in (("eth0", Underlay.MANAGEMENT), ("eth1", Underlay.TRANSPORT)):
                peer = {"ifname": _port(underlay, names.node_name(number)), "mtu": config.mtu, "net_ns_fd": fd}
                ip.link("add", ifname=device, kind="veth", mtu=config.mtu, peer=peer)
                ip.link("set", index=_index(device), state="up")
                _add_addresses(ip, device, names.host_interfaces(underlay, number, config.family))
            for gateway in names.gateway_interfaces(config.family):
                ip.route("add", dst="default", gateway=str(gateway.address), family=_af(gateway))
    finally:
        os.close(fd)
    _tx_checksum_off("eth1")


def _plug_in(node: str) -> None:
    with IPRoute() as ip:
        for underlay in Underlay:
            port = _port(underlay, node)
            ip.link("set", index=_index(port), master=_index(underlay), state="up")
    # A frame that reaches the userspace switch with its checksum left to hardware is a corrupt frame.
    _tx_checksum_off(_port(Underlay.TRANSPORT, node))


def _unplug(node: str) -> None:
    with IPRoute() as ip:
        for underlay in Underlay:
            for index in ip.link_lookup(ifname=_port(underlay, node)):
                ip.link("del", index=index)


def _add_addresses(ip: IPRoute, device: str, interfaces: Iterable[Interface]) -> None:
    for interface in interfaces:
        flags = {"flags": _IFA_F_NODAD} if interface.address.version == 6 else {}
        ip.addr(
            "add",
            index=_index(device),
            address=str(interface.address),
            prefixlen=interface.prefix_length,
            family=_af(interface),
            **flags,
        )


def _port(underlay: Underlay, node: str) -> str:
    return f"{underlay[0]}-{node}"


def _af(interface: Interface) -> int:
    return socket.AF_INET6 if interface.address.version == 6 else socket.AF_INET


def _index(device: str) -> int:
    return socket.if_nametoindex(device)


def _sysctl(key: str, value: str) -> None:
    Path("/proc/sys", key).write_text(value)


def _tx_checksum_off(device: str) -> None:
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sQ16x", device.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, request)
