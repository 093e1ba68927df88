"""A pod's own flows: only on its node, keyed by its port, MAC and addresses."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address

from openflow.actions import DEC_TTL, Goto, load, out_port, set_eth
from openflow.codec import Encoded
from openflow.constants import ROUTER_MAC
from openflow.features.priority import HIGH, NORMAL
from openflow.fields import Dst, DstIdentity, IdentityId, OfPort, Src, SrcIdentity
from openflow.flow import Feature, Flow, cookie, flow
from openflow.match import arp, eth_src, in_port, ip_dst, ip_src, mac
from openflow.net import IPAddress, host
from openflow.tables import Table
from openflow.template import Template


@dataclass(frozen=True, slots=True)
class LocalPod:
    """A pod attachment on this bridge; `ips` has one address, or one of each family."""

    namespace: str
    name: str
    port: OfPort
    mac: str
    ips: tuple[IPAddress, ...]
    identity: IdentityId


def owner(namespace: str, name: str) -> str:
    return f"pod/{namespace}/{name}"


def flows(pod: LocalPod) -> Iterator[Flow]:
    mark = cookie(Feature.POD, owner(pod.namespace, pod.name))
    here = (load(Src.POD), Goto(Table.SPOOF_GUARD))
    yield flow(Table.CLASSIFY, NORMAL, (in_port(pod.port),), here, cookie=mark)
    # Not in Classify: a register that is loaded before connection tracking is kept with the packet through it, and
    # the tables behind may be of another moment, in which nobody is called that any more.
    known = (load(SrcIdentity(pod.identity)), Goto(Table.EGRESS_IDENTITY))
    yield flow(Table.SOURCE_IDENTITY, NORMAL, (in_port(pod.port),), known, cookie=mark)
    for address in pod.ips:
        yield from _address(pod, address, mark)


def encoded(pod: LocalPod) -> tuple[Encoded, ...]:
    """`flows` as bytes, in a tenth of the time."""
    return _template(tuple([address.version for address in pod.ips])).fill(_values(pod))


@cache
def _template(families: tuple[int, ...]) -> Template:
    """The flows of a pod that has addresses of these families, in this order."""
    ips = tuple(_SAMPLES[version, place] for place, version in enumerate(families))
    sample = LocalPod("", "sample", OfPort(0x5EC7A9B1), "5a:c3:97:e1:5d:3b", ips, IdentityId(0x6B4D92E751C83FA6))
    return Template(flows(sample), _values(sample))


_SAMPLES: dict[tuple[int, int], IPAddress] = {
    (number.version, place): number
    for place in range(2)
    for number in (IPv4Address(0x9DE3B75A + place), IPv6Address(0xA7D9C3E5B1F36A9C8E7D6C5B4A392817 + place))
}
"""Addresses for a template by family and place; what matters is that no flow has their bytes by chance."""


def _values(pod: LocalPod) -> dict[str, bytes]:
    """What is a pod's own in its flows, as bytes."""
    values = {
        "cookie": cookie(Feature.POD, owner(pod.namespace, pod.name)).to_bytes(8, "big"),
        "port": pod.port.to_bytes(4, "big"),
        "mac": mac(pod.mac).to_bytes(6, "big"),
        "identity": pod.identity.to_bytes(8, "big"),
    }
    for place, address in enumerate(pod.ips):
        values[f"ip{place}"] = address.packed
    return values


def _address(pod: LocalPod, address: IPAddress, mark: int) -> Iterator[Flow]:
    own = (in_port(pod.port), eth_src(pod.mac))
    onward = (Goto(Table.NEIGHBOR),)
    yield flow(Table.SPOOF_GUARD, NORMAL, (*own, ip_src(host(address))), onward, cookie=mark)
    if address.version == 4:
        asks = arp(spa=int(address), sha=mac(pod.mac))
        yield flow(Table.SPOOF_GUARD, NORMAL, (*own, asks), onward, cookie=mark)
        # An answer to a pod that announces or probes its own address would tell it that the address is taken.
        announces = arp(spa=int(address), sha=mac(pod.mac), tpa=int(address))
        yield flow(Table.SPOOF_GUARD, HIGH, (*own, announces), cookie=mark)
    deliver = (
        *set_eth(ROUTER_MAC, pod.mac),
        DEC_TTL,
        load(Dst.POD),
        load(DstIdentity(pod.identity)),
        out_port(pod.port),
        Goto(Table.SOURCE_NAT),
    )
    yield flow(Table.ROUTE, NORMAL, (ip_dst(host(address)),), deliver, cookie=mark)
