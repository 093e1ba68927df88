"""Nodes as rows of a table: what Kubernetes, the switch's database and the switch say of each. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cli.directory import Directory, NodeInfo
from cli.flows import Seen
from cli.layout import Column, Row
from cli.view import NodeView, Silent
from openflow.flow import is_ours

NOTHING = "-"
NOT_CONNECTED = "not connected"
_TOLD_SECONDS = 6.0


def columns() -> tuple[Column, ...]:
    """The columns of `rows`."""
    return (
        Column("NODE", "bold"),
        Column("READY", yes_no),
        Column("POD-CIDRS", fold=True),
        Column("TUNNEL-IP"),
        Column("MTU", right=True),
        Column("DATAPATH-ID", "dim"),
        Column("OVS"),
        Column("BRIDGE"),
        Column("CONTROLLER", yes_no),
        Column("PODS", right=True),
        Column("FLOWS", right=True),
    )


@dataclass(frozen=True, slots=True)
class Running:
    """What ovs-vswitchd itself says: its version, and how many flows the bridge has; None when it does not answer.

    `youngest` is the age in seconds of the last flow that a controller of ours added.
    """

    version: str = ""
    flows: int | None = None
    youngest: float | None = None


def running(version: str, found: Sequence[Seen]) -> Running:
    """The same from a dump."""
    ages = [each.age for each in found if is_ours(each.flow.cookie)]
    return Running(version, len(found), min(ages, default=None))


def rows(views: Iterable[NodeView], directory: Directory, running: Mapping[str, Running]) -> Iterator[Row]:
    """One row a node; `running` by node."""
    for view in views:
        info = directory.nodes.get(view.node) or NodeInfo(view.node, None, (), None)
        dpid, switch = view.bridge.datapath_id, running.get(view.node, Running())
        yield Row(
            (
                view.node,
                {True: "yes", False: "no", None: NOTHING}[info.ready],
                ", ".join(map(str, info.pod_cidrs)) or NOTHING,
                view.tunnel_ip or NOTHING,
                _shown(info.mtu or view.mtu),
                NOTHING if dpid is None else f"{dpid:016x}",
                switch.version or view.ovs_version or NOTHING,
                view.bridge.name,
                connected(view.controllers, switch.youngest),
                str(len(view.bridge.ports)),
                _shown(switch.flows),
            )
        )


def silent_rows(silent: Iterable[Silent], directory: Directory) -> Iterator[Row]:
    """One row for each node whose switch does not answer, with what Kubernetes knows of it."""
    for each in silent:
        info = directory.nodes.get(each.node) or NodeInfo(each.node, None, (), None)
        ready = {True: "yes", False: "no", None: NOTHING}[info.ready]
        cidrs = ", ".join(map(str, info.pod_cidrs)) or NOTHING
        yield Row((each.node, ready, cidrs, *[NOTHING] * 8))


def connected(controllers: Mapping[str, bool], youngest: float | None = None) -> str:
    """Whether the switch is connected to its controllers; how many of them, when some are not.

    Open vSwitch tells of them every five seconds only (Controller.is_connected), so a controller that has just added
    flows counts as connected before it does.
    """
    up = sum(controllers.values())
    if not controllers:
        return "none set"
    if up == 0 and youngest is not None and youngest < _TOLD_SECONDS:
        return "connected"
    if up == len(controllers):
        return "connected"
    return NOT_CONNECTED if up == 0 else f"{up} of {len(controllers)} connected"


def problems(view: NodeView) -> Iterator[str]:
    """What is wrong with a node's bridge, in words."""
    yield from (f"{view.node}: {why}" for why in view.bridge.refused.values())
    for name in sorted(view.bridge.foreign):
        yield f"{view.node}: port {name} on bridge {view.bridge.name} is not Weft's; nothing passes through it"


def yes_no(text: str) -> str:
    """The style of a cell that says whether something is as it should be."""
    if text in ("yes", "connected"):
        return "green"
    return "dim" if text == NOTHING else "red"


def _shown(number: int | None) -> str:
    return NOTHING if number is None else str(number)
