"""What the commands that look into a network do: look at the nodes, then write rows."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli import agents, check_text, cni, console, explain, flows, inforce, nodes, pods, policies, reach, story
from cli.bundle.gather import Asked, default_path, gather
from cli.checks.all import is_well, judge
from cli.dumps import Dumps, dumps
from cli.errors import CliError
from cli.explain import Explanation
from cli.flows import Seen, Wanted
from cli.inforce import PolicyState
from cli.layout import Column, Heading, Line, Row, heading, table
from cli.looking import look
from cli.pods import Selection
from cli.survey import Survey, check_pod, directory_of, survey
from cli.target import find_agents, find_api, find_fabric
from cli.tracer import Question, trace
from cli.view import NodeView, Silent
from cli.where import Where
from ovsdb import appctl

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
    read = _seen(views)
    chosen = [(view, tuple(flows.select(dump, view, wanted))) for view, dump in read.answers]
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
    _complain((*(found.silent if not choice.pod else ()), *read.silent))


def show_nodes(where: Where, node: str) -> None:
    """Write the nodes, and what is wrong with their bridges as warnings."""
    found = survey(where, node)
    read = _seen(found.views)
    running = {view.node: nodes.running(appctl.version(view.place.rundir), dump) for view, dump in read.answers}
    rows = [*nodes.rows(found.views, found.directory, running), *nodes.silent_rows(found.silent, found.directory)]
    _write(nodes.columns(), rows)
    for view in found.views:
        for problem in nodes.problems(view):
            console.warn(problem)
    _complain((*found.silent, *read.silent))


def show_pods(where: Where, selection: Selection) -> None:
    """Write the pods that were asked for."""
    found = survey(where, selection.node)
    read = _seen(found.views)
    seen = {view.node: dump for view, dump in read.answers}
    attached = [each for view in found.views for each in pods.attached(view, seen.get(view.node, ()))]
    missing = pods.without_port(found.views, found.directory)
    rows = tuple(pods.rows(attached, missing, selection, datetime.now()))
    if rows:
        _write(pods.columns(), rows)
    else:
        console.say(f"no pods{selection} on {found.fabric.title}")
    _complain((*found.silent, *read.silent))


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


def show_reach(where: Where, question: reach.Question, output: str) -> None:
    """Write whom policies let whom reach. Only Kubernetes is asked, so switches may be down."""
    directory = directory_of(find_api(where))
    for problem in directory.problems:
        console.warn(problem)
    answer = reach.ask(directory, question)
    if output == "json":
        print(json.dumps(reach.as_json(answer), indent=2))
    else:
        console.write(reach.lines(answer, console.width()))


def show_policies(where: Where, choice: policies.Choice, output: str) -> bool:
    """Write the policies that were asked for; whether nothing of them is missing. If something is, it is looked at
    twice: policies or flows may just have changed."""
    found, states, silent = _policies(where, choice)
    if not _in_force(states):
        time.sleep(_SETTLES_SECONDS)
        found, states, silent = _policies(where, choice)
    now, names = datetime.now(UTC), {view.node: found.names(view) for view in found.views}
    if output == "json":
        print(json.dumps(policies.as_json(states, names), indent=2))
    elif choice.name:
        for each in states:
            console.write(policies.lines(each, names, now, console.width()))
    elif states:
        _write(policies.columns(), policies.rows(states, now))
    else:
        console.say(f"no policies{f' in namespace {choice.namespace}' if choice.namespace else ''}")
    _complain(silent)
    return _in_force(states)


def show_cni(where: Where, choice: cni.Choice, output: str) -> None:
    """Write what the agents have measured of CNI requests, and which failed."""
    told, silent = agents.ask(find_agents(where, choice.nodes, choice.agents))
    if told and output == "json":
        print(json.dumps(cni.as_json(told, silent, choice), indent=2))
    elif told:
        console.write(cni.lines(told, choice, console.width()))
    _complain(silent)


def show_check(where: Where, node: str, peers: int, output: str, *, every: bool) -> bool:
    """Write what is wrong with the network, or with one node and the cluster; whether nothing is. If something is, it
    is looked at twice: it may just have changed."""
    fabric = find_fabric(where)
    fabric.only(node)
    world = look(fabric, peers)
    if not is_well(judge(world)):
        time.sleep(_SETTLES_SECONDS)
        world = look(fabric, peers)
    findings = [each for each in judge(world) if not node or each.node in ("", node)]
    if output == "json":
        print(json.dumps(check_text.as_json(findings), indent=2))
    else:
        console.write(check_text.lines(findings, 1 if node else len(world.nodes), console.width(), every=every))
    return is_well(findings)


def collect_bundle(where: Where, file: Path | None, node: str, log_bytes: int) -> None:
    """Write a support bundle, its name on standard output, and what is missing in it as warnings."""
    now = datetime.now(UTC)
    path = file or default_path(now)
    fabric = find_fabric(where)
    console.say(f"looking at {fabric.title}; this takes a few seconds")
    for name, why in gather(fabric, Asked(node, log_bytes, path, now)).items():
        console.warn(f"{name.strip('/')} is missing: {why}")
    print(path)


def _in_force(states: Iterable[PolicyState]) -> bool:
    return all(each.in_force is not False for each in states)


def _policies(where: Where, choice: policies.Choice) -> tuple[Survey, list[PolicyState], tuple[Silent, ...]]:
    found = survey(where)
    objects = found.directory.objects
    if objects is None:
        raise CliError("policies are what the Kubernetes API knows, and it cannot be asked: give --kubeconfig")
    keys = policies.chosen(objects.engine.policies, choice)
    read = dumps(found.views, inforce.by_key)
    silent = (*found.silent, *read.silent)
    return found, list(inforce.states(objects, read.answers, silent, keys)), silent


def _write(columns: Iterable[Column], rows: Iterable[Row | Heading]) -> None:
    console.write(table(tuple(columns), rows, console.width()))


def _raw(chosen: Iterable[tuple[NodeView, tuple[Seen, ...]]], *, stats: bool, several: bool) -> Iterator[Line]:
    for view, found in chosen:
        if several:
            yield heading(f"# {view.node}", "bold").pieces
        for each in found:
            yield heading(flows.raw(each, stats=stats)).pieces


def _seen(views: Iterable[NodeView]) -> Dumps[tuple[Seen, ...]]:
    return dumps(views, lambda view, records: flows.seen(view.node, records))


def _complain(silent: Iterable[Silent]) -> None:
    """What was written is not all: an error, after the rest."""
    why = "; ".join(f"{each.node} does not answer: {each.why}" for each in silent)
    if why:
        raise CliError(why)
