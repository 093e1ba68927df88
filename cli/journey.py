"""What becomes of a traced packet: where a bridge sends it, where it goes from there, and how it ends. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cli.match_text import ForeignMatch, parse_match
from cli.packet import Packet, Tunnel, tunnel_target
from cli.trace_text import Hit, Pass, notes
from cli.view import NodeView, pod_key
from openflow.flow import Flow
from openflow.match import Match
from openflow.net import IPAddress
from openflow.render import Columns, Names, named, table_title
from openflow.tables import PIPELINE, Table
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT

_NUMBERED = re.compile(r"output port is (\d+)")
_OUTPUT = re.compile(r"output:(\d+)")
_NEIGHBOUR_MISS = "neighbor cache miss"

FlowIndex = Mapping[tuple[int, int, Match], Flow]
"""Flows by what makes them one: table, priority and match."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a packet left a bridge: by `port`, or (None) not at all, after `last`.

    `waits`: it would leave by a tunnel, whose other end's MAC is being asked for at this moment.
    """

    port: int | None
    last: Hit | None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """The way through one node's bridge. `flows` are those it had, `names` what their numbers stand for."""

    view: NodeView
    packet: Packet
    passes: tuple[Pass, ...]
    flows: FlowIndex
    names: Names

    @property
    def final(self) -> Mapping[str, str]:
        """The packet's fields as it left."""
        return self.passes[-1].final

    @property
    def outcome(self) -> Outcome:
        return outcome(self.passes, self.view.bridge.name)

    def words(self, hit: Hit) -> Columns:
        """The flow of a step by its names; in Open vSwitch's words where it has gone since."""
        if hit.match is None:
            return Columns(table_title(hit.table), "", "no flow matched", "drop", "")
        flow = find_flow(self.flows, hit)
        if flow is not None:
            return named(flow, self.names)
        did = ", ".join(step.action for step in hit.steps)
        owner = self.names.owner(hit.cookie)
        return Columns(table_title(hit.table), str(hit.priority), hit.match or "any", did, owner)


@dataclass(frozen=True, slots=True)
class Goal:
    """Who should get the packet: a pod, or ("") whoever is behind an address outside."""

    address: IPAddress
    pod: str = ""

    def __str__(self) -> str:
        return self.pod or str(self.address)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a trace in one sentence."""

    delivered: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Onward:
    """The packet goes on at another node."""

    view: NodeView
    packet: Packet


def index(flows: Iterable[Flow]) -> FlowIndex:
    """A bridge's flows, to be found by a trace's steps."""
    return {(flow.table, flow.priority, flow.match): flow for flow in flows}


def find_flow(flows: FlowIndex, hit: Hit) -> Flow | None:
    """The flow that a step met; None when it is not there any more, or is none that Weft can read."""
    if hit.match is None:
        return None
    try:
        return flows.get((hit.table, hit.priority, parse_match(hit.match)))
    except ForeignMatch:
        return None


def outcome(passes: Iterable[Pass], bridge: str) -> Outcome:
    """How the packet left `bridge`, from its passes."""
    held = tuple(passes)
    hits = [hit for each in held for hit in each.hits if hit.bridge == bridge]
    last = hits[-1] if hits else None
    left = [port for hit in hits if (port := _port_of(hit)) is not None]
    if not left or held[-1].actions == "drop":
        return Outcome(None, last)
    waits = any(note.startswith(_NEIGHBOUR_MISS) for note in notes(hits))
    return Outcome(left[-1], last, waits)


def _port_of(hit: Hit) -> int | None:
    for step in hit.steps:
        told = _OUTPUT.fullmatch(step.action) or next(filter(None, map(_NUMBERED.fullmatch, step.notes)), None)
        if told and not step.warnings:
            return int(told[1])
    return None


def follow(leg: Leg, views: Iterable[NodeView], goal: Goal) -> Verdict | Onward:
    """What comes after a leg: the end, or the next node."""
    end = leg.outcome
    if end.port is None:
        return Verdict(False, _why_dropped(leg, end.last))
    name = leg.names.port(end.port)
    if name == TUNNEL_PORT:
        return _through_tunnel(leg, end, {view.tunnel_ip: view for view in views})
    if name == GATEWAY_PORT:
        return _to_host(leg, goal)
    port = leg.view.bridge.ports.get(name)
    who = pod_key(port) if port else f"port {name}"
    reached = f"delivered to {who} on {leg.view.node} by port {name}"
    return Verdict(who == goal.pod, reached if who == goal.pod else f"{reached}, not to {goal}")


def _through_tunnel(leg: Leg, end: Outcome, nodes: Mapping[str, NodeView]) -> Verdict | Onward:
    here, there = leg.view, tunnel_target(leg.final)
    if there is None:
        return Verdict(False, f"dropped on {here.node}: no flow said which node the tunnel should lead to")
    if end.waits:
        return Verdict(False, f"dropped on {here.node}: nobody at {there} answers, where the tunnel leads to")
    view = nodes.get(str(there))
    if view is None:
        beyond = "a node that this command cannot look into"
        return Verdict(True, f"sent by {here.node} through the tunnel to {there}, {beyond}")
    source = type(there)(here.tunnel_ip)
    packet = leg.packet.changed(leg.final)
    return Onward(view, _entering(packet, view, Tunnel(source, there)))


def _entering(packet: Packet, view: NodeView, tunnel: Tunnel) -> Packet:
    return replace(packet, in_port=view.number_of(TUNNEL_PORT), tunnel=tunnel)


def _to_host(leg: Leg, goal: Goal) -> Verdict:
    handed = f"handed to the host of {leg.view.node} by port {GATEWAY_PORT}"
    if goal.pod:
        return Verdict(False, f"{handed}, not to {goal}")
    return Verdict(True, f"{handed}, on the way to {goal}")


def _why_dropped(leg: Leg, last: Hit | None) -> str:
    node = leg.view.node
    if last is None:
        return f"dropped on {node}: its switch says nothing about the packet"
    words = leg.words(last)
    where = f"dropped in {words.table} on {node}"
    if last.match is None:
        return f"{where} because no flow matched{_purpose(last.table)}"
    if last.steps and last.steps[-1].action == "dec_ttl":
        return f"{where} because its TTL has run out"
    warnings = [warning for step in last.steps for warning in step.warnings]
    if warnings:
        return f"{where}: {'; '.join(warnings)}"
    return f"{where} by a flow of {words.owner}: {words.match}"


def _purpose(table: int) -> str:
    return f" ({PIPELINE[table].job})" if table < len(Table) else ""
