"""Asks agents what they have measured and which requests failed, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException

import msgspec

from cli.errors import CliError
from cli.measured import Told, read_metrics
from cli.view import AgentPlace, Silent
from daemon.health import parse_address
from lab.netns import run_in
from node_agent import failures
from node_agent.netns import NotANamespace

TIMEOUT_SECONDS = 5.0
_AT_A_TIME = 8
_MOST_BYTES = 16 << 20


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
    except (CliError, OSError, HTTPException, ValueError) as e:
        return Silent(node or f"the agent at {agent.address}", _why(agent, e))


def _told(node: str, agent: AgentPlace) -> Told:
    """Raises OSError, HTTPException, CliError, and ValueError for what is no agent's answer."""

    def get() -> tuple[bytes, bytes]:
        return _get(agent.address, "/metrics"), _get(agent.address, failures.PATH)

    metrics, last = get() if agent.netns is None else run_in(agent.netns, get)
    report = msgspec.json.decode(last, type=failures.Report)
    if node not in ("", report.node):
        raise CliError(f"the agent at {agent.address} is of node {report.node}")
    return Told(report.node, report.since, read_metrics(metrics.decode()), report.failures)


def _get(address: str, path: str) -> bytes:
    host, port = parse_address(address)
    connection = HTTPConnection(host or "localhost", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES)
    finally:
        connection.close()
    if answer.status != 200:
        raise CliError(
            f"http://{address}{path}: {answer.status} {answer.reason}; is that a weft-agent of this release?"
        )
    return body


def _why(agent: AgentPlace, error: Exception) -> str:
    at = f"{agent.address}{' in its network' if agent.netns else ''}"
    match error:
        case CliError():
            return str(error)
        case ConnectionRefusedError():
            return f"nothing listens at {at}: weft-agent does not run, or has another health-address"
        case TimeoutError():
            return f"weft-agent at {at} did not answer within {TIMEOUT_SECONDS:g} s"
        case NotANamespace() | OSError():  # the node is gone; it is not reached; only root may
            return f"weft-agent at {at} cannot be asked: {error}"
    return f"what answers at {at} is no weft-agent: {error}"
