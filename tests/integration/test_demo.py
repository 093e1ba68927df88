"""`make demo` as a user runs it: it works, and leaves nothing behind however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.demo import NAME
from lab.cleanup import marked_processes, namespaces, sweep
from lab.names import LabPaths

ROOT = LabPaths(NAME).root


@pytest.fixture(autouse=True)
def clean():
    sweep(NAME)
    yield
    sweep(NAME)


def start():
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "cli.demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )


def leftovers():
    return list(marked_processes(NAME)), list(namespaces(NAME)), ROOT.exists()


def interfaces():
    return sorted(os.listdir("/sys/class/net"))


def wait_until_in(stage, demo):
    """Wait until the demo has come so far, given by a path that exists from then on."""
    deadline = time.monotonic() + 20
    while not stage.exists():
        assert demo.poll() is None, demo.stdout.read()
        assert time.monotonic() < deadline, f"{stage} did not appear"
        time.sleep(0.005)


def test_the_demo_shows_everything_and_leaves_nothing():
    before = interfaces()
    demo = start()
    out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, out
    for each in ("node1", "node2", "shop", "bank", "10.244.1.", "10.244.2.", " ms", "60 of 60 paths work"):
        assert each in out
    assert "SpoofGuard" in out
    assert "pod/shop/web-1" in out
    assert leftovers() == ([], [], False)
    assert interfaces() == before


STAGES = {
    "its first moments": ROOT,
    "the switches starting": ROOT / "nodes" / "node2",
    "the agents starting": ROOT / "openflow.sock",
    "the nodes getting ready": ROOT / "nodes" / "node1" / "cni.sock",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_demo_leaves_nothing(stage, number):
    demo = start()
    wait_until_in(STAGES[stage], demo)
    demo.send_signal(number)
    out, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, out
    assert leftovers() == ([], [], False)


def test_a_killed_demo_is_cleared_by_the_next():
    demo = start()
    wait_until_in(STAGES["the nodes getting ready"], demo)
    demo.kill()
    demo.communicate(timeout=10)
    again = start()
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 0, out
    assert leftovers() == ([], [], False)
