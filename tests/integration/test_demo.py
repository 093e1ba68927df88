"""`make demo` as a user runs it: it works, and leaves nothing behind however it ends.

Each test has a machine of its own, whose processes, files, mounts and links are compared before and after; what the
lab's own sweep knows of is not asked.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_world_fixture import WAIT, World, wait_for, world

from cli.demo import NAME
from lab import netns
from lab.names import LabPaths

PODS, FAMILIES = 6, 2
INTERRUPTED = 130
LONGEST = 2.5  # seconds into a run at which it is still killed; it takes about as long
Stage = Callable[[World], bool]


@pytest.fixture
def alone() -> Iterator[World]:
    with world() as made:
        yield made


def start(alone: World) -> subprocess.Popen[str]:
    return alone.python("-m", "cli.demo", NO_COLOR="1")


def end(demo: subprocess.Popen[str]) -> str:
    out, _ = demo.communicate(timeout=WAIT)
    return out


def assert_it_works(alone: World) -> str:
    demo = start(alone)
    out = end(demo)
    assert demo.returncode == 0, out
    return out


def signal_group(demo: subprocess.Popen[str], number: int) -> None:
    """To everybody in the foreground, as a terminal does for ctrl-C."""
    os.killpg(demo.pid, number)


def test_the_demo_shows_everything_and_leaves_nothing(alone: World) -> None:
    before = alone.snapshot()
    out = assert_it_works(alone)
    for each in ("node1", "node2", "shop", "bank", "10.244.1.", "10.244.2.", " ms", "60 of 60 paths work"):
        assert each in out
    assert "SpoofGuard" in out
    assert "pod/shop/web-1" in out
    assert alone.snapshot() == before


def test_its_table_has_a_mark_for_ping_and_one_for_http_everywhere(alone: World) -> None:
    out = assert_it_works(alone)
    assert out.count("✓✓") == PODS * (PODS - 1) * FAMILIES
    assert "✗" not in out


def made(*parts: str) -> Stage:
    """Begins when the lab has made this file."""
    path = LabPaths(NAME).root.joinpath(*parts)
    return lambda alone: alone.path(path).exists()


def attached(alone: World) -> bool:
    """Begins with the first pod's network."""
    return any("--" in path.name for path in alone.path(netns.NETNS_DIR).iterdir())


def ending(alone: World) -> bool:
    """Begins when a process is gone that runs from beginning to end: the one that plays Kubernetes."""
    try:
        pid = json.loads(alone.path(LabPaths(NAME).processes / "daemon.json").read_text())["pid"]
    except FileNotFoundError:
        return False
    try:
        return not alone.path(Path(f"/proc/{pid}/cmdline")).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


STAGES: dict[str, Stage] = {
    "its first moments": made(),
    "the switches starting": made("nodes", "node2"),
    "the agents starting": made("openflow.sock"),
    "the nodes getting ready": made("nodes", "node1", "cni.sock"),
    "the pods being attached": attached,
    "the teardown": ending,
}
INTERRUPTIONS = [
    *((stage, signal.SIGINT, times) for stage in STAGES for times in (1, 3)),
    *(
        (stage, number, 1)
        for stage in ("the agents starting", "the teardown")
        for number in (signal.SIGTERM, signal.SIGHUP)
    ),
]


@pytest.mark.parametrize(("stage", "number", "times"), INTERRUPTIONS)
def test_an_interrupted_demo_leaves_nothing(alone: World, stage: str, number: int, times: int) -> None:
    before = alone.snapshot()
    demo = start(alone)
    wait_for(lambda: STAGES[stage](alone), demo, stage)
    for _ in range(times):
        signal_group(demo, number)
        time.sleep(0.005)
    out = end(demo)
    assert demo.returncode == INTERRUPTED, out
    assert "everything was removed" in out
    assert alone.snapshot() == before


def kill_at(stage: str, alone: World) -> None:
    """Run the demo as far as this stage. What the one before has left is not taken for this one's."""
    before = birth(alone)
    demo = start(alone)
    wait_for(lambda: birth(alone) not in (0, before) and STAGES[stage](alone), demo, stage)
    signal_group(demo, signal.SIGKILL)
    end(demo)


def birth(alone: World) -> int:
    """The number of the lab's directory, which each run makes anew; 0 while there is none."""
    try:
        return alone.path(LabPaths(NAME).root).stat().st_ino
    except FileNotFoundError:
        return 0


def test_what_killed_demos_left_at_every_stage_is_cleared_by_the_next(alone: World) -> None:
    before = alone.snapshot()
    for stage in STAGES:
        kill_at(stage, alone)
        assert alone.snapshot() != before
    assert_it_works(alone)
    assert alone.snapshot() == before


def test_what_demos_killed_at_any_moment_left_is_cleared_by_the_next(alone: World) -> None:
    before = alone.snapshot()
    moments = [random.uniform(0, LONGEST) for _ in range(4)]
    print("killed after", moments)  # shown when the test fails
    for moment in moments:
        demo = start(alone)
        time.sleep(moment)
        signal_group(demo, signal.SIGKILL)
        end(demo)
    assert_it_works(alone)
    assert alone.snapshot() == before
