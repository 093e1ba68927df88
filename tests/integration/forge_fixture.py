"""Frames whose sender lies, and nets that would catch them wherever they came through.

A frame carries a mark that says which lie it is, so a test can name the one that got through.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lab import netns
from node_agent import rtnl_read
from node_agent.netlink import Netlink
from openflow.constants import ROUTER_MAC

_ETH_ALL, _SO_RCVBUFFORCE = 3, 33  # if_ether.h, socket(7)
_KINDS = {4: 0x0800, 6: 0x86DD}
_ARP, _UDP = 0x0806, 17
_MARK = b"weft-test-frame:"
_PORTS = (7009, 7009)


@dataclass(frozen=True)
class Sender:
    """Who a frame says it is from, and the MAC that it is sent to."""

    mac: str
    ips: tuple[str, ...]
    to: str = ROUTER_MAC


@dataclass(frozen=True)
class Frame:
    name: str
    data: bytes


def frames(name: str, sender: Sender, targets: Sequence[str]) -> Iterator[Frame]:
    """A datagram from every address of the sender to every target of the same family."""
    for source in sender.ips:
        for target in targets:
            if ip_address(source).version == ip_address(target).version:
                title = f"{name}: {sender.mac} {source} > {sender.to} {target}"
                yield Frame(title, _ethernet(sender.mac, sender.to, _KINDS[ip_address(source).version])
                            + datagram(source, target, title))  # fmt: skip


def datagram(source: str, target: str, title: str) -> bytes:
    """UDP in IP, with right checksums."""
    payload = _MARK + title.encode() + b"\0"
    udp = struct.pack("!4H", *_PORTS, 8 + len(payload), 0) + payload
    src, dst = ip_address(source).packed, ip_address(target).packed
    pseudo = src + dst + struct.pack("!LL", len(udp), _UDP)  # RFC 8200 section 8.1; the same sum as RFC 768's
    udp = udp[:6] + struct.pack("!H", _checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    if len(src) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, _UDP, 0) + src + dst
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        return head + udp
    return struct.pack("!LHBB", 6 << 28, len(udp), _UDP, 64) + src + dst + udp


def gratuitous_arp(mac: str, ip: str, title: str) -> Frame:
    """An announcement that `ip` is at `mac`, to everybody (RFC 5227 section 3)."""
    address, hardware = ip_address(ip).packed, _mac(mac)
    body = struct.pack("!HHBBH", 1, _KINDS[4], 6, 4, 2) + hardware + address + hardware + address
    mark = _MARK + title.encode() + b"\0"
    return Frame(title, _ethernet(mac, "ff:ff:ff:ff:ff:ff", _ARP) + body + mark)


def _ethernet(source: str, target: str, kind: int) -> bytes:
    return _mac(target) + _mac(source) + struct.pack("!H", kind)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Wire:
    """A raw socket on one interface."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made

    def send(self, frame: Frame) -> None:
        with suppress(OSError):  # a link that is down carries nothing, which is as good
            self._socket.send(frame.data)

    def caught(self) -> set[str]:
        """The names of the marked frames and datagrams that came in since it was last asked."""
        found = set()
        with suppress(BlockingIOError):  # read until there is nothing left
            while True:
                _, mark, rest = self._socket.recv(65536).partition(_MARK)
                found |= {rest.partition(b"\0")[0].decode()} if mark else set()
        return found

    def missing(self, frames: Iterable[Frame], seconds: float = 5.0) -> set[str]:
        """The names of these frames that have not come in within so many seconds."""
        missing, deadline = {frame.name for frame in frames}, time.monotonic() + seconds
        while missing and time.monotonic() < deadline:
            missing -= self.caught()
            time.sleep(0.01)
        return missing


@contextmanager
def wire(namespace: Path, ifname: str) -> Iterator[Wire]:
    """Sees and sends whole frames on an interface."""
    made = netns.run_in(namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_ALL)))
    with made:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        made.bind((ifname, 0))
        made.setblocking(False)
        yield Wire(made)


@contextmanager
def listener(namespace: Path) -> Iterator[Wire]:
    """Gets the datagrams that the IP stack of a namespace takes for its own, over both families."""
    with netns.run_in(namespace, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        made.bind(("::", _PORTS[1]))
        made.setblocking(False)
        yield Wire(made)


def mac_of(namespace: Path, ifname: str) -> str:
    """The MAC of an interface. Raises LookupError."""

    def read() -> str:
        with Netlink() as netlink:
            link = rtnl_read.link(netlink, ifname)
        if link is None:
            raise LookupError(f"{namespace} has no {ifname}")
        return link.mac

    return netns.run_in(namespace, read)
