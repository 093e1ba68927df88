"""Checks of what lies between nodes: MTU, tunnels, ports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

from cli.checks import plan
from cli.checks.model import Finding, NodeState, Result, World
from cli.facts import Probed
from cli.view import NodeView, pod_key
from node_agent.mtu import overhead
from ovsdb.rows import GATEWAY_PORT

MTU, TUNNEL, PORTS = "mtu", "tunnel", "ports"


def mtu(world: World) -> Iterator[Finding]:
    """Whether a pod's largest packet fits the uplink in its tunnel, and nodes agree how large it is."""
    sizes = Counter(view.mtu for _, view in world.seen() if view.mtu)
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    for state, view in world.seen():
        found = [*_fits(state, view), *_agrees(state, view, usual), *_devices(state, view)]
        if not found and view.mtu:
            found = [Finding(MTU, state.node, Result.OK, _sum(state, view))]
        yield from found


def _sum(state: NodeState, view: NodeView) -> str:
    cost, uplink = _cost(state, view), state.facts.uplink if state.facts else ""
    link = state.facts.link(uplink) if state.facts else None
    room = f" of {link.mtu} on {uplink}" if link else ""
    return f"pods {view.mtu}, with {cost} bytes for the tunnel {(view.mtu or 0) + cost}{room}"


def _cost(state: NodeState, view: NodeView) -> int:
    kind, _ = state.tunnel
    if kind not in ("geneve", "vxlan") or not view.tunnel_ip:
        return 0
    return overhead("geneve" if kind == "geneve" else "vxlan", ip_address(view.tunnel_ip).version)


def _fits(state: NodeState, view: NodeView) -> Iterator[Finding]:
    if state.facts is None or not view.mtu:
        return
    if state.facts.uplink_problem:
        remedy = "give the interface its address back, or change the settings tunnel-ip and transport-interface"
        yield Finding(MTU, state.node, Result.FAILED, state.facts.uplink_problem, remedy)
    link = state.facts.link(state.facts.uplink)
    needed = view.mtu + _cost(state, view)
    if link is not None and link.mtu < needed:
        what = (
            f"a packet of {view.mtu} bytes is {needed} in its tunnel, and {link.name} takes {link.mtu}: it is dropped"
        )
        remedy = f"raise the MTU of {link.name} to {needed}, or lower pods' to {link.mtu - needed + view.mtu} (mtu)"
        yield Finding(MTU, state.node, Result.FAILED, what, remedy)
    if link is not None and not link.up:
        what = f"{link.name}, by which tunnels leave, is down"
        yield Finding(MTU, state.node, Result.FAILED, what, f"`ip link set {link.name} up` on the node")


def _agrees(state: NodeState, view: NodeView, usual: int) -> Iterator[Finding]:
    if view.mtu and view.mtu != usual:
        remedy = "give all nodes' uplinks one MTU, or all agents the setting mtu (defaultMTU in the chart)"
        what = f"pods here have an MTU of {view.mtu}, those of most nodes {usual}: the larger packets do not arrive"
        yield Finding(MTU, state.node, Result.FAILED, what, remedy)


def _devices(state: NodeState, view: NodeView) -> Iterator[Finding]:
    """Devices of pods that are older than the MTU which is in force now."""
    if state.facts is None or not view.mtu:
        return
    gateway = state.facts.link(GATEWAY_PORT)
    if gateway is not None and gateway.mtu != view.mtu:
        what = f"{GATEWAY_PORT} has an MTU of {gateway.mtu}, not {view.mtu}"
        yield Finding(MTU, state.node, Result.WARNING, what, "its agent puts that right within seconds, if it runs")
    for port in view.bridge.ports.values():
        link = state.facts.link(port.name)
        if link is not None and link.mtu > view.mtu:
            what = f"{pod_key(port)} has an MTU of {link.mtu}, from before it was lowered to {view.mtu}"
            remedy = "delete the pod, so that it is made anew; until then its larger packets may get lost"
            yield Finding(MTU, state.node, Result.WARNING, what, remedy)


def tunnel(world: World) -> Iterator[Finding]:
    """Whether packets of a node come to its peers through the tunnel, small ones and the largest of a pod's."""
    owners = {ip: each.node for each in world.nodes for ip in plan.gateways(each)}
    for state, view in world.seen():
        if "probes" in state.silent:
            yield _untried(TUNNEL, state)
            continue
        tried = [each for each in state.probed if each.probe.kind == "udp"]
        if not tried:
            what = "there is no other node to send to" if len(world.nodes) < 2 else "no packets were sent"
            yield Finding(TUNNEL, state.node, Result.UNKNOWN, what)
            continue
        lost = {each.probe.address for each in tried if each.problem and each.probe.size == plan.SMALL}
        found = [_lost(state, view, world, each, owners) for each in tried if each.problem and _first(each, lost)]
        peers = len({owners[each.probe.address] for each in tried})
        what = f"{peers} of {len(world.nodes) - 1} other nodes answer through it, also packets of {view.mtu} bytes"
        yield from found or [Finding(TUNNEL, state.node, Result.OK, what)]


def _first(each: Probed, lost: set[str]) -> bool:
    """Where not even small packets arrive, nothing is to be said of large ones."""
    return each.probe.size == plan.SMALL or each.probe.address not in lost


def _lost(state: NodeState, view: NodeView, world: World, each: Probed, owners: dict[str, str]) -> Finding:
    peer = owners[each.probe.address]
    kind, port = state.tunnel
    size = each.probe.size
    if size != plan.SMALL:
        needed = size + _cost(state, view)
        what = f"packets of {size} bytes do not get to {peer} ({each.probe.address}), small ones do: {each.problem}"
        remedy = f"have all that is between the nodes carry {needed} bytes, or lower pods' MTU (mtu, defaultMTU)"
        return Finding(TUNNEL, state.node, Result.FAILED, what, remedy)
    other = world.state(peer)
    end = other.view.tunnel_ip if other and other.view else "?"
    what = f"{peer} ({each.probe.address}) does not answer through the tunnel: {each.problem}"
    remedy = (
        f"let UDP port {port} ({kind}) pass between {view.tunnel_ip or '?'} and {end} both ways, and see the other "
        f"findings of {peer}; a firewall on {peer} that drops what comes in by {GATEWAY_PORT} looks the same"
    )
    return Finding(TUNNEL, state.node, Result.FAILED, what, remedy)


def ports(world: World) -> Iterator[Finding]:
    """Whether switches reach their controllers, and controllers the nodes' databases."""
    for state, _ in world.seen():
        if "probes" in state.silent:
            yield _untried(PORTS, state)
            continue
        tried = [each for each in state.probed if each.probe.kind in ("tcp", "tls")]
        found = [_closed(state, each) for each in tried if each.problem]
        if not tried:
            found = [
                Finding(PORTS, state.node, Result.OK, "nothing of it is reached over the network: unix sockets only")
            ]
        what = f"open: {', '.join(_place(each) for each in tried)}"
        yield from found or [Finding(PORTS, state.node, Result.OK, what)]


def _closed(state: NodeState, each: Probed) -> Finding:
    what = f"{_place(each)} cannot be used from this node: {each.problem}"
    remedy = "look whether something listens there, and let nodes reach it through firewalls and security groups"
    if each.problem.startswith("TLS: "):
        remedy = (
            "each end has to be signed by an authority of the other's tls-ca: docs/tls.md, and the controller's log"
        )
    return Finding(PORTS, state.node, Result.FAILED, what, remedy)


def _place(each: Probed) -> str:
    address = f"[{each.probe.address}]" if ":" in each.probe.address else each.probe.address
    return f"{'OpenFlow by TLS at ' if each.probe.kind == 'tls' else ''}{address}:{each.probe.port}"


def _untried(check: str, state: NodeState) -> Finding:
    remedy = "see what is said of the node's agent"
    return Finding(
        check, state.node, Result.UNKNOWN, f"nothing could be tried from it: {state.silent['probes']}", remedy
    )
