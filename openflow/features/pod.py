"""A pod's own flows: only on its node, keyed by its port, MAC and addresses."""

from collections.abc import Iterator
from dataclasses import dataclass

from openflow.actions import DEC_TTL, Goto, load, out_port, set_eth
from openflow.constants import ROUTER_MAC
from openflow.features.priority import HIGH, NORMAL
from openflow.fields import Dst, DstIdentity, IdentityId, OfPort, Src, SrcIdentity
from openflow.flow import Feature, Flow, cookie, flow
from openflow.match import arp, eth_src, in_port, ip_dst, ip_src, mac
from openflow.net import IPAddress, host
from openflow.tables import Table


@dataclass(frozen=True, slots=True)
class LocalPod:
    """A pod attachment on this bridge."""

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
    known = (load(Src.POD), load(SrcIdentity(pod.identity)), Goto(Table.SPOOF_GUARD))
    yield flow(Table.CLASSIFY, NORMAL, (in_port(pod.port),), known, cookie=mark)
    for address in pod.ips:
        yield from _address(pod, address, mark)


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
