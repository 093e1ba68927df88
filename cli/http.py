"""Asks a daemon's health-address, wherever it is: on this machine, in another network namespace, behind a socket."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from cli.errors import CliError
from cli.view import AgentPlace
from daemon.health import parse_address
from lab.netns import run_in
from node_agent.netns import NotANamespace

TIMEOUT_SECONDS = 5.0
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """What was answered."""

    status: int
    reason: str
    body: bytes


def get(place: AgentPlace, *paths: str) -> tuple[Page, ...]:
    """The pages at these paths. CliError: the daemon does not answer, and why, in words."""
    try:
        if place.netns is None:
            return tuple(_get(place, path) for path in paths)
        return run_in(place.netns, lambda: tuple(_get(place, path) for path in paths))
    except (OSError, HTTPException, NotANamespace, ValueError) as e:
        raise CliError(_why(place, e)) from e


def expect(place: AgentPlace, *paths: str) -> tuple[bytes, ...]:
    """The pages' contents; CliError also when one is not to be had."""
    pages = get(place, *paths)
    for path, page in zip(paths, pages, strict=True):
        if page.status != 200:
            url = f"http://{place.address}{path}"
            raise CliError(f"{url}: {page.status} {page.reason}; is that a {place.daemon} of this release?")
    return tuple(page.body for page in pages)


def readiness(place: AgentPlace) -> tuple[str, ...]:
    """Why the daemon is not ready, one reason each; nothing when it is. Raises CliError."""
    (page,) = get(place, "/readyz")
    if page.status == 200:
        return ()
    return tuple(page.body.decode(errors="replace").strip().splitlines()) or (f"/readyz: {page.status}",)


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def _get(place: AgentPlace, path: str) -> Page:
    connection = _connection(place)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Page(answer.status, answer.reason, answer.read(_MOST_BYTES))
    finally:
        connection.close()


def _connection(place: AgentPlace) -> HTTPConnection:
    if place.socket is not None:
        return _UnixConnection(str(place.socket))
    host, port = parse_address(place.address)
    return HTTPConnection(host or "localhost", port, timeout=TIMEOUT_SECONDS)


def _why(place: AgentPlace, error: Exception) -> str:
    at = f"{place.address}{' in its network' if place.netns else ''}"
    match error:
        # Nobody was there to pass it on to.
        case ConnectionResetError() | BrokenPipeError() if place.socket is not None:
            return f"nothing listens at {place.address} of its node: {place.daemon} does not run"
        case ConnectionRefusedError():
            return f"nothing listens at {at}: {place.daemon} does not run, or has another health-address"
        case TimeoutError():
            return f"{place.daemon} at {at} did not answer within {TIMEOUT_SECONDS:g} s"
        case NotANamespace() | OSError():  # the node is gone; it is not reached; only root may
            return f"{place.daemon} at {at} cannot be asked: {error}"
    return f"what answers at {at} is no {place.daemon}: {error}"
