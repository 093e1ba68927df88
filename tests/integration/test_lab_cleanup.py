"""Nothing of a lab stays behind, however it ends, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import cleanup, names, netns, process
from lab.cleanup import Swept
from lab.lab import Lab, LabConfig, LabError
from lab.names import MARKER, LabPaths

NAME = f"t-sweep-{os.getpid()}"  # Two runs of the tests may overlap.
WAIT = 30.0
_ROOT = Path(__file__).parents[2]
_UP = "import sys; from lab.lab import Lab, LabConfig; Lab.up(LabConfig(name=sys.argv[1], nodes=8, weft=False))"

_DOWN = "import sys; from lab.lab import Lab; Lab.open(sys.argv[1]).down()"


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    cleanup.sweep(NAME)
    yield
    cleanup.sweep(NAME)


def _assert_nothing_left() -> None:
    assert cleanup.marked_processes(NAME) == []
    assert cleanup.namespaces(NAME) == []
    assert not LabPaths(NAME).root.exists()


def _starting_lab(stack: ExitStack) -> subprocess.Popen[bytes]:
    """A process that brings a lab up, caught half-way: some switches run and others do not exist yet."""
    starter = subprocess.Popen([sys.executable, "-c", _UP, NAME], cwd=_ROOT, stderr=subprocess.DEVNULL)
    stack.callback(starter.wait)
    stack.callback(starter.kill)
    _wait_for((LabPaths(NAME).processes / "node2_ovsdb.json").exists, "the lab does not start")
    return starter


def _wait_for(holds: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.002)


def _interrupt(process: subprocess.Popen[bytes], times: int) -> None:
    """Press ctrl-C, impatiently."""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.005)


def test_what_a_killed_lab_up_left_is_swept() -> None:
    with ExitStack() as stack:
        _starting_lab(stack).kill()
    assert cleanup.marked_processes(NAME) != []
    assert cleanup.namespaces(NAME) != []
    swept = cleanup.sweep(NAME)
    assert swept.processes > 0
    assert swept.namespaces == 1 + 8
    assert swept.files
    _assert_nothing_left()


def test_ctrl_c_during_lab_up_leaves_nothing() -> None:
    with ExitStack() as stack:
        starter = _starting_lab(stack)
        starter.send_signal(signal.SIGINT)
        assert starter.wait(WAIT) != 0
    _assert_nothing_left()


@pytest.mark.parametrize("times", [1, 4])
def test_ctrl_c_during_the_teardown_leaves_nothing(times: int) -> None:
    Lab.up(LabConfig(name=NAME, nodes=4, weft=False))
    everything = len(cleanup.marked_processes(NAME))
    with subprocess.Popen([sys.executable, "-c", _DOWN, NAME], cwd=_ROOT, stderr=subprocess.DEVNULL) as ender:
        _wait_for(lambda: len(cleanup.marked_processes(NAME)) < everything, "the teardown does not begin")
        _interrupt(ender, times)
    assert ender.returncode == -signal.SIGINT  # delivered afterwards
    _assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_during_the_teardown_wait_for_its_end(number: signal.Signals) -> None:
    Lab.up(LabConfig(name=NAME, nodes=4, weft=False))
    everything = len(cleanup.marked_processes(NAME))
    with subprocess.Popen([sys.executable, "-c", _DOWN, NAME], cwd=_ROOT) as ender:
        _wait_for(lambda: len(cleanup.marked_processes(NAME)) < everything, "the teardown does not begin")
        ender.send_signal(number)
    assert ender.returncode == -number
    _assert_nothing_left()


def test_ctrl_c_while_an_interrupted_lab_up_clears_up_leaves_nothing() -> None:
    with ExitStack() as stack:
        starter = _starting_lab(stack)
        begun = len(cleanup.namespaces(NAME))
        starter.send_signal(signal.SIGINT)
        _wait_for(lambda: len(cleanup.namespaces(NAME)) < begun, "the teardown does not begin")
        _interrupt(starter, 4)
        assert starter.wait(WAIT) == -signal.SIGINT
    _assert_nothing_left()


def test_a_lab_up_after_a_killed_one_starts_afresh() -> None:
    with ExitStack() as stack:
        _starting_lab(stack).kill()
    with Lab.up(LabConfig(name=NAME, nodes=1, weft=False)) as lab:
        assert len(lab.nodes()) == 1
        assert len(cleanup.namespaces(NAME)) == 2
    _assert_nothing_left()


def test_a_lab_whose_daemon_died_says_so_and_can_be_replaced() -> None:
    lab = Lab.up(LabConfig(name=NAME, nodes=1, weft=False))
    lab.kill("daemon")
    with pytest.raises(LabError, match="weftctl lab down"):
        Lab.open(NAME)
    with Lab.up(LabConfig(name=NAME, nodes=1, weft=False)):
        assert Lab.open(NAME).config.nodes == 1
    _assert_nothing_left()


def test_a_lab_that_is_not_there_is_not_found() -> None:
    with pytest.raises(LabError, match=NAME):
        Lab.open(NAME)


def test_sweeping_nothing_succeeds_twice() -> None:
    assert cleanup.sweep(NAME) == Swept(0, 0, files=False)
    assert cleanup.sweep(NAME) == Swept(0, 0, files=False)


def test_processes_namespaces_and_files_of_others_are_left_alone() -> None:
    other = f"{NAME}-2"
    with ExitStack() as stack:
        stack.callback(cleanup.sweep, other)
        marked = _sleep(stack, {MARKER: other})
        plain = _sleep(stack, {})
        netns.create(names.underlay_namespace(other))
        LabPaths(other).root.mkdir()
        mine = _sleep(stack, {MARKER: NAME})
        assert cleanup.sweep(NAME).processes == 1
        assert mine.wait(WAIT) is not None
        assert (marked.poll(), plain.poll()) == (None, None)
        assert cleanup.namespaces(other) == [names.underlay_namespace(other)]
        assert LabPaths(other).root.exists()


def test_a_sweep_from_inside_the_lab_spares_its_own_ancestors() -> None:
    script = f"from lab import cleanup; print(cleanup.sweep({NAME!r}).processes)"
    # The shell carries the marker as one inside a pod would, and must live to print the answer.
    command = f'"{sys.executable}" -c "{script}"; echo survived'
    with ExitStack() as stack:
        _sleep(stack, {MARKER: NAME})
        ran = subprocess.run(
            ["sh", "-c", command],
            env={**os.environ, MARKER: NAME},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=True,
        )
    assert ran.stdout.split() == ["1", "survived"]


def test_a_name_that_iproute2_mounted_over_is_removed_too() -> None:
    path = netns.create(names.underlay_namespace(NAME))
    # What `ip netns` does on a machine where it has never run: it binds the directory over itself.
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True, timeout=WAIT)
    cleanup.sweep(NAME)
    assert not path.exists()


def test_a_second_daemon_refuses_to_start_over_running_pods() -> None:
    with Lab.up(LabConfig(name=NAME, nodes=1, weft=False)) as lab:
        lab.kill("daemon")
        netns.create(names.pod_namespace(NAME, "node1", "default/web"))
        argv = [sys.executable, "-m", "lab.daemon", "--name", NAME]
        ran = subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, timeout=WAIT, check=False)
    assert ran.returncode == 1
    assert "weftctl lab down" in ran.stderr


def test_a_daemon_without_a_lab_refuses_to_start() -> None:
    argv = [sys.executable, "-m", "lab.daemon", "--name", NAME]
    ran = subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, timeout=WAIT, check=False)
    assert ran.returncode == 1
    assert "weftctl lab up" in ran.stderr


def _sleep(stack: ExitStack, env: dict[str, str]) -> subprocess.Popen[bytes]:
    sleeper = subprocess.Popen(["sleep", "600"], env={**os.environ, **env})
    stack.callback(sleeper.wait)
    stack.callback(sleeper.kill)
    assert process.start_time(sleeper.pid) is not None
    return sleeper
