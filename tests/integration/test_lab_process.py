"""Processes of a lab: started where they should be, found again, ended for sure, and never mistaken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_fixture import until

from lab import cleanup, names, netns, process
from lab.names import MARKER, LabPaths
from lab.process import ProcessError, Processes, ProcessSpec

NAME = f"t-process-{os.getpid()}"  # Two runs of the tests may overlap.
WAIT = 30.0
PATHS = LabPaths(NAME)


@pytest.fixture
def processes() -> Iterator[Processes]:
    cleanup.sweep(NAME)
    yield Processes(PATHS)
    cleanup.sweep(NAME)


def _spec(*argv: str, namespace: Path | None = None) -> ProcessSpec:
    log = str(PATHS.log / "p.log")
    return ProcessSpec(name="node1/p", argv=argv, log=log, namespace=str(namespace) if namespace else None)


def test_a_process_runs_in_its_namespace_and_carries_the_marker(processes: Processes) -> None:
    namespace = netns.create(names.underlay_namespace(NAME))
    pid = processes.start(_spec("sleep", "600", namespace=namespace))
    assert os.stat(f"/proc/{pid}/ns/net").st_ino == namespace.stat().st_ino
    # Between the end of exec(2) for its parent and its first instruction a process has no environment to show.
    environment = until(lambda: Path(f"/proc/{pid}/environ").read_bytes().strip(b"\0"), "its environment")
    assert f"{MARKER}={NAME}".encode() in environment.split(b"\0")
    assert cleanup.marked_processes(NAME) == [pid]


def test_it_is_ended_and_started_again_the_same_way(processes: Processes) -> None:
    first = processes.start(_spec("sleep", "600"))
    processes.stop("node1/p")
    assert not processes.running("node1/p")
    second = processes.start_again("node1/p")
    assert processes.pid("node1/p") == second != first
    assert Path(f"/proc/{second}/cmdline").read_bytes() == b"sleep\x00600\x00"


def test_another_process_can_end_it(processes: Processes) -> None:
    pid = processes.start(_spec("sleep", "600"))
    script = f"from lab.process import *; Processes(LabPaths({NAME!r})).stop('node1/p')"
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=True, timeout=WAIT)
    assert not processes.running("node1/p")
    process.reap(pid, processes.records()[0].started)
    assert not Path(f"/proc/{pid}").exists()


def test_one_that_ignores_sigterm_is_killed(processes: Processes) -> None:
    log = PATHS.log / "p.log"
    processes.start(_spec("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"))
    deadline = time.monotonic() + WAIT
    while log.read_text() != "deaf\n":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    processes.stop("node1/p", patience=0.2)
    assert not processes.running("node1/p")


def test_a_second_one_under_the_same_name_is_refused(processes: Processes) -> None:
    pid = processes.start(_spec("sleep", "600"))
    with pytest.raises(ProcessError, match="node1/p"):
        processes.start(_spec("sleep", "600"))
    assert processes.pid("node1/p") == pid


def test_stopping_one_that_ended_by_itself_is_fine(processes: Processes) -> None:
    processes.start(_spec("true"))
    processes.stop("node1/p")
    processes.stop("node1/p")


def test_one_that_never_was_is_an_error_that_names_it(processes: Processes) -> None:
    for call in (processes.stop, processes.start_again, processes.pid):
        with pytest.raises(ProcessError, match="'nobody'"):
            call("nobody")
    assert not processes.running("nobody")


def test_those_that_ended_unasked_have_died(processes: Processes) -> None:
    pid = processes.start(_spec("sleep", "600"))
    assert processes.died() == []
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert processes.died() == ["node1/p"]
    processes.start_again("node1/p")
    processes.stop("node1/p")
    assert processes.died() == []


def test_a_pid_that_another_process_has_now_is_not_signalled(processes: Processes) -> None:
    pid = processes.start(_spec("sleep", "600"))
    started = process.start_time(pid)
    assert started is not None
    assert process.end(pid, started - 1, signal.SIGKILL)
    assert process.start_time(pid) == started


def test_the_dead_are_not_running_and_have_no_relatives() -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        assert process.parent(sleeper.pid) == os.getpid()
        assert process.resident_kib(sleeper.pid) > 0
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
        assert process.start_time(sleeper.pid) is None
    assert process.parent(sleeper.pid) == 0
    assert process.resident_kib(sleeper.pid) == 0


def test_a_program_that_is_missing_is_an_error_at_once(processes: Processes) -> None:
    with pytest.raises(FileNotFoundError):
        processes.start(_spec("/no/such/program"))
    assert not processes.running("node1/p")
