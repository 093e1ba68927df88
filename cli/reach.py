"""Whom policies let whom reach, as a table or as JSON. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, product
from string import ascii_lowercase
from typing import Any

from cli.allow import port_words
from cli.directory import Directory
from cli.errors import CliError
from cli.layout import Column, Line, Piece, Row, plain, table
from controller.policy.engine import Engine
from controller.policy.members import Identity, addresses
from controller.policy.reach import Pair, Party, Reach, reach
from controller.policy.traffic import EVERYTHING, NOTHING, TrafficSet
from controller.policy.verdict import Traffic

ALL, NONE = "*", "-"
_STYLES = {ALL: "green", "yes": "green", NONE: "red", "no": "red"}
_LEGEND = f"{ALL} everything, {NONE} nothing"
_ALWAYS = "pods that no rule tells apart are one row and one column; a node always reaches its own pods"


@dataclass(frozen=True, slots=True)
class Question:
    """What to show: only pairs with an end in a namespace ("" for all), only this traffic (None for all), over which
    family: 4, 6, or 0 for IPv4 if pods have it."""

    namespace: str = ""
    traffic: Traffic | None = None
    family: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The matrix, and whether the other address family may have another."""

    question: Question
    found: Reach
    other: int = 0

    @property
    def pairs(self) -> Mapping[Pair, TrafficSet]:
        """What was asked for."""
        space = self.question.namespace
        return {
            pair: allowed
            for pair, allowed in self.found.allowed.items()
            if not space or space in (pair[0].namespace, pair[1].namespace)
        }

    def cell(self, allowed: TrafficSet | None) -> str:
        """What is allowed, in words; "" where there is nothing to allow."""
        if allowed is None:
            return ""
        if self.question.traffic is not None:
            return "yes" if self.question.traffic in allowed else "no"
        if allowed.ports is None:
            return ALL
        return ", ".join(map(port_words, allowed.ports)) or NONE


def ask(directory: Directory, question: Question) -> Answer:
    """Work out who reaches whom. Raises CliError where that cannot be known, or there is nothing to ask about."""
    if directory.objects is None:
        raise CliError("policies are what the Kubernetes API knows, and it cannot be asked: give --kubeconfig")
    engine = directory.objects.engine
    known = {each.traits.namespace for each in engine.identities.values()}
    if question.namespace and question.namespace not in known:
        raise CliError(f"there are no pods in namespace {question.namespace!r}; there are in {_list(known)}")
    versions = _versions(engine)
    version = question.family or min(versions, default=4)
    if versions and version not in versions:
        raise CliError(f"no pod has an IPv{version} address: leave --family out")
    ranges = [cidr for node in directory.nodes.values() for cidr in node.pod_cidrs]
    differs = bool(engine.networks) and len(versions) > 1 and not question.family
    return Answer(question, reach(engine, version, ranges), max(versions) if differs else 0)


def _versions(engine: Engine) -> set[int]:
    pods = (pod for identity in engine.identities.values() for pod in identity.pods.values())
    return {ip.version for pod in pods for ip in addresses(pod)}


def _list(namespaces: Iterable[str]) -> str:
    return ", ".join(sorted(namespaces)) or "none"


# For people.


def lines(answer: Answer, width: int | None) -> Iterator[Line]:
    """The matrix; around a namespace two, so that neither is wider than the namespace."""
    space, traffic = answer.question.namespace, answer.question.traffic
    what = "" if traffic is None else f", {traffic.protocol} port {traffic.port}"
    yield (Piece(f"whom policies let whom reach over IPv{answer.found.version}{what}", "bold"),)
    if space:
        yield from _block(answer, f"who reaches {space}", _to(answer, space), width)
        yield from _block(answer, f"whom {space} reaches", _from(answer, space), width)
    else:
        yield from _block(answer, "", _whole(answer), width)
    yield ()
    yield (Piece(_ALWAYS if traffic else f"{_LEGEND}; {_ALWAYS}", "dim"),)
    if answer.other:
        yield (Piece(f"rules name networks, so IPv{answer.other} may differ: --family ipv{answer.other}", "dim"),)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Parties down and across, by their numbers among all; `pair` makes source and target of a row and a column."""

    title: str
    across: Sequence[int]
    pair: Callable[[Party, Party], Pair]


def _whole(answer: Answer) -> _Grid:
    return _Grid("FROM \\ TO", range(len(answer.found.parties)), lambda row, column: (row, column))


def _to(answer: Answer, space: str) -> _Grid:
    return _Grid("FROM \\ TO", _within(answer, space), lambda row, column: (row, column))


def _from(answer: Answer, space: str) -> _Grid:
    return _Grid("TO \\ FROM", _within(answer, space), lambda row, column: (column, row))


def _within(answer: Answer, space: str) -> list[int]:
    return [at for at, party in enumerate(answer.found.parties) if party.namespace == space]


def _block(answer: Answer, title: str, grid: _Grid, width: int | None) -> Iterator[Line]:
    """A matrix in words, or if that is too wide in letters, which are explained below."""
    yield ()
    if title:
        yield (Piece(title, "bold"),)
    cells = {
        (row, column): answer.cell(answer.found.allowed.get(grid.pair(row, answer.found.parties[column])))
        for row, column in product(answer.found.parties, grid.across)
    }
    spelled = list(_drawn(answer, grid, cells))
    if width is None or all(len(plain(line)) <= width for line in spelled):
        yield from spelled
        return
    words = sorted({text for text in cells.values() if text and text not in _STYLES})
    letters = dict(zip(words, _letters(), strict=False))
    yield from _drawn(answer, grid, {at: letters.get(text, text) for at, text in cells.items()})
    for text, letter in letters.items():
        yield (Piece(f"{letter}: {text}", "dim"),)


def _drawn(answer: Answer, grid: _Grid, cells: Mapping[tuple[Party, int], str]) -> Iterator[Line]:
    columns = [
        Column("", right=True), Column(grid.title, "bold"), *(Column(str(at + 1), _style) for at in grid.across)
    ]  # fmt: skip
    rows = [
        Row((str(number), f"{party.name}{_pods(party)}", *(cells[party, column] for column in grid.across)))
        for number, party in enumerate(answer.found.parties, 1)
    ]
    yield from table(columns, rows)


def _pods(party: Party) -> str:
    many = len(party.pods)
    return f" ({many} pod{'' if many == 1 else 's'})" if many else ""


def _letters() -> Iterator[str]:
    """a to z, then aa to zz, and so on."""
    for size in count(1):
        yield from map("".join, product(ascii_lowercase, repeat=size))


def _style(cell: str) -> str:
    return _STYLES.get(cell, "yellow")


# For programs.


def as_json(answer: Answer) -> dict[str, Any]:
    """The shape is documented in docs/weftctl.md."""
    traffic = answer.question.traffic
    return {
        "family": f"ipv{answer.found.version}",
        "namespace": answer.question.namespace or None,
        "traffic": None if traffic is None else {"protocol": traffic.protocol, "port": traffic.port},
        "identities": [_identity(each, each.identity) for each in answer.found.parties if each.identity is not None],
        "outside": [
            {"name": each.name, "networks": _networks(each)} for each in answer.found.parties if each.identity is None
        ],
        "reach": [_pair(pair, allowed, traffic) for pair, allowed in answer.pairs.items()],
    }


def _identity(party: Party, identity: Identity) -> dict[str, Any]:
    traits = identity.traits
    ports = [{"protocol": port.protocol, "name": port.name, "port": number} for port, number in traits.ports]
    own = {"namespace": traits.namespace, "labels": dict(traits.labels), "ports": ports, "pods": [*party.pods]}
    return {"name": party.name, **own, "networks": _networks(party) if party.split else []}


def _networks(party: Party) -> list[dict[str, Any]]:
    return [{"cidr": str(span.cidr), "except": [*map(str, span.excepted)]} for span in party.spans]


def _pair(pair: Pair, allowed: TrafficSet, traffic: Traffic | None) -> dict[str, Any]:
    words = {EVERYTHING: "everything", NOTHING: "nothing"}
    ports = [{"protocol": each.protocol, "first": each.first, "last": each.last} for each in allowed.ports or ()]
    found = {"from": pair[0].name, "to": pair[1].name, "allowed": words.get(allowed, "ports"), "ports": ports}
    return found if traffic is None else found | {"reaches": traffic in allowed}
