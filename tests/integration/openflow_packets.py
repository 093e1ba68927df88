"""Random packets for the bridge of `openflow.example`: honest, forged and odd, of every kind, from every port."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from random import Random

from openflow_traced import Question

from openflow import example, oxm
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.net import IPAddress
from openflow.simulate import Outer, Packet
from openflow.simulate.conntrack import EST, INV, NEW, REL, RPL, TRK
from openflow.simulate.packet import ICMP, ICMP6, SCTP, TCP, UDP

STATES = (NEW | TRK, EST | TRK, EST | RPL | TRK, REL | TRK, REL | RPL | TRK, INV | TRK)
WEB, DB = example.WEB, example.DB
TUNNEL, GATEWAY = int(example.BETA.port), int(example.ALPHA.port)
MACS = (WEB.mac, DB.mac, ROUTER_MAC, GATEWAY_MAC, "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:99")
V4 = tuple(
    IPv4Address(text)
    for text in (
        "10.10.0.5", "10.10.0.6", "10.10.0.1", "10.10.0.77", "10.10.1.7", "10.10.1.8", "203.0.113.9", "0.0.0.0",
        "224.0.0.251", "255.255.255.255", "169.254.169.254", "192.0.2.2",
    )
)  # fmt: skip
V6 = tuple(
    IPv6Address(text)
    for text in (
        "fd10::5",
        "fd10::6",
        "fd10::1",
        "fd10::77",
        "fd10:0:0:1::7",
        "2001:db8::9",
        "::",
        "ff02::1",
        "fe80::1",
    )
)
_OUTER = tuple(IPv4Address(text) for text in ("192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.9", "0.0.0.9"))
_PASSES = 20
_OWN = IPv4Address("192.0.2.1")
_OWNERS = {int(pod.port): pod for pod in (WEB, DB)}


def random_packet(random: Random) -> tuple[Packet, int]:
    """A packet and the port it enters by. Two of three are what an honest sender on that port would send."""
    port = random.choice((int(WEB.port), int(DB.port), TUNNEL, GATEWAY, 77))
    kind = random.choices(("ip4", "ip6", "arp", "other"), (5, 5, 2, 0.3))[0]
    if kind == "other":
        made = Packet(None, None, 0, eth_type=random.choice((0x88CC, 0x8847, 0x9999)))
    elif kind == "arp":
        made = _arp(random, port)
    else:
        made = _ip(random, port, V4 if kind == "ip4" else V6)
    outer = None
    if port == TUNNEL or random.random() < 0.03:
        outer = Outer(random.choice((1, 1, 1, 2)), random.choice(_OUTER), _OWN)
    return replace(made, outer=outer), port


def _honest_mac(random: Random, port: int) -> str:
    own = {TUNNEL: ROUTER_MAC, GATEWAY: GATEWAY_MAC} | {number: pod.mac for number, pod in _OWNERS.items()}
    return own[port] if port in own and random.random() < 0.85 else random.choice(MACS)


def _sender(random: Random, port: int, pool: tuple[IPAddress, ...]) -> IPAddress:
    if port in _OWNERS and random.random() < 0.8:
        return next(ip for ip in _OWNERS[port].ips if ip.version == pool[0].version)
    if port == TUNNEL and random.random() < 0.7:
        return pool[4]
    return random.choice(pool)


def _ip(random: Random, port: int, pool: tuple[IPAddress, ...]) -> Packet:
    four = pool is V4
    proto = random.choice((TCP, TCP, UDP, SCTP, ICMP if four else ICMP6, ICMP6 if four else ICMP, 89))
    if proto in (ICMP, ICMP6):
        sport, dport = random.choice((0, 3, 8, 128, 129, 133, 134, 135, 136, 137, 1)), random.choice((0, 0, 3))
    else:
        sport, dport = random.choice((40000, 80)), random.choice((80, 53, 8080, 8081, 443))
    ttl = random.choice((64, 64, 63, 2, 1, 255))
    return Packet(
        _sender(random, port, pool), random.choice(pool), proto, sport, dport, ttl=ttl,
        eth_src=_honest_mac(random, port), eth_dst=random.choice((ROUTER_MAC, ROUTER_MAC, *MACS)),
        eth_type=oxm.ETH_IPV4 if four else oxm.ETH_IPV6,
    )  # fmt: skip


def _arp(random: Random, port: int) -> Packet:
    sender = _honest_mac(random, port)
    return Packet(
        _sender(random, port, V4), random.choice(V4), random.choice((1, 1, 1, 2, 3)), eth_type=oxm.ETH_ARP,
        eth_src=sender, eth_dst=random.choice(MACS), arp_sha=sender if random.random() < 0.8 else random.choice(MACS),
        arp_tha=random.choice(MACS),
    )  # fmt: skip


def random_question(random: Random, marks: tuple[int, ...] = (0,)) -> Question:
    """Conntrack finds the same in every pass: those of two branches have no order. A mark has to be there from the
    beginning, which no packet of the real world has, so it is for flows that look at it behind a pass only."""
    packet, port = random_packet(random)
    states = random.choice(((), *((state,) * _PASSES for state in STATES)))
    return Question(packet, port, states, random.choice(marks))
