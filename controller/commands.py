"""What the core asks its edges to do, and what they tell it. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.bridge import BridgeState
from kube.changes import Change as KubeChange
from kube.membership import Problem
from openflow.codec import Change as FlowChange
from openflow.fields import Disposition
from ovsdb.rows import PodPort


class Session(Protocol):
    """A connected switch (`openflow.channel.Session`). The core reads its id and hands it back in commands; the
    edge calls the rest."""

    @property
    def datapath_id(self) -> int: ...

    def dump_flows(self) -> None: ...

    def apply(self, change: FlowChange) -> None: ...

    def refuse(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class SwitchUp:
    """A switch finished its OpenFlow handshake."""

    session: Session


@dataclass(frozen=True, slots=True)
class SwitchDown:
    session: Session


@dataclass(frozen=True, slots=True)
class Dumped:
    """A switch's flows, key → body, and how many packets those of Commit have met since the switch has them."""

    session: Session
    flows: Mapping[bytes, bytes]
    packets: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowRefused:
    """A flow that a switch refused, by its key; no key when it refused the bundle without saying which flow."""

    key: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The barrier behind a change was answered. What was refused is not on the switch, nor, it may be, the rest."""

    session: Session
    failures: tuple[FlowRefused, ...]


@dataclass(frozen=True, slots=True)
class BridgeRead:
    """The whole bridge of a node, when its database was first read or read again."""

    node: str
    state: BridgeState
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class PortSet:
    node: str
    port: PodPort


@dataclass(frozen=True, slots=True)
class PortUnset:
    node: str
    name: str


@dataclass(frozen=True, slots=True)
class SystemPortSet:
    """Tunnel or gateway port: its OpenFlow number, None while Open vSwitch has not opened it."""

    node: str
    name: str
    ofport: int | None


@dataclass(frozen=True, slots=True)
class PortProblem:
    """What is wrong with a port's rows now, if anything; such a port gets no flows."""

    node: str
    key: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class PurgeNeed:
    """Whether the node's switch may have stale datapath flows after a change, which the agent then purges."""

    node: str
    needed: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes; `now` is monotonic seconds."""

    now: float


Event = (
    KubeChange | SwitchUp | SwitchDown | Dumped | Applied | BridgeRead | PortSet | PortUnset | SystemPortSet
    | PortProblem | PurgeNeed | Tick
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Watch:
    """Follow the OVSDB of a node at this remote."""

    node: str
    remote: str


@dataclass(frozen=True, slots=True)
class Unwatch:
    node: str


@dataclass(frozen=True, slots=True)
class ReadFlows:
    node: str
    session: Session


@dataclass(frozen=True, slots=True)
class SendFlows:
    """Apply a change as one bundle. `repair` marks one that nothing in the cluster asked for."""

    node: str
    session: Session
    change: FlowChange
    repair: bool = False


@dataclass(frozen=True, slots=True)
class CountDenied:
    """How many packets policies have denied on a node, by side, since its switch has the flows that count them."""

    node: str
    packets: Mapping[Disposition, int]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close a peer's session."""

    session: Session
    reason: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Write `weft-programmed`: the container whose flows are in place, or None to take it back."""

    node: str
    port: str
    container: str | None


@dataclass(frozen=True, slots=True)
class Purge:
    """Write `weft-purge`, one more than it was: the datapath flows of the node's switch may be stale."""

    node: str


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """Have the node's switch give its connection the settings of its Controller row (`BridgeWatch.reconfigure`)."""

    node: str


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the operator of a problem that is new."""

    problem: Problem


Command = Watch | Unwatch | ReadFlows | SendFlows | CountDenied | Refuse | Announce | Purge | Reconfigure | Report
