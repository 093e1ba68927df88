"""The tests themselves leave nothing behind, whatever ends them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_world_fixture import WAIT, World, wait_for, world

INTERRUPTED = 2
"""pytest's exit status after ctrl-C."""


@pytest.fixture
def alone() -> Iterator[World]:
    with world() as made:
        yield made


def start(alone: World, test: str, scratch: Path) -> subprocess.Popen[str]:
    """`make test` as far as it matters: pytest keeps temporary directories, so these are put elsewhere."""
    argv = ("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={scratch / 'pytest'}")
    return alone.python(*argv, f"tests/integration/{test}", TMPDIR=str(scratch))


def a_lab_is_up(alone: World) -> bool:
    return any(alone.path(Path("/run")).glob("weft-t-*/api/ready.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_tests_take_down_what_they_made(alone: World, number: int, tmp_path: Path) -> None:
    before = alone.snapshot()
    tests = start(alone, "test_lab_nodes.py", tmp_path)
    wait_for(lambda: a_lab_is_up(alone), tests, "a lab of the tests")
    os.killpg(tests.pid, number)
    out, _ = tests.communicate(timeout=WAIT)
    assert tests.returncode == INTERRUPTED, out
    assert alone.snapshot() == before


def test_the_lab_of_killed_tests_goes_when_tests_are_run_again(alone: World, tmp_path: Path) -> None:
    before = alone.snapshot()
    tests = start(alone, "test_lab_nodes.py", tmp_path)
    wait_for(lambda: a_lab_is_up(alone), tests, "a lab of the tests")
    os.killpg(tests.pid, signal.SIGKILL)
    tests.communicate(timeout=WAIT)
    assert alone.snapshot() != before
    others = start(alone, "test_lab_netns.py", tmp_path)
    out, _ = others.communicate(timeout=WAIT)
    assert others.returncode == 0, out
    assert alone.snapshot() == before
