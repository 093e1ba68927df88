"""What the commands that look into a network do: look at the nodes, then write rows."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from cli import console, explain, flows, nodes, pods, story
from cli.errors import CliError
from cli.explain import Explanation
from cli.flows import Seen, Wanted
from cli.layout import Column, Heading, Line, Row, heading, table
from cli.pods import Selection
from cli.survey import check_pod, survey
from cli.switch import records
from cli.tracer import Question, trace
from cli.view import NodeView, Silent
from cli.where import Where
from ovsdb import appctl

_AT_A_TIME = 8
_SETTLES_SECONDS = 1.0
"""How long after a change of policies the switches may still be behind."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which flows to show, and how; "" leaves a choice open."""

    node: str = ""
    pod: str = ""
    table: str = ""
    stats: bool = False
    raw: bool = False


def show_flows(where: Where, choice: Choice) -> None:
    """Write the flows that were asked for; CliError for a pod, table or node that is not there."""
    pod = check_pod(choice.pod) if choice.pod else ""
    wanted = Wanted(flows.table_number(choice.table) if choice.table else None, pod)
    found = survey(where, choice.node)
    views = (found.node_of(choice.pod),) if choice.pod else found.views
    dumps = _dumps(views)
    chosen = [(view, tuple(flows.select(dump, view, wanted))) for view, dump in dumps.answers]
    several = len(views) > 1
    if choice.raw:
        console.write(_raw(chosen, stats=choice.stats, several=several))
    else:
        rows = (
            row
            for view, each in chosen
            for row in flows.rows(each, found.names(view), stats=choice.stats, node=several)
        )
        _write(flows.columns(stats=choice.stats), rows)
    _complain((*(found.silent if not choice.pod else ()), *dumps.silent))


def show_nodes(where: Where, node: str) -> None:
    """Write the nodes, and what is wrong with their bridges as warnings."""
    found = survey(where, node)
    dumps = _dumps(found.views)
    running = {view.node: nodes.running(appctl.version(view.place.rundir), dump) for view, dump in dumps.answers}
    rows = [*nodes.rows(found.views, found.directory, running), *nodes.silent_rows(found.silent, found.directory)]
    _write(nodes.columns(), rows)
    for view in found.views:
        for problem in nodes.problems(view):
            console.warn(problem)
    _complain((*found.silent, *dumps.silent))


def show_pods(where: Where, selection: Selection) -> None:
    """Write the pods that were asked for."""
    found = survey(where, selection.node)
    dumps = _dumps(found.views)
    attached = [each for view in found.views for each in pods.attached(view, dumps.of(view))]
    missing = pods.without_port(found.views, found.directory)
    rows = tuple(pods.rows(attached, missing, selection, datetime.now()))
    if rows:
        _write(pods.columns(), rows)
    else:
        console.say(f"no pods{selection} on {found.fabric.title}")
    _complain((*found.silent, *dumps.silent))


def show_trace(where: Where, question: Question) -> bool:
    """Write a packet's way; whether it was delivered."""
    answer = trace(survey(where), question)
    console.write([heading(answer.title, "bold").pieces, ()])
    _write(story.columns(), story.rows(answer.legs))
    console.write([story.conclusion(answer.verdict)])
    return answer.verdict.delivered


def show_explain(where: Where, question: explain.Question) -> Explanation:
    """Write what the policies say of a connection; what was found. A difference is looked at twice: policies or flows
    may just have changed."""
    found = explain.explain(survey(where), question)
    if not found.agrees:
        time.sleep(_SETTLES_SECONDS)
        found = explain.explain(survey(where), question)
    console.write(explain.lines(found))
    if not found.agrees:
        wanted = "let through" if found.verdict.allowed else "drop"
        console.warn(f"the policies say {wanted}, the switches do not; `weftctl trace` shows what they do")
    return found


def _write(columns: Iterable[Column], rows: Iterable[Row | Heading]) -> None:
    console.write(table(tuple(columns), rows, console.width()))


def _raw(chosen: Iterable[tuple[NodeView, tuple[Seen, ...]]], *, stats: bool, several: bool) -> Iterator[Line]:
    for view, found in chosen:
        if several:
            yield heading(f"# {view.node}", "bold").pieces
        for each in found:
            yield heading(flows.raw(each, stats=stats)).pieces


@dataclass(frozen=True, slots=True)
class _Dumps:
    """The flows of the nodes whose switches answered, and the nodes whose switches did not."""

    answers: tuple[tuple[NodeView, tuple[Seen, ...]], ...]
    silent: tuple[Silent, ...]

    def of(self, view: NodeView) -> tuple[Seen, ...]:
        return next((dump for each, dump in self.answers if each is view), ())


def _dumps(views: Iterable[NodeView]) -> _Dumps:
    """Read the flows of several nodes, side by side."""

    def dump(view: NodeView) -> tuple[Seen, ...] | Silent:
        try:
            return flows.seen(view.node, records(view.place.management))
        except CliError as e:
            return Silent(view.node, str(e))

    held = tuple(views)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = list(zip(held, pool.map(dump, held), strict=True))
    return _Dumps(
        tuple((view, answer) for view, answer in answers if not isinstance(answer, Silent)),
        tuple(answer for _, answer in answers if isinstance(answer, Silent)),
    )


def _complain(silent: Iterable[Silent]) -> None:
    """What was written is not all: an error, after the rest."""
    why = "; ".join(f"{each.node} does not answer: {each.why}" for each in silent)
    if why:
        raise CliError(why)
