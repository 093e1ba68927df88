"""Packets as values: what a guest sends and what another one gets."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from openflow import oxm
from openflow.constants import ROUTER_MAC
from openflow.match import mac
from openflow.net import IPAddress
from openflow.simulate import slots
from openflow.simulate.slots import Fields

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))
"""TCP flags (RFC 9293 section 3.1)."""

ECHO = {ICMP: (8, 0), ICMP6: (128, 129)}
"""ICMP types of question and answer (RFC 792, RFC 4443)."""
UNREACHABLE = {ICMP: (3, 3), ICMP6: (1, 4)}
"""ICMP type and code of `port unreachable`."""
CLIENT_PORT = 40000
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_NOBODY = "00:00:00:00:00:00"


@dataclass(frozen=True, slots=True)
class Outer:
    """What a packet was wrapped in: tunnel identifier and outer addresses."""

    vni: int
    src: IPAddress
    dst: IPAddress


@dataclass(frozen=True, slots=True)
class Packet:
    """An Ethernet frame. `sport` and `dport` are type and code in ICMP; an ARP packet has its `spa` in `src`, its
    `tpa` in `dst` and its operation in `proto`. `about` is the packet that an ICMP error quotes."""

    src: IPAddress | None
    dst: IPAddress | None
    proto: int
    sport: int = 0
    dport: int = 0
    ttl: int = 64
    flags: int = SYN
    icmp_id: int = 0
    about: "Packet | None" = None
    eth_src: str = _NOBODY
    eth_dst: str = ROUTER_MAC
    eth_type: int = oxm.ETH_IPV4
    arp_sha: str = _NOBODY
    arp_tha: str = _NOBODY
    outer: Outer | None = None

    def answer(self) -> "Packet":
        """What the receiver answers: SYN with SYN+ACK, a question with its answer, anything else in kind."""
        kind, code = self.dport, self.sport
        if self.proto in ECHO and self.eth_type != oxm.ETH_ARP:
            kind, code = (ECHO[self.proto][1] if self.sport == ECHO[self.proto][0] else self.sport), self.dport
        return dataclasses.replace(
            self,
            src=self.dst, dst=self.src, sport=kind, dport=code, eth_src=self.eth_dst, eth_dst=self.eth_src, ttl=64,
            flags=SYN | ACK if self.flags & (SYN | ACK) == SYN else ACK, outer=None,
        )  # fmt: skip

    def fields(self, port: int) -> Fields:
        """The packet as it enters a switch by this port."""
        fields = [0] * slots.COUNT
        fields[slots.IN_PORT] = port
        fields[slots.ETH_SRC], fields[slots.ETH_DST] = _number(self.eth_src), _number(self.eth_dst)
        fields[slots.ETH_TYPE] = self.eth_type
        if self.src is not None and self.dst is not None:
            fields[slots.IP_SRC], fields[slots.IP_DST] = int(self.src), int(self.dst)
        fields[slots.PROTO], fields[slots.TP_SRC], fields[slots.TP_DST] = self.proto, self.sport, self.dport
        if self.eth_type == oxm.ETH_ARP:
            fields[slots.ARP_SHA], fields[slots.ARP_THA] = _number(self.arp_sha), _number(self.arp_tha)
        else:
            fields[slots.TTL] = self.ttl
        if self.outer is not None:
            wrap(fields, self.outer)
        return fields

    def after(self, fields: Fields, about: "Packet | None") -> "Packet":
        """This packet as its fields became on the way through a switch."""
        number = IPv6Address if fields[slots.ETH_TYPE] == oxm.ETH_IPV6 else IPv4Address
        return dataclasses.replace(
            self,
            eth_src=_text(fields[slots.ETH_SRC]), eth_dst=_text(fields[slots.ETH_DST]),
            src=None if self.src is None else number(fields[slots.IP_SRC]),
            dst=None if self.dst is None else number(fields[slots.IP_DST]),
            proto=fields[slots.PROTO], sport=fields[slots.TP_SRC], dport=fields[slots.TP_DST],
            ttl=fields[slots.TTL] if self.eth_type != oxm.ETH_ARP else self.ttl, about=about,
            arp_sha=_text(fields[slots.ARP_SHA]), arp_tha=_text(fields[slots.ARP_THA]), outer=_unwrap(fields),
        )  # fmt: skip


def wrap(fields: Fields, outer: Outer) -> None:
    """Put the outer header in a packet's fields."""
    four = outer.src.version == 4
    source, destination = (slots.TUN_SRC, slots.TUN_DST) if four else (slots.TUN6_SRC, slots.TUN6_DST)
    fields[slots.TUN_ID], fields[source], fields[destination] = outer.vni, int(outer.src), int(outer.dst)


def _unwrap(fields: Fields) -> Outer | None:
    """The outer header that the fields ask for, or brought along; its source may still be unspecified."""
    vni = fields[slots.TUN_ID]
    if fields[slots.TUN_DST]:
        return Outer(vni, IPv4Address(fields[slots.TUN_SRC]), IPv4Address(fields[slots.TUN_DST]))
    if fields[slots.TUN6_DST]:
        return Outer(vni, IPv6Address(fields[slots.TUN6_SRC]), IPv6Address(fields[slots.TUN6_DST]))
    return None


@lru_cache(maxsize=4096)
def _number(text: str) -> int:
    return mac(text)


@lru_cache(maxsize=4096)
def _text(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _address(given: IPAddress | str) -> IPAddress:
    return ip_address(given) if isinstance(given, str) else given


def ip(source: IPAddress | str, destination: IPAddress | str, proto: int, sport: int = 0, dport: int = 0) -> Packet:
    """An IP packet of any protocol. Raises ValueError when the two addresses are not of one family."""
    src, dst = _address(source), _address(destination)
    if src.version != dst.version:
        raise ValueError(f"{src} and {dst} are not of one family")
    kind = oxm.ETH_IPV4 if src.version == 4 else oxm.ETH_IPV6
    return Packet(src, dst, proto, sport, dport, eth_type=kind)


def tcp(source: IPAddress | str, destination: IPAddress | str, port: int, sport: int = CLIENT_PORT) -> Packet:
    """The first packet of a TCP connection to `port`."""
    return ip(source, destination, TCP, sport, port)


def udp(source: IPAddress | str, destination: IPAddress | str, port: int, sport: int = CLIENT_PORT) -> Packet:
    return ip(source, destination, UDP, sport, port)


def sctp(source: IPAddress | str, destination: IPAddress | str, port: int, sport: int = CLIENT_PORT) -> Packet:
    return ip(source, destination, SCTP, sport, port)


def echo(source: IPAddress | str, destination: IPAddress | str, number: int = 1) -> Packet:
    """An ICMP echo request; `number` is its identifier."""
    proto = ICMP if _address(source).version == 4 else ICMP6
    return dataclasses.replace(ip(source, destination, proto, ECHO[proto][0]), icmp_id=number)


def unreachable(about: Packet, source: IPAddress | str | None = None) -> Packet:
    """The ICMP error `port unreachable` about a packet, from its destination or from a router on the way."""
    if about.src is None or about.dst is None:
        raise ValueError("only IP packets are answered by ICMP errors")
    proto = ICMP if about.src.version == 4 else ICMP6
    made = ip(source or about.dst, about.src, proto, *UNREACHABLE[proto])
    return dataclasses.replace(made, about=about, eth_src=about.eth_dst)


def arp_request(sender: str, spa: IPAddress | str, tpa: IPAddress | str) -> Packet:
    """An ARP question for `tpa` (RFC 826)."""
    return Packet(
        _address(spa), _address(tpa), proto=1, eth_type=oxm.ETH_ARP, eth_src=sender, eth_dst=_BROADCAST,
        arp_sha=sender,
    )  # fmt: skip
