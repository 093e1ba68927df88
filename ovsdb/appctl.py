"""Asks ovs-vswitchd through its control socket, as ovs-appctl does, without a fork.

The protocol is JSON-RPC, requests and replies in the same order (ovs-appctl(8), lib/unixctl.c). The `ovs` package has
a client for it which waits for ever; a switch that hangs is just when people ask, so this one has a time limit.
"""

import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ovsdb.errors import OvsdbError

TIMEOUT_SECONDS = 10.0
_CHUNK = 1 << 16
_AT_ONCE = 100


class NoAnswer(OvsdbError):  # noqa: N818  (reads as what happened)
    """ovs-vswitchd does not run, or does not answer; the message names the socket and the reason."""


class Hangs(NoAnswer):
    """ovs-vswitchd runs, and has not answered in time."""


class CommandRefused(OvsdbError):  # noqa: N818
    """ovs-vswitchd does not take a command; the message is its own."""


def ask(rundir: Path, command: str, *arguments: str, timeout: float = TIMEOUT_SECONDS) -> str:
    """What ovs-vswitchd of this run directory answers.

    NoAnswer: it does not (Hangs, if it runs); CommandRefused: it does not want to.
    """
    (answer,) = ask_all(rundir, [(command, *arguments)], timeout)
    if isinstance(answer, CommandRefused):
        raise answer
    return answer


def ask_all(
    rundir: Path, commands: Sequence[tuple[str, ...]], timeout: float = TIMEOUT_SECONDS
) -> list[str | CommandRefused]:
    """What ovs-vswitchd answers to each of these commands with their arguments, over one connection; ten thousand
    take it a second. `timeout` is in seconds, for each answer. NoAnswer: as with `ask`."""
    path = socket_of(rundir)
    answers: list[str | CommandRefused] = []
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(str(path))
            # It reads no further while its answers are not read, so they must never fill the socket.
            for start in range(0, len(commands), _AT_ONCE):
                asked = commands[start : start + _AT_ONCE]
                sock.sendall(b"".join(_request(command) for command in asked))
                answers += (_answer(reply) for reply in _replies(sock, len(asked)))
    except PermissionError as e:
        raise NoAnswer(f"{path}: permission denied; this needs root") from e
    except TimeoutError as e:
        raise Hangs(f"{path}: ovs-vswitchd does not answer: not in time") from e
    except OSError as e:
        raise NoAnswer(f"{path}: ovs-vswitchd does not answer: {e.strerror}") from e
    except ValueError as e:
        raise NoAnswer(f"{path}: ovs-vswitchd does not answer: {e}") from e
    return answers


def rundir_of(remote: str) -> Path:
    """The run directory of the Open vSwitch whose database is at this local remote."""
    return Path(remote.removeprefix("unix:")).parent


def version(rundir: Path) -> str:
    """Version of ovs-vswitchd; "" when it cannot be asked.

    Open_vSwitch.ovs_version is written by start-up scripts, which private and containerised switches do not run.
    """
    try:
        # "ovs-vswitchd (Open vSwitch) 3.1.0"
        words = ask(rundir, "version", timeout=2.0).split()
    except OvsdbError:
        return ""
    return words[-1] if words else ""


def socket_of(rundir: Path) -> Path:
    """The control socket of the ovs-vswitchd that runs now: its name has the process id."""
    pidfile = rundir / "ovs-vswitchd.pid"
    try:
        return rundir / f"ovs-vswitchd.{int(pidfile.read_text())}.ctl"
    except FileNotFoundError as e:
        raise NoAnswer(f"{pidfile}: no such file; is ovs-vswitchd running?") from e
    except (OSError, ValueError) as e:
        raise NoAnswer(f"{pidfile}: {e}") from e


def _request(command: tuple[str, ...]) -> bytes:
    method, *arguments = command
    return json.dumps({"id": 0, "method": method, "params": arguments}).encode()


def _answer(reply: dict[str, Any]) -> str | CommandRefused:
    if reply.get("error") is not None:
        return CommandRefused(f"ovs-vswitchd: {str(reply['error']).strip()}")
    return str(reply.get("result") or "")


def _replies(sock: socket.socket, count: int) -> list[dict[str, Any]]:
    """The JSON objects that the daemon sends; it keeps the connection open, so their end is found by parsing."""
    held = b""
    while chunk := sock.recv(_CHUNK):
        held += chunk
        if held.rstrip().endswith(b"}"):
            try:
                replies = list(_objects(held.decode()))
            except ValueError:  # more is to come
                continue
            if len(replies) == count:
                return replies
    raise ValueError("the connection was closed in the middle of an answer")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        reply, end = decoder.raw_decode(rest)
        rest = rest[end:].lstrip()
        yield reply
