"""Finds and removes whatever a lab left behind, however it ended.

A lab that was killed half-way cannot tell what it had made. So everything it makes can be recognised
without its help: processes by the marker in their environment, namespaces by their names, files by their
directory. `lab down` is this sweep, and `lab up` begins with it.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lab import cluster, interrupts, names, netns, process
from lab.cluster import ClusterError
from lab.config import read_state
from lab.names import MARKER, LabPaths
from lab.process import Processes

_ROUNDS = 50

log = logging.getLogger(__name__)


class SweepError(RuntimeError):
    """Something of the lab could not be removed."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How much was removed; all zero when there was nothing."""

    processes: int
    namespaces: int
    files: bool


def sweep(lab: str) -> Swept:
    """Remove every process, namespace and file of `lab`. Removing nothing succeeds.

    It is not interrupted: the signals that end a program wait until it is through. Processes without the lab's
    marker are never touched, nor are the caller and its ancestors (somebody may run `lab down` from a shell inside
    a pod). Raises SweepError naming what could not be removed.
    """
    names.check_lab_name(lab)
    with interrupts.held():
        return _swept(lab)


def _swept(lab: str) -> Swept:
    killed = _kill_all(lab)
    spaces = namespaces(lab)
    for name in spaces:
        netns.remove(name)
    # Somebody who was killed between fork and exec leaves a child that has no marker yet. By now it has.
    killed += _kill_all(lab)
    _leave_cluster(lab)
    root = LabPaths(lab).root
    had_files = root.exists()
    if had_files:
        shutil.rmtree(root)
    return Swept(killed, len(spaces), had_files)


def _leave_cluster(lab: str) -> None:
    """Take the Nodes out of a cluster that the lab has joined. A cluster that is away does not keep the lab here."""
    try:
        state = read_state(lab)
        if state is not None and state.config.kubeconfig:
            cluster.leave(state)
    except (msgspec.DecodeError, ClusterError) as e:
        log.warning("lab %s: %s", lab, e)


def namespaces(lab: str) -> list[str]:
    """The network namespaces of `lab`, sorted."""
    pattern = names.namespace_pattern(lab)
    return [name for name in netns.names() if pattern.fullmatch(name)]


def marked_processes(lab: str) -> list[int]:
    """The pids of the running processes that carry the marker of `lab`, without the caller's own line."""
    spared = set(_own_line())
    marker = f"{MARKER}={lab}".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(pid for pid in pids if pid not in spared and marker in _environment(pid))


def _kill_all(lab: str) -> int:
    """Kill until nothing is left: a process may be starting others while we look."""
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        pids = marked_processes(lab)
        if not pids:
            _reap(lab)
            return len(killed)
        _kill(pids)
        killed.update(pids)
    raise SweepError(f"lab {lab}: processes {marked_processes(lab)} cannot be killed")


def _kill(pids: list[int]) -> None:
    starts = [(pid, process.start_time(pid)) for pid in pids]
    alive = [(pid, started) for pid, started in starts if started is not None]
    # All signals first, so that they end side by side; `end` then checks and waits for one after the other.
    for pid, started in alive:
        process.send(pid, started, signal.SIGKILL)
    for pid, started in alive:
        process.end(pid, started, signal.SIGKILL)


def _reap(lab: str) -> None:
    """Collect the dead among the caller's own children; others have a parent or init to do it."""
    for record in Processes(LabPaths(lab)).records():
        process.reap(record.pid, record.started)


def _own_line() -> Iterator[int]:
    """The caller and its ancestors."""
    pid = os.getpid()
    while pid > 0:
        yield pid
        pid = process.parent(pid)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
