"""The flows that every node has, whoever runs on it."""

from collections.abc import Iterator
from dataclasses import dataclass

from openflow import oxm
from openflow.actions import DELIVER, IN_PORT, TRANSLATE, Action, Copy, Ct, Goto, load, out_port, set_eth, set_value
from openflow.constants import GATEWAY_MAC, ROUTER_MAC, VNI
from openflow.features.priority import HIGH, HIGHER, LOW, LOWER, MISS, NORMAL, TOP
from openflow.fields import (
    LABELS,
    RULE_BITS,
    RULES,
    SCRATCH,
    Direction,
    Disposition,
    Dst,
    OfPort,
    Origin,
    Src,
    Verdict,
    Zone,
)
from openflow.flow import Feature, Flow, cookie, flow
from openflow.match import (
    ARP,
    IPV4,
    IPV6,
    Term,
    arp,
    ct_state,
    eth_src,
    icmpv6_type,
    in_port,
    ip_dst,
    mac,
    tun_id,
    where,
)
from openflow.net import network
from openflow.tables import PIPELINE, Miss, Table

OWNER = "pipeline"
COOKIE = cookie(Feature.BASE, OWNER)

ND_TYPES = range(133, 138)
"""ICMPv6 router and neighbour discovery and redirect (RFC 4861 section 4)."""

NOT_ROUTED = tuple(
    network(net) for net in ("224.0.0.0/4", "255.255.255.255/32", "169.254.0.0/16", "ff00::/8", "fe80::/10")
)
"""Multicast, broadcast and link-local: never forwarded by a router (RFC 1122, RFC 3927, RFC 4291)."""

DENIED = (Disposition.EGRESS_DENIED, Disposition.INGRESS_DENIED)

_RULES = Copy(RULES, LABELS, RULE_BITS)
_FAMILIES: tuple[tuple[Term, Zone], ...] = ((IPV4, Zone.IPV4), (IPV6, Zone.IPV6))
_ARP_REQUEST, _ARP_REPLY = 1, 2


@dataclass(frozen=True, slots=True)
class SystemPorts:
    """OpenFlow port numbers of a bridge's own ports; None where Open vSwitch has not created the port."""

    gateway: OfPort | None
    tunnel: OfPort | None


def flows(ports: SystemPorts) -> Iterator[Flow]:
    yield from _misses()
    yield from _neighbor()
    yield from _conntrack()
    yield from _policy()
    yield from _route_limits()
    yield from _deliver()
    if ports.tunnel is not None:
        tunnel = (in_port(ports.tunnel), tun_id(VNI))
        yield _add(Table.CLASSIFY, NORMAL, tunnel, do=(load(Src.TUNNEL), Goto(Table.SPOOF_GUARD)))
    if ports.gateway is not None:
        yield from _gateway(ports.gateway)


def _add(table: Table, priority: int, *terms: Term | tuple[Term, ...], do: tuple[Action, ...] = ()) -> Flow:
    return flow(table, priority, terms, do, cookie=COOKIE)


def _misses() -> Iterator[Flow]:
    for spec in PIPELINE:
        if spec.miss is Miss.NEXT:
            yield _add(spec.table, MISS, do=(Goto(Table(spec.table + 1)),))


def _neighbor() -> Iterator[Flow]:
    # One virtual router answers for every address, so nobody learns, and nobody can forge, a neighbour's MAC.
    answer = (
        Copy(oxm.ETH_SRC, oxm.ETH_DST),
        set_value(oxm.ETH_SRC, mac(ROUTER_MAC)),
        set_value(oxm.ARP_OP, _ARP_REPLY),
        Copy(oxm.ARP_SHA, oxm.ARP_THA),
        set_value(oxm.ARP_SHA, mac(ROUTER_MAC)),
        Copy(oxm.ARP_SPA, SCRATCH),
        Copy(oxm.ARP_TPA, oxm.ARP_SPA),
        Copy(SCRATCH, oxm.ARP_TPA),
        IN_PORT,
    )
    yield _add(Table.NEIGHBOR, NORMAL, arp(op=_ARP_REQUEST), do=answer)
    # Nobody asked for other ARP packets.
    yield _add(Table.NEIGHBOR, LOW, ARP)
    # Neighbours are permanent entries: discovery has nothing to find and must not leave the port.
    for number in ND_TYPES:
        yield _add(Table.NEIGHBOR, NORMAL, icmpv6_type(number))


def _conntrack() -> Iterator[Flow]:
    for family, zone in _FAMILIES:
        yield _add(Table.CONNTRACK, NORMAL, family, do=(Ct(zone, Table.CONNTRACK_STATE, nat=TRANSLATE),))
    yield _add(Table.CONNTRACK_STATE, TOP, ct_state(inv=True, trk=True))
    for state in (ct_state(rpl=True, trk=True), ct_state(rel=True, trk=True)):
        # A policy edit cut this connection: its replies stop with it.
        yield _add(Table.CONNTRACK_STATE, HIGH, state, where(Verdict.BLOCKED))
        # Replies skip services and policy: the forward direction was judged.
        yield _add(Table.CONNTRACK_STATE, NORMAL, state, do=(load(Direction.REPLY), Goto(Table.ROUTE)))
    yield _add(Table.INGRESS_IDENTITY, HIGH, where(Direction.REPLY), do=(Goto(Table.COMMIT),))
    for family, zone in _FAMILIES:
        new, known = ct_state(new=True, trk=True), ct_state(est=True, trk=True)
        # Which rules allowed it goes with the connection.
        yield _add(Table.COMMIT, NORMAL, family, new, do=(Ct(zone, commit=True, sets=(_RULES,)), Goto(Table.OUTPUT)))
        # Remember who entered by the gateway: the host may hold translation state for the replies.
        marked = Ct(zone, commit=True, sets=(load(Origin.GATEWAY), _RULES))
        yield _add(Table.COMMIT, HIGH, family, new, where(Src.GATEWAY), do=(marked, Goto(Table.OUTPUT)))
        # And the other way round: what was cut may go on.
        mended = Ct(zone, commit=True, sets=(load(Verdict.ALLOWED), _RULES))
        yield _add(Table.COMMIT, NORMAL, family, known, where(Verdict.BLOCKED), do=(mended, Goto(Table.OUTPUT)))
    for denied in DENIED:
        yield from denying(denied)


def denying(denied: Disposition) -> Iterator[Flow]:
    """What Commit does with the packets that one side denies. Nothing else meets these flows, and they are always
    there: their counters are the packets that policies have denied since the switch began."""
    for family, zone in _FAMILIES:
        # A policy denies now what it allowed before: the connection's replies must end, too.
        cut = Ct(zone, commit=True, sets=(load(Verdict.BLOCKED),))
        known = ct_state(est=True, trk=True)
        yield _add(Table.COMMIT, TOP, family, known, where(denied), where(Verdict.ALLOWED), do=(cut,))
    yield _add(Table.COMMIT, HIGHER, where(denied))


def _policy() -> Iterator[Flow]:
    # Only a pod of this node is judged as a source here, and only a pod of this node as a destination.
    for source in (Src.TUNNEL, Src.GATEWAY):
        yield _add(Table.SOURCE_IDENTITY, NORMAL, where(source), do=(Goto(Table.ROUTE),))
    for target in (Dst.TUNNEL, Dst.GATEWAY):
        yield _add(Table.INGRESS_IDENTITY, HIGH, where(target), do=(Goto(Table.COMMIT),))
    # SourceIdentity knows who it is.
    yield _add(Table.INGRESS_IDENTITY, NORMAL, where(Src.POD), do=(Goto(Table.INGRESS_ADMIN),))


def _route_limits() -> Iterator[Flow]:
    for net in NOT_ROUTED:
        yield _add(Table.ROUTE, HIGH, ip_dst(net))
    # What comes by tunnel is for this node's pods or for the node itself; it is never passed on.
    yield _add(Table.ROUTE, LOWER, where(Src.TUNNEL))


def _deliver() -> Iterator[Flow]:
    for kind in Dst:
        yield _add(Table.OUTPUT, NORMAL, where(kind), do=(DELIVER,))


def _gateway(port: OfPort) -> Iterator[Flow]:
    yield _add(Table.CLASSIFY, NORMAL, in_port(port), do=(load(Src.GATEWAY), Goto(Table.SPOOF_GUARD)))
    sender = eth_src(GATEWAY_MAC)
    for family in (IPV4, IPV6, ARP):
        yield _add(Table.SPOOF_GUARD, LOW, where(Src.GATEWAY), sender, family, do=(Goto(Table.NEIGHBOR),))
    to_host = (*set_eth(ROUTER_MAC, GATEWAY_MAC), load(Dst.GATEWAY), out_port(port), Goto(Table.SOURCE_NAT))
    # The host translated this connection's addresses: only the host can undo it on the replies.
    replies = ct_state(rpl=True, trk=True)
    yield _add(Table.ROUTE, TOP, replies, where(Origin.GATEWAY), do=to_host)
    # Everything that is not the cluster's goes to the host, which routes and masquerades it.
    yield _add(Table.ROUTE, MISS, do=to_host)
