"""What nodes are to try with each other: the probes of a check, from what was seen before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from cli.checks.model import NodeState, World
from cli.facts import Probe
from ovsdb.rows import GATEWAY_PORT

NOBODY = 33434
"""A UDP port where nobody listens: traceroute's."""
SMALL = 100
"""Bytes of a packet that fits everywhere."""
PEERS = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP end: `kind` is `tcp` or `ssl`."""

    kind: str
    address: str
    port: int


def endpoint(target: str) -> Endpoint | None:
    """Where `ssl:IP:PORT`, `tcp:IP:PORT`, `pssl:PORT:IP` or `ptcp:PORT:IP` is reached (ovsdb(7)); None for a target
    that no other machine reaches."""
    kind, _, rest = target.partition(":")
    if kind in ("pssl", "ptcp"):
        port, _, host = rest.partition(":")
        kind = kind[1:]
    elif kind in ("ssl", "tcp"):
        host, _, port = rest.rpartition(":")
    else:
        return None
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return None if address.is_loopback or not port.isdecimal() else Endpoint(kind, str(address), int(port))


def gateways(state: NodeState) -> tuple[str, ...]:
    """A node's addresses in the pods' network, one a family."""
    link = state.facts.link(GATEWAY_PORT) if state.facts else None
    found = (ip_interface(text).ip for text in (link.addresses if link else ()))
    return tuple(str(ip) for ip in found if not ip.is_link_local)


def peers_of(world: World, node: str, most: int = PEERS) -> tuple[NodeState, ...]:
    """The nodes that a node tries: those after it, in a circle, so that every node is tried by as many."""
    names = [each.node for each in world.nodes]
    at = names.index(node)
    return (*world.nodes[at + 1 :], *world.nodes[:at])[:most]


def probes_of(world: World, state: NodeState, most: int = PEERS) -> tuple[Probe, ...]:
    """Everything that this node is to try."""
    peers = peers_of(world, state.node, most)
    return tuple(dict.fromkeys((*_tunnels(state, peers), *_controllers(state), *_databases(world, state))))


def _tunnels(state: NodeState, peers: Sequence[NodeState]) -> Iterator[Probe]:
    """A small packet and the largest that a pod may send, to each peer in each family that both have."""
    own = {ip_address(ip).version for ip in gateways(state)}
    for peer in peers:
        for ip in gateways(peer):
            if ip_address(ip).version in own:
                yield Probe("udp", ip, NOBODY, SMALL)
                if state.view is not None and state.view.mtu:
                    yield Probe("udp", ip, NOBODY, state.view.mtu)


def _controllers(state: NodeState) -> Iterator[Probe]:
    """Where the switch is to connect to."""
    for target in state.view.controllers if state.view else ():
        end = endpoint(target)
        if end is not None and end.kind == "ssl" and state.files is not None:
            yield Probe("tls", end.address, end.port, files=state.files)
        elif end is not None:
            yield Probe("tcp", end.address, end.port)


def _databases(world: World, state: NodeState) -> Iterator[Probe]:
    """The databases that a controller on this node connects to: those of all nodes."""
    # A controller that is on no node, as a lab's, reaches them from anywhere.
    if world.controllers is None or {"", state.node} & {each.node for each in world.controllers}:
        for peer in world.nodes:
            for end in map(endpoint, peer.managers):
                if end is not None:
                    yield Probe("tcp", end.address, end.port)
