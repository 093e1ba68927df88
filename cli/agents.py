"""Asks agents what they have measured and which requests failed, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from cli import http
from cli.errors import CliError
from cli.measured import Told, read_metrics
from cli.view import AgentPlace, Silent
from node_agent import failures

_AT_A_TIME = 8


def ask(places: Iterable[tuple[str, AgentPlace]]) -> tuple[list[Told], list[Silent]]:
    """What the agents say, and those that do not answer; each place with the node that it is thought to be of, ""
    where only the agent knows."""
    held = list(places)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = list(pool.map(_ask, held))
    told = [each for each in answers if isinstance(each, Told)]
    return told, [each for each in answers if isinstance(each, Silent)]


def _ask(place: tuple[str, AgentPlace]) -> Told | Silent:
    node, agent = place
    try:
        return _told(node, agent)
    except CliError as e:
        return Silent(node or f"the agent at {agent.address}", str(e))
    except ValueError as e:
        return Silent(
            node or f"the agent at {agent.address}", f"what answers at {agent.address} is no weft-agent: {e}"
        )


def _told(node: str, agent: AgentPlace) -> Told:
    """Raises CliError, and ValueError for what is no agent's answer."""
    metrics, last = http.expect(agent, "/metrics", failures.PATH)
    report = msgspec.json.decode(last, type=failures.Report)
    if node not in ("", report.node):
        raise CliError(f"the agent at {agent.address} is of node {report.node}")
    return Told(report.node, report.since, read_metrics(metrics.decode()), report.failures)
