"""What became of a packet: the flows it met, and who got it or what dropped it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from openflow.constants import GATEWAY_MAC
from openflow.flow import Flow
from openflow.net import IPAddress
from openflow.render import NO_NAMES, Columns, Names, named, table_title
from openflow.simulate.packet import Packet
from openflow.simulate.slots import Fields


@dataclass(frozen=True, slots=True)
class Guest:
    """A pod behind its port, `namespace/name`."""

    name: str
    mac: str
    ips: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A node itself, and through its routing everything outside the cluster, behind the gateway port."""

    name: str
    ips: tuple[IPAddress, ...]
    mac: str = GATEWAY_MAC


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The port to the other nodes; `ips` are this node's own outer addresses, one of a family."""

    ips: tuple[IPAddress, ...]


End = Guest | Host | Tunnel
"""What is behind a port."""


class Step(NamedTuple):
    """A table that the packet came to, and the flow that handled it; None where no flow matched."""

    node: str
    table: int
    flow: Flow | None


class Reason(Enum):
    """Why a packet went nowhere."""

    MISS = "no flow matches"
    DROPPED = "the flow drops it"
    EXPIRED = "its TTL has come to an end"
    CAME_FROM = "it would go back out of the port that it came by"
    NO_PORT = "there is no such port"
    NO_NODE = "no node has the tunnel's far address"
    NO_GROUP = "there is no such group"
    ROUND = "it goes round and round"


@dataclass(frozen=True, slots=True)
class Drop:
    """Where a packet ended that nobody got."""

    node: str
    table: int
    flow: Flow | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy of the packet at an end, or at a port that nothing is known of (`end` is None)."""

    node: str
    port: int
    end: End | None
    sent: Packet
    fields: Fields = field(repr=False)
    about: Packet | None = None

    @property
    def name(self) -> str:
        """`namespace/name` of a pod, the name of a host, or node and port number."""
        return self.end.name if isinstance(self.end, Guest | Host) else f"{self.node}:{self.port}"

    @property
    def packet(self) -> Packet:
        """The packet as it came out of the switch."""
        return self.sent.after(self.fields, self.about)


@dataclass(frozen=True, slots=True)
class Trace:
    """A packet's way through the cluster: every table in its order, on every node, and the end of it."""

    steps: tuple[Step, ...]
    deliveries: tuple[Delivery, ...]
    drop: Drop | None
    names: Mapping[str, Names] = field(default_factory=dict, repr=False, compare=False)

    @property
    def delivered(self) -> bool:
        """Whether anybody got it; `to` says who."""
        return bool(self.deliveries)

    @property
    def to(self) -> tuple[str, ...]:
        return tuple(delivery.name for delivery in self.deliveries)

    @property
    def packet(self) -> Packet:
        """The packet as delivered. Raises LookupError when nobody got it."""
        if not self.deliveries:
            raise LookupError(f"nobody got the packet: {self.why}")
        return self.deliveries[0].packet

    @property
    def tables(self) -> tuple[int, ...]:
        return tuple(step.table for step in self.steps)

    def flow_in(self, table: int, node: str | None = None) -> Flow | None:
        """The flow that handled the packet in this table, on this node or the first that has it."""
        return next((step.flow for step in self.steps if step.table == table and node in (None, step.node)), None)

    @property
    def why(self) -> str:
        """The end of it in one line, e.g. `dropped on alpha in Route: the flow drops it: [ip_dst=...] drop (...)`."""
        if self.drop is None:
            return "delivered to " + ", ".join(f"{each.name} on {each.node}" for each in self.deliveries)
        where = f"dropped on {self.drop.node} in {table_title(self.drop.table)}: {self.drop.reason.value}"
        if self.drop.flow is None:
            return where
        words = self._words(self.drop.node, self.drop.flow)
        return f"{where}: [{words.match}] {words.actions} ({words.owner})"

    def __str__(self) -> str:
        return "\n".join((*map(self._line, self.steps), self.why))

    def _line(self, step: Step) -> str:
        words = f"{table_title(step.table)} no match" if step.flow is None else str(self._words(step.node, step.flow))
        return f"{step.node}: {words}"

    def _words(self, node: str, flow: Flow) -> Columns:
        return named(flow, self.names.get(node, NO_NAMES))
