"""A node's part of a support bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from cli import flows, http, nodeside
from cli.access import ask
from cli.bundle.archive import Archive
from cli.checks.model import NodeState
from cli.errors import CliError
from cli.layout import plain, table
from cli.nodefiles import Collected, FilesWanted, daemon_files
from cli.view import AgentPlace, ControllerPlace, Place, Sources
from node_agent import failures
from openflow.render import Names
from ovsdb import appctl
from ovsdb.errors import OvsdbError

_APPCTL: tuple[tuple[str, ...], ...] = (
    ("version",), ("dpif/show",), ("dpctl/show", "-s"), ("ofproto/list",), ("dpctl/dump-flows",),
    ("dpctl/ct-stats-show",), ("tnl/ports/show",), ("tnl/neigh/show",), ("ovs/route/show",), ("upcall/show",),
    ("coverage/show",), ("memory/show",), ("vlog/list",),
)  # fmt: skip
_PAGES = ("/readyz", "/healthz", "/metrics")
_LARGEST_TEXT = 64 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """Something of a bundle: a text, a JSON value, or why there is none."""

    name: str
    content: Any
    is_missing: bool = False

    def put(self, archive: Archive, directory: str) -> None:
        name = f"{directory}/{self.name}"
        if self.is_missing:
            archive.miss(name, self.content)
        elif isinstance(self.content, str):
            archive.add(name, self.content[:_LARGEST_TEXT])
        else:
            archive.add_json(name, self.content)


def missing(name: str, why: object) -> Part:
    return Part(name, str(why), is_missing=True)


def of_state(state: NodeState, names: Names) -> Iterator[Part]:
    """What the checks have seen of a node already."""
    for part, why in state.silent.items():
        yield missing(part, why)
    if state.database:
        yield Part("ovsdb.json", state.database)
    if state.facts is not None:
        yield Part("facts.json", msgspec.to_builtins(state.facts))
    yield Part("probes.json", msgspec.to_builtins(state.probed))
    if state.flows is not None:
        yield Part("flows.txt", "".join(f"{flows.raw(each, stats=True)}\n" for each in state.flows))
        rows = flows.rows(state.flows, names, stats=True, node=False)
        lines = table(flows.columns(stats=True), rows)
        yield Part("flows-in-words.txt", "".join(f"{plain(line)}\n" for line in lines))
    if state.view is not None:
        yield Part("bridge.json", {**asdict(state.view.bridge), "controllers": dict(state.view.controllers)})


def of_place(place: Place, log_bytes: int) -> list[Part]:
    """What the node is asked for beside that."""
    return [*_of_switch(place), *of_daemon(place.agent, "agent"), *_of_machine(place, log_bytes)]


def _of_switch(place: Place) -> Iterator[Part]:
    try:
        answers = appctl.ask_all(place.rundir, _APPCTL)
    except OvsdbError as e:
        yield missing("appctl", e)
        return
    for command, answer in zip(_APPCTL, answers, strict=True):
        name = f"appctl/{command[0].replace('/', '-')}.txt"
        yield missing(name, answer) if isinstance(answer, appctl.CommandRefused) else Part(name, answer)


def of_daemon(place: AgentPlace, directory: str) -> Iterator[Part]:
    """What a daemon serves at its health-address."""
    paths = (*_PAGES, failures.PATH) if place.daemon == "weft-agent" else _PAGES
    try:
        pages = http.get(place, *paths)
    except CliError as e:
        yield missing(directory, e)
        return
    for path, page in zip(paths, pages, strict=True):
        name = f"{directory}/{path.strip('/').replace('/', '-')}.{'json' if path == failures.PATH else 'txt'}"
        yield Part(name, page.body.decode(errors="replace"))


def _of_machine(place: Place, log_bytes: int) -> Iterator[Part]:
    try:
        found = ask(place.access, nodeside.FILES, wanted(place, log_bytes), Collected)
    except CliError as e:
        yield missing("files", e)
        return
    yield from collected(found)


def collected(found: Collected) -> Iterator[Part]:
    yield from (Part(name, text) for name, text in found.texts.items())
    yield from (missing(name, why) for name, why in found.missing.items())


def wanted(place: Place, log_bytes: int) -> FilesWanted:
    """The files of a node's daemons."""
    sources = place.sources
    return FilesWanted(
        rundir=str(sources.rundir or place.rundir), bridge=place.bridge, settings=_settings(sources),
        others=tuple(map(str, sources.others)), logs=tuple(map(str, sources.logs)), log_bytes=log_bytes,
    )  # fmt: skip


def _settings(sources: Sources) -> tuple[str, ...]:
    return (str(sources.settings),) if sources.settings else ()


def of_controller(place: ControllerPlace, log_bytes: int) -> Iterator[Part]:
    """What a controller says, and its files where they are on this machine."""
    for problem in place.problems:
        yield missing("health", problem)
    if place.health is not None:
        yield from of_daemon(place.health, "health")
    logs = tuple(map(str, place.sources.logs))
    yield from collected(daemon_files(FilesWanted("", "", _settings(place.sources), (), logs, log_bytes)))
