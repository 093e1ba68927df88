"""The switches of a cluster, joined by their tunnels, and questions to them: `fabric.send(...)`, `.connect(...)`.

A `Fabric` holds immutable switches and each node's connections. `fresh()` forgets the connections and `copy()`
doubles them, both for next to nothing, so that thousands of questions can be asked of one set of flows.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, TypedDict, TypeVar, Unpack

from openflow.constants import ROUTER_MAC
from openflow.flow import Flow
from openflow.net import IPAddress
from openflow.render import NO_NAMES, Names
from openflow.simulate import packet as packets
from openflow.simulate import slots
from openflow.simulate.conntrack import Conntrack, Memory, Tracker
from openflow.simulate.packet import CLIENT_PORT, Outer, Packet
from openflow.simulate.slots import Fields
from openflow.simulate.trace import Delivery, Drop, End, Guest, Host, Reason, Step, Trace, Tunnel
from openflow.simulate.walk import Tables, Walk

HOPS = 16
"""How many switches the copies of one packet may come to before they are given up."""


class Switch:
    """One node's bridge: its flows, its groups and what is behind its ports. Immutable, so that many fabrics can
    share it. `names` are for `Trace.why`."""

    __slots__ = ("names", "node", "ports", "tables")

    def __init__(
        self, node: str, tables: Tables | Iterable[Flow], ports: Mapping[int, End], names: Names = NO_NAMES
    ) -> None:
        self.node = node
        self.tables = tables if isinstance(tables, Tables) else Tables(tables)
        self.ports = dict(ports)
        self.names = names


class Place(NamedTuple):
    """A port of a node."""

    node: str
    port: int


class Traffic(TypedDict, total=False):
    """What to send: one of `tcp`, `udp` or `sctp` with a destination port, or an `icmp` echo with an identifier,
    which is what nothing at all means. `sport` is the source port, `from_ip` an address to send from instead of the
    sender's own, `family` (4 or 6) chooses among the addresses of the target."""

    tcp: int
    udp: int
    sctp: int
    icmp: int
    sport: int
    from_ip: IPAddress | str
    family: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A first packet and its answer; there is none if nobody got the first one. `ok` if both arrived."""

    forward: Trace
    reply: Trace | None
    ok: bool

    @property
    def why(self) -> str:
        return self.forward.why if self.reply is None else f"{self.forward.why}; answer {self.reply.why}"


@dataclass(slots=True)
class Fabric:
    """Switches joined by tunnels, with what each node's conntrack knows. Pods and hosts go by their names."""

    switches: Mapping[str, Switch]
    conntracks: dict[str, Conntrack]
    names: Mapping[str, Names] = field(repr=False)
    _places: Mapping[str, tuple[Place, Guest | Host]] = field(repr=False)
    _tunnels: Mapping[IPAddress, Place] = field(repr=False)

    @classmethod
    def of(cls, switches: Iterable[Switch]) -> "Fabric":
        """Raises ValueError when two ends have one name, two nodes one name, or two nodes one tunnel address."""
        by_node: dict[str, Switch] = {}
        places: dict[str, tuple[Place, Guest | Host]] = {}
        tunnels: dict[IPAddress, Place] = {}
        for switch in switches:
            _add(by_node, switch.node, switch)
            for port, end in switch.ports.items():
                place = Place(switch.node, port)
                if isinstance(end, Tunnel):
                    for ip in end.ips:
                        _add(tunnels, ip, place)
                else:
                    _add(places, end.name, (place, end))
        names = {node: switch.names for node, switch in by_node.items()}
        return cls(by_node, _untouched(by_node), names, places, tunnels)

    def fresh(self) -> "Fabric":
        """The same switches, on which no connection is known."""
        return replace(self, conntracks=_untouched(self.switches))

    def copy(self) -> "Fabric":
        """The same switches with the same connections; what happens to the copy is not remembered here."""
        return replace(self, conntracks={node: each.copy() for node, each in self.conntracks.items()})

    def end(self, name: str) -> Guest | Host:
        """The pod or host of this name. Raises LookupError when there is none."""
        return self._at(name)[1]

    def place(self, name: str) -> Place:
        """The port of the pod or host of this name. Raises LookupError when there is none."""
        return self._at(name)[0]

    def node_of(self, tunnel_ip: IPAddress) -> Place | None:
        """The tunnel port that has this outer address."""
        return self._tunnels.get(tunnel_ip)

    def send(self, source: str, target: str, **traffic: Unpack[Traffic]) -> Trace:
        """A packet from a pod or host, by name, to another, by name or address."""
        place, sender = self._at(source)
        return self.inject(place, self._packet(sender, target, traffic))

    def connect(self, source: str, target: str, **traffic: Unpack[Traffic]) -> Exchange:
        """A first packet and its answer. It is `ok` if both arrive: at the target, if that is a name, and back at
        the source."""
        forward = self.send(source, target, **traffic)
        return self.answered(forward, source, target if target in self._places else None)

    def answered(self, forward: Trace, source: str, target: str | None = None) -> Exchange:
        """What comes of it when whoever got a packet answers it."""
        got = forward.deliveries[0] if forward.deliveries else None
        if got is None or not isinstance(got.end, Guest | Host) or target not in (None, got.name):
            return Exchange(forward, None, ok=False)
        answer = replace(got.packet.answer(), eth_src=got.end.mac, eth_dst=ROUTER_MAC)
        reply = self.inject(Place(got.node, got.port), answer)
        return Exchange(forward, reply, ok=source in reply.to)

    def inject(self, place: Place, packet: Packet, tracker: Tracker | None = None) -> Trace:
        """Any packet into any port. `tracker` answers in place of every node's own conntrack."""
        journey = _Journey(self, packet, tracker)
        journey.go(place.node, packet.fields(place.port), Memory(packet.flags, packet.icmp_id, packet.about))
        return journey.end()

    def _at(self, name: str) -> tuple[Place, Guest | Host]:
        try:
            return self._places[name]
        except KeyError:
            raise LookupError(f"no pod or host is called {name!r}") from None

    def _packet(self, sender: Guest | Host, target: str, traffic: Traffic) -> Packet:
        source = ip_address(traffic["from_ip"]) if "from_ip" in traffic else None
        known = self._places.get(target)
        if known is None:
            destination = ip_address(target)
        else:
            own = known[1]
            destination = _of_family(own, traffic.get("family") or (source or own.ips[0]).version)
        made = _made(source or _of_family(sender, destination.version), destination, traffic)
        return replace(made, eth_src=sender.mac)


_Name = TypeVar("_Name")
_What = TypeVar("_What")


def _add(known: dict[_Name, _What], key: _Name, value: _What) -> None:
    if key in known:
        raise ValueError(f"{key} is there twice: {known[key]} and {value}")
    known[key] = value


class _Journey:
    """One packet, and the copies that are made of it, from switch to switch."""

    __slots__ = ("_deliveries", "_drop", "_fabric", "_packet", "_queue", "_steps", "_tracker")

    def __init__(self, fabric: Fabric, packet: Packet, tracker: Tracker | None) -> None:
        self._fabric = fabric
        self._packet = packet
        self._tracker = tracker
        self._steps: list[Step] = []
        self._deliveries: list[Delivery] = []
        self._drop: Drop | None = None
        self._queue: deque[tuple[str, Fields, Memory]] = deque()

    def go(self, node: str, fields: Fields, memory: Memory) -> None:
        """Into this switch, and on until nothing is under way."""
        self._queue.append((node, fields, memory))
        for _ in range(HOPS):
            if not self._queue:
                return
            self._visit(*self._queue.popleft())
        last = self._steps[-1]
        self._drop = Drop(last.node, last.table, last.flow, Reason.ROUND)

    def end(self) -> Trace:
        drop = None if self._deliveries else self._drop
        return Trace(tuple(self._steps), tuple(self._deliveries), drop, self._fabric.names)

    def _visit(self, node: str, fields: Fields, memory: Memory) -> None:
        tracker = self._tracker or self._fabric.conntracks[node]
        walk = Walk(node, self._fabric.switches[node].tables, tracker, memory, self._steps)
        walk.run(fields)
        for port, sent, carried in walk.outputs:
            self._out(walk, port, sent, carried)
        self._drop = walk.drop()

    def _out(self, walk: Walk, port: int, fields: Fields, memory: Memory) -> None:
        end = self._fabric.switches[walk.node].ports.get(port)
        if end is None:
            walk.fail(Reason.NO_PORT)
        elif not isinstance(end, Tunnel):
            self._deliveries.append(Delivery(walk.node, port, end, self._packet, fields, memory.about))
        elif (far := self._far(end, fields)) is None:
            walk.fail(Reason.NO_NODE)
        else:
            place, outer = far
            self._queue.append((place.node, _arrived(fields, place.port, outer), _carried(memory)))

    def _far(self, near: Tunnel, fields: Fields) -> tuple[Place, Outer] | None:
        """The tunnel port at the other end, and the outer header on the way."""
        four = bool(fields[slots.TUN_DST])
        there = IPv4Address(fields[slots.TUN_DST]) if four else IPv6Address(fields[slots.TUN6_DST])
        here = next((ip for ip in near.ips if ip.version == there.version), None)
        place = self._fabric.node_of(there)
        if here is None or place is None:
            return None
        return place, Outer(fields[slots.TUN_ID], here, there)


def _arrived(fields: Fields, port: int, outer: Outer) -> Fields:
    """A packet as it enters the next switch: registers and marks do not travel."""
    made = [0] * slots.COUNT
    made[slots.ETH_SRC : slots.TUN_ID] = fields[slots.ETH_SRC : slots.TUN_ID]
    made[slots.IN_PORT] = port
    packets.wrap(made, outer)
    return made


def _carried(memory: Memory) -> Memory:
    return Memory(memory.flags, memory.icmp_id, memory.about)


def _untouched(nodes: Iterable[str]) -> dict[str, Conntrack]:
    return {node: Conntrack() for node in nodes}


def _of_family(end: Guest | Host, version: int) -> IPAddress:
    for ip in end.ips:
        if ip.version == version:
            return ip
    raise ValueError(f"{end.name} has no IPv{version} address")


def _made(source: IPAddress, destination: IPAddress, traffic: Traffic) -> Packet:
    chosen = [name for name in ("tcp", "udp", "sctp", "icmp") if name in traffic]
    if len(chosen) > 1:
        raise ValueError(f"a packet is one of {chosen}, not all of them")
    sport = traffic.get("sport", CLIENT_PORT)
    if "tcp" in traffic:
        return packets.tcp(source, destination, traffic["tcp"], sport)
    if "udp" in traffic:
        return packets.udp(source, destination, traffic["udp"], sport)
    if "sctp" in traffic:
        return packets.sctp(source, destination, traffic["sctp"], sport)
    return packets.echo(source, destination, traffic.get("icmp", 1))
