"""Simulated packets as real frames, handed to a switch over OpenFlow and taken back from it with what it knows."""

import struct
from dataclasses import dataclass
from ipaddress import ip_address

from openflow_bridge import Connection
from openflow_frames import checksum, ethernet

from openflow import codec, oxm
from openflow.decode import decode
from openflow.simulate import Packet
from openflow.simulate.packet import ACK, ICMP, ICMP6, SCTP, TCP, UDP

_PACKET_IN, _PACKET_OUT, _SET_CONFIG = 10, 13, 9
_TABLE = 0xFFFFFFF9
_NO_BUFFER = 0xFFFFFFFF
_WINDOW = 0xFFFF
_IPV6_SIZE, _IPV4_SIZE = 40, 20


def frame(packet: Packet) -> bytes:
    """The packet as bytes, with right checksums: a wrong one makes conntrack call it invalid."""
    kind = 0x0800 if packet.eth_type == oxm.ETH_IPV4 else 0x86DD
    return ethernet(packet.eth_dst, packet.eth_src, kind) + _ip(packet)


def _ip(packet: Packet) -> bytes:
    assert packet.src is not None
    assert packet.dst is not None
    addresses = packet.src.packed + packet.dst.packed
    body = _transport(packet, addresses)
    if packet.src.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), packet.proto, packet.ttl) + addresses + body
    head = struct.pack("!BBHHHBB", 0x45, 0, _IPV4_SIZE + len(body), 1, 0, packet.ttl, packet.proto)
    return head + struct.pack("!H", checksum(head + b"\0\0" + addresses)) + addresses + body


def _transport(packet: Packet, addresses: bytes) -> bytes:
    ports = struct.pack("!HH", packet.sport, packet.dport)
    if packet.proto == TCP:
        return _summed(ports + _tcp(packet), 16, addresses, TCP)
    if packet.proto == UDP:
        return _summed(ports + struct.pack("!HH", 8, 0), 6, addresses, UDP)
    if packet.proto == SCTP:
        return ports + bytes(8)
    if packet.proto in (ICMP, ICMP6):
        quoted = _ip(packet.about) if packet.about else b""
        head = bytes([packet.sport, packet.dport, 0, 0])
        rest = bytes(4) + quoted if quoted else struct.pack("!HH", packet.icmp_id, 1)
        return _summed(head + rest, 2, addresses if packet.proto == ICMP6 else b"", packet.proto)
    return ports


def _tcp(packet: Packet) -> bytes:
    """Nobody ever sends data, and each side stays at its first number: always in the window, SYN or FIN or not."""
    own, other = (1000, 2000) if packet.sport >= packet.dport else (2000, 1000)
    ack = other + 1 if packet.flags & ACK else 0
    return struct.pack("!IIBBHHH", own, ack, 5 << 4, packet.flags, _WINDOW, 0, 0)


def _summed(data: bytes, place: int, addresses: bytes, proto: int) -> bytes:
    pseudo = addresses + struct.pack("!II", len(data), proto) if addresses else b""
    return data[:place] + struct.pack("!H", checksum(pseudo + data) or 0xFFFF) + data[place + 2 :]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a switch says of a packet: conntrack's fields, and the addresses and ports that it has now."""

    ct_state: int
    ct_zone: int
    ct_mark: int
    ct_label: int
    addresses: tuple[str, str]
    ports: tuple[int, int]


class Wire:
    """Packet-out and packet-in over a bridge's OpenFlow connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # A management connection gets packets only if it asks for some of their bytes.
        message = struct.pack("!BBHIHH", codec.VERSION, _SET_CONFIG, 12, 1, 0, 0xFFFF)
        assert connection.exchange(message) == []

    def through(self, packet: Packet, port: int) -> Seen:
        """Send a packet into the tables; what comes back from the one `controller` action that it meets."""
        match = struct.pack("!HH", 1, 12) + oxm.IN_PORT.encode(port, oxm.IN_PORT.full) + bytes(4)
        action = struct.pack("!HHIH6x", 0, 16, _TABLE, 0)
        body = struct.pack("!IH2x", _NO_BUFFER, len(action)) + match + action + frame(packet)
        head = struct.pack("!BBHI", codec.VERSION, _PACKET_OUT, 8 + len(body), 2)
        return _seen(self._connection.answer(head + body, _PACKET_IN))


def _seen(message: bytes) -> Seen:
    (size,) = struct.unpack_from("!H", message, 26)
    match = message[28 : 24 + size]
    told = {term.field.name: term.value for term in decode(codec.Encoded(b"\0\0\0" + match, bytes(8))).match}
    data = message[24 + (size + 7) // 8 * 8 + 2 :]
    state = (told.get(name, 0) for name in ("ct_state", "ct_zone", "ct_mark", "ct_label"))
    return Seen(*state, *_addressing(data))


def _addressing(data: bytes) -> tuple[tuple[str, str], tuple[int, int]]:
    six = data[12:14] == b"\x86\xdd"
    first, width, at, proto = (22, 16, 14 + _IPV6_SIZE, data[20]) if six else (26, 4, 14 + _IPV4_SIZE, data[23])
    source, destination = data[first : first + width], data[first + width : first + 2 * width]
    ports = tuple(data[at : at + 2]) if proto in (ICMP, ICMP6) else struct.unpack_from("!HH", data, at)
    return (str(ip_address(source)), str(ip_address(destination))), (ports[0], ports[1])
