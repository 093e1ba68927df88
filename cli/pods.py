"""Pods as rows of a table: where each is, by which port, and whether its flows are in place. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cli.directory import Directory, PodInfo
from cli.flows import Seen, duration
from cli.layout import Column, Row
from cli.nodes import NOTHING
from cli.view import NodeView, pod_key
from openflow import oxm
from openflow.tables import Table
from ovsdb.rows import PodPort


def columns() -> tuple[Column, ...]:
    """The columns of `rows`."""
    return (
        Column("POD", "bold"),
        Column("NODE"),
        Column("ADDRESSES", fold=True),
        Column("PORT", "cyan"),
        Column("OFPORT", right=True),
        Column("PROGRAMMED", lambda text: "green" if text == "yes" else "red", fold=True),
        Column("SINCE", "dim"),
        Column("AGE", right=True),
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pods: of one namespace, on one node; "" leaves the choice open."""

    namespace: str = ""
    node: str = ""

    def __str__(self) -> str:
        parts = [f" in namespace {self.namespace}"] if self.namespace else []
        return "".join([*parts, *([f" on node {self.node}"] if self.node else [])])

    def has(self, pod: str, node: str) -> bool:
        return self.namespace in ("", pod.partition("/")[0]) and self.node in ("", node)


@dataclass(frozen=True, slots=True)
class Attached:
    """A pod's port on a node. `age`: seconds since its flows are in the switch, None while there are none."""

    node: str
    port: PodPort
    age: float | None


def attached(view: NodeView, found: Iterable[Seen]) -> Iterator[Attached]:
    """The pods' ports of a node. Since when they are programmed is told by the age of the flow that lets the
    port's packets in: it is the switch's own word, and is true after a restart of switch or controller too."""
    ages = port_ages(found)
    for port in view.bridge.ports.values():
        yield Attached(view.node, port, None if port.ofport is None else ages.get(port.ofport))


def port_ages(found: Iterable[Seen]) -> Mapping[int, float]:
    """Age in seconds of the Classify flow of each port, by its OpenFlow number."""
    return {
        term.value: each.age
        for each in found
        if each.flow.table == Table.CLASSIFY
        for term in each.flow.match
        if term.field is oxm.IN_PORT
    }


def rows(ports: Iterable[Attached], missing: Iterable[PodInfo], selection: Selection, now: datetime) -> Iterator[Row]:
    """One row a port, and one for each pod that should have a port and has none."""
    table = [(pod_key(each.port), each.node, _attached_row(each, now)) for each in ports]
    table += [(pod.key, pod.node, _missing_row(pod)) for pod in missing]
    for pod, node, row in sorted(table, key=lambda entry: entry[:2]):
        if selection.has(pod, node):
            yield row


def without_port(views: Iterable[NodeView], directory: Directory) -> Iterator[PodInfo]:
    """The pods that Kubernetes has put on these nodes and that are on none of their bridges."""
    ports = {view.node: {pod_key(port) for port in view.bridge.ports.values()} for view in views}
    for pod in directory.pods.values():
        if pod.key not in ports.get(pod.node, {pod.key}):
            yield pod


def _attached_row(each: Attached, now: datetime) -> Row:
    port = each.port
    since, age = NOTHING, NOTHING
    if port.ready and each.age is not None:
        since = (now - timedelta(seconds=each.age)).strftime("%Y-%m-%d %H:%M:%S")
        age = duration(each.age)
    number = NOTHING if port.ofport is None else str(port.ofport)
    addresses = ", ".join(map(str, port.ips))
    return Row((pod_key(port), each.node, addresses, port.name, number, programmed(each), since, age))


def programmed(each: Attached) -> str:
    """`yes`, or `no` and how far the port has come."""
    port = each.port
    if port.error:
        return f"no: Open vSwitch cannot open the port: {port.error}"
    if port.ofport is None:
        return "no: Open vSwitch has given it no number yet"
    if port.leaving:
        return "no: it is being removed"
    if not port.ready:
        return "no: the controller has not confirmed its flows"
    return "yes" if each.age is not None else "no: its flows are not in the switch"


def _missing_row(pod: PodInfo) -> Row:
    addresses = ", ".join(map(str, pod.ips)) or NOTHING
    return Row((pod.key, pod.node, addresses, NOTHING, NOTHING, "no: it has no port on its node", NOTHING, NOTHING))
