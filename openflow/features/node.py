"""What a node's bridge holds about itself and about every other node."""

from collections.abc import Iterator
from dataclasses import dataclass

from openflow.actions import DEC_TTL, Goto, load, out_port, set_eth, set_tunnel
from openflow.constants import GATEWAY_MAC, ROUTER_MAC, VNI
from openflow.features.priority import LOW, LOWEST, NORMAL, TOP
from openflow.fields import Dst, OfPort, Src
from openflow.flow import Feature, Flow, cookie, flow
from openflow.match import ip_dst, ip_src, tun_src, where
from openflow.net import IPAddress, IPNetwork, host
from openflow.tables import Table


@dataclass(frozen=True, slots=True)
class Gateway:
    """A node's own side: its pod ranges, the gateway port's number and its addresses, one for each range."""

    node: str
    pod_cidrs: tuple[IPNetwork, ...]
    addresses: tuple[IPAddress, ...]
    port: OfPort


@dataclass(frozen=True, slots=True)
class Remote:
    """Another node: its pod ranges are reached through the tunnel port, towards `tunnel_ip`."""

    node: str
    pod_cidrs: tuple[IPNetwork, ...]
    tunnel_ip: IPAddress
    port: OfPort


def owner(node: str) -> str:
    return f"node/{node}"


def gateway_flows(own: Gateway) -> Iterator[Flow]:
    mark = cookie(Feature.NODE, owner(own.node))
    to_host = (*set_eth(ROUTER_MAC, GATEWAY_MAC), load(Dst.GATEWAY), out_port(own.port), Goto(Table.SOURCE_NAT))
    for address in own.addresses:
        yield flow(Table.ROUTE, NORMAL, (ip_dst(host(address)),), to_host, cookie=mark)
        # The node's own probes always reach its pods.
        probe = (where(Src.GATEWAY), ip_src(host(address)))
        yield flow(Table.INGRESS_IDENTITY, TOP, probe, (Goto(Table.COMMIT),), cookie=mark)
    for cidr in own.pod_cidrs:
        # An address of ours that no pod has: the host would only send it back here.
        yield flow(Table.ROUTE, LOW, (ip_dst(cidr),), cookie=mark)


def remote_flows(remote: Remote) -> Iterator[Flow]:
    mark = cookie(Feature.NODE, owner(remote.node))
    peer = tun_src(host(remote.tunnel_ip))
    across = (
        *set_eth(ROUTER_MAC, ROUTER_MAC),
        DEC_TTL,
        *set_tunnel(host(remote.tunnel_ip), VNI),
        load(Dst.TUNNEL),
        out_port(remote.port),
        Goto(Table.SOURCE_NAT),
    )
    for cidr in remote.pod_cidrs:
        # A node speaks for its own pods only, so one node that is taken over cannot pose as another's pods.
        yield flow(
            Table.SPOOF_GUARD, NORMAL, (where(Src.TUNNEL), peer, ip_src(cidr)), (Goto(Table.NEIGHBOR),), cookie=mark
        )
        # Another node's pods are behind the tunnel: their addresses never enter through this host.
        yield flow(Table.SPOOF_GUARD, NORMAL, (where(Src.GATEWAY), ip_src(cidr)), cookie=mark)
        # Below the drop of what came by tunnel: nobody is sent on from one node to another.
        yield flow(Table.ROUTE, LOWEST, (ip_dst(cidr),), across, cookie=mark)
