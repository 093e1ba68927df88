"""Puts a support bundle together. What does not answer is named in the index, and stops nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cli import check_text
from cli.access import side_by_side
from cli.bundle import archive
from cli.bundle.archive import Archive
from cli.bundle.cluster import of_cluster
from cli.bundle.nodes import Part, missing, of_controller, of_place, of_state
from cli.checks.all import judge
from cli.checks.model import NodeState, World
from cli.errors import CliError
from cli.looking import look
from cli.survey import endpoint_of
from cli.target import Fabric
from cli.view import names_of
from openflow.render import Names

README = """\
What `weftctl support-bundle` has collected of a Weft network, to find out what is wrong with it.

index.json      what is in here, and under "missing" what is not and why: nodes that did not answer, above all
check.json      what `weftctl check` finds
cluster/        Kubernetes objects that Weft reads, as far as it reads them, and the logs of Weft's pods
controllers/    what each controller says, its settings and log
nodes/NODE/     flows (as Open vSwitch writes them, and in words), groups, ports, the switch's whole database,
                answers of ovs-appctl, links, addresses, routes, neighbours, nftables rules, kernel settings,
                versions, and of the agent settings, metrics, readiness, failed CNI requests and logs

No Secrets, private keys, tokens, kubeconfigs or environments are collected, and what looks like one in a text has
become REDACTED. Names and labels of pods, addresses and policies are in here: look through it before you give it
away.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: only one node ("": all), and how many bytes of each log."""

    node: str
    log_bytes: int
    path: Path
    now: datetime


def default_path(now: datetime) -> Path:
    """In the directory that one is in."""
    return Path(f"weft-support-{now.astimezone(UTC):%Y%m%d-%H%M%S}.tar.gz")


def gather(fabric: Fabric, asked: Asked) -> Mapping[str, str]:
    """Write the archive; what is missing in it, with the reasons. Raises CliError."""
    with archive.writing(asked.path, asked.now) as made:
        chosen = fabric.only(asked.node)
        world = look(chosen)
        made.add("README.txt", README)
        made.add_json("check.json", check_text.as_json(judge(world)))
        _add_nodes(made, chosen, world, asked.log_bytes)
        for place in chosen.controllers or ():
            _put(made, f"controllers/{place.name}", of_controller(place, asked.log_bytes))
        _put(made, "cluster", _cluster(chosen, asked.log_bytes))
        made.add_index(_about(chosen, world, asked.now))
        return dict(made.missing)


def _add_nodes(made: Archive, fabric: Fabric, world: World, log_bytes: int) -> None:
    places = {state.node: place for place in fabric.places for state in world.nodes if _is_at(state, place.node)}
    more = side_by_side(partial(of_place, log_bytes=log_bytes), places)
    for state in world.nodes:
        _put(made, f"nodes/{state.node}", of_state(state, _names(world, state)))
        parts = more.get(state.node, [])
        _put(made, f"nodes/{state.node}", [missing("", parts)] if isinstance(parts, str) else parts)


def _is_at(state: NodeState, name: str) -> bool:
    """Whether the place of that name is this node's; a single place may have none."""
    return not name or state.node == name


def _names(world: World, state: NodeState) -> Names:
    if state.view is None:
        return Names()
    known = {*world.directory.nodes, *(each.node for each in world.nodes)}
    return names_of(state.view, world.directory.pods, known, world.directory.policy)


def _put(made: Archive, directory: str, parts: Iterable[Part]) -> None:
    for part in parts:
        part.put(made, directory)


def _cluster(fabric: Fabric, log_bytes: int) -> list[Part]:
    try:
        endpoint = endpoint_of(fabric)
    except CliError as e:
        return [missing("", e)]
    if endpoint is None:
        return [missing("", "no Kubernetes API was named: give --kubeconfig or --context")]
    return of_cluster(endpoint, fabric.namespace, log_bytes)


def _about(fabric: Fabric, world: World, now: datetime) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "created": now.astimezone(UTC).isoformat(timespec="seconds"),
        "weftctl": version("weft"),
        "of": fabric.title,
        "nodes": {each.node: {"answers": each.view is not None, "silent": dict(each.silent)} for each in world.nodes},
    }
