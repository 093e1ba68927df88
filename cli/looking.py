"""Looks at every node as closely as can be, for checks: the edge behind `checks`. A node that does not answer is
named, and stops nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cli import database, flows, http, nodeside
from cli.access import ask, side_by_side
from cli.checks import plan
from cli.checks.model import Controller, NodeState, World
from cli.errors import CliError
from cli.facts import NodeFacts, Probe, Probed, Wanted
from cli.survey import directory_of
from cli.switch import records
from cli.target import Fabric
from cli.view import ControllerPlace, Place, read_node
from node_agent.underlay import TRANSPORT_BRIDGE
from openflow.errors import DecodeError
from ovsdb import appctl, dump
from ovsdb.errors import OvsdbError
from ovsdb.rows import Tables


@dataclass(frozen=True, slots=True)
class _Looked:
    """A place and what was seen there so far."""

    place: Place
    state: NodeState


def look(fabric: Fabric, peers: int = plan.PEERS) -> World:
    """Everything about these nodes. Each tries `peers` others."""
    directory = directory_of(fabric)
    seen = [*_nodes(fabric)]
    controllers = None if fabric.controllers is None else tuple(map(_controller, fabric.controllers))
    world = World(fabric.title, _states(fabric, seen), directory, fabric.api, controllers)
    tried = side_by_side(partial(_probe, world, peers), {each.state.node: each for each in seen})
    return replace(world, nodes=tuple(_with_probes(each, tried) for each in world.nodes))


def _states(fabric: Fabric, seen: Iterable[_Looked]) -> tuple[NodeState, ...]:
    dumb = (NodeState(each.node, silent=dict.fromkeys(("switch", "agent", "facts", "probes"), each.why))
            for each in fabric.silent)  # fmt: skip
    return tuple(sorted([*(each.state for each in seen), *dumb], key=lambda state: state.node))


def _nodes(fabric: Fabric) -> Iterable[_Looked]:
    read = database.read(place.ovsdb for place in fabric.places)
    places = {str(at): place for at, place in enumerate(fabric.places)}
    states = side_by_side(lambda place: _node(place, read[place.ovsdb]), places)
    for at, place in places.items():
        state = states[at]
        yield _Looked(
            place, NodeState(place.node or "this node", silent={"switch": state}) if isinstance(state, str) else state
        )


def _node(place: Place, rows: Tables | str) -> NodeState:
    state = _switch(place, rows, NodeState(place.node or "this node"))
    silent = dict(state.silent)
    unready = facts = None
    try:
        unready = http.readiness(place.agent)
    except CliError as e:
        silent["agent"] = str(e)
    try:
        facts = ask(place.access, nodeside.FACTS, _wanted(state), NodeFacts)
    except CliError as e:
        silent["facts"] = str(e)
    return replace(state, unready=unready, facts=facts, silent=silent)


def _switch(place: Place, rows: Tables | str, state: NodeState) -> NodeState:
    """What the node's Open vSwitch says."""
    if isinstance(rows, str):
        return replace(state, silent={"switch": rows})
    try:
        view = read_node(place, rows)
        state = replace(state, node=view.node, view=view, database=_dump(place))
        seen = flows.seen(view.node, records(place.management))
        version = appctl.ask(place.rundir, "version").split()
    except (appctl.NoAnswer, appctl.CommandRefused) as e:
        return replace(state, flows=seen, silent={"vswitchd": str(e)})
    except (CliError, OvsdbError, DecodeError) as e:
        return replace(state, silent={"switch": str(e)})
    return replace(state, flows=seen, vswitchd=version[-1] if version else "")


def _dump(place: Place) -> dump.Dump:
    """The whole database, where it is behind a unix socket; else nothing."""
    kind, _, path = place.ovsdb.partition(":")
    return dump.read(Path(path)) if kind == "unix" else {}


def _wanted(state: NodeState) -> Wanted:
    tunnel_ip = state.view.tunnel_ip if state.view else ""
    return Wanted(tunnel_ip, state.transport(TRANSPORT_BRIDGE), state.files)


def _controller(place: ControllerPlace) -> Controller:
    problems = place.problems
    if place.health is not None:
        try:
            problems = (*problems, *(f"not ready: {reason}" for reason in http.readiness(place.health)))
        except CliError as e:
            problems = (*problems, str(e))
    return Controller(place.name, place.node, problems)


def _probe(world: World, peers: int, looked: _Looked) -> tuple[Probed, ...]:
    probes: tuple[Probe, ...] = plan.probes_of(world, looked.state, peers)
    return ask(looked.place.access, nodeside.PROBES, probes, tuple[Probed, ...]) if probes else ()


def _with_probes(state: NodeState, tried: Mapping[str, tuple[Probed, ...] | str]) -> NodeState:
    found = tried.get(state.node, ())
    if isinstance(found, str):
        return replace(state, silent={**state.silent, "probes": found})
    return replace(state, probed=found)
