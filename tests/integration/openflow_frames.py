"""Raw Ethernet frames on the ports of a test bridge: UDP over both families and ARP, made and taken apart."""

import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import ip_address

from netns_fixture import Namespace

_ETH_P_ALL = 3
_UDP = 17


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP packet in an Ethernet frame."""

    src_mac: str
    dst_mac: str
    src: str
    dst: str
    sport: int
    dport: int
    payload: bytes
    ttl: int = 64

    def frame(self) -> bytes:
        source, destination = ip_address(self.src), ip_address(self.dst)
        size = 8 + len(self.payload)
        pseudo = source.packed + destination.packed + struct.pack("!II", size, _UDP)
        header = struct.pack("!HHH", self.sport, self.dport, size)
        udp = header + struct.pack("!H", checksum(pseudo + header + b"\0\0" + self.payload) or 0xFFFF) + self.payload
        if source.version == 6:
            packet = struct.pack("!IHBB", 6 << 28, size, _UDP, self.ttl) + source.packed + destination.packed + udp
            return ethernet(self.dst_mac, self.src_mac, 0x86DD) + packet
        ip = struct.pack("!BBHHHBB", 0x45, 0, 20 + size, 1, 0, self.ttl, _UDP)
        addresses = source.packed + destination.packed
        ip += struct.pack("!H", checksum(ip + b"\0\0" + addresses)) + addresses
        return ethernet(self.dst_mac, self.src_mac, 0x0800) + ip + udp

    @classmethod
    def of(cls, frame: bytes) -> "Datagram | None":
        """The datagram in a frame; None for anything else."""
        six = frame[12:14] == b"\x86\xdd"
        at = 54 if six else 34
        if (not six and frame[12:14] != b"\x08\x00") or frame[20 if six else 23] != _UDP:
            return None
        first, width, ttl = (22, 16, frame[21]) if six else (26, 4, frame[22])
        sport, dport, size = struct.unpack_from("!HHH", frame, at)
        source, destination = frame[first : first + width], frame[first + width : first + 2 * width]
        return cls(
            frame[6:12].hex(":"), frame[:6].hex(":"), str(ip_address(source)), str(ip_address(destination)),
            sport, dport, frame[at + 8 : at + size], ttl,
        )  # fmt: skip


def ethernet(destination: str, source: str, kind: int) -> bytes:
    return bytes.fromhex((destination + source).replace(":", "")) + kind.to_bytes(2, "big")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def arp_request(mac: str, sender: str, target: str) -> bytes:
    own = bytes.fromhex(mac.replace(":", ""))
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + ip_address(sender).packed
    return ethernet("ff:ff:ff:ff:ff:ff", mac, 0x0806) + body + bytes(6) + ip_address(target).packed


class Port:
    """A device in a namespace, sent to and listened on as a guest would; use as a context manager."""

    def __init__(self, namespace: str, device: str) -> None:
        def opened() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            made.bind((device, 0))
            return made

        self._socket = Namespace(namespace).run(opened)

    def __enter__(self) -> "Port":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def frames(self, seconds: float) -> list[bytes]:
        """What comes in (not what was sent) until nothing has come for this long; at most 100 frames."""
        found: list[bytes] = []
        deadline = time.monotonic() + 10
        self._socket.settimeout(seconds)
        while len(found) < 100 and time.monotonic() < deadline:
            try:
                frame, address = self._socket.recvfrom(4096)
            except TimeoutError:
                return found
            if address[2] != socket.PACKET_OUTGOING:
                found.append(frame)
        return found

    def datagram(self, payload: bytes, seconds: float = 5) -> Datagram | None:
        """The first datagram with this payload; None if none comes in this time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame, address = self._socket.recvfrom(4096)
            except TimeoutError:
                return None
            found = Datagram.of(frame) if address[2] != socket.PACKET_OUTGOING else None
            if found and found.payload == payload:
                return found
        return None
