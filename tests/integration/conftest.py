"""Whatever ends a run of the tests, nothing that it made stays: it goes at once, or when the next run begins."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_fixture import NODE, Box, Node
from containerd_fixture import Containerd
from lab_fixture import NodeState

from lab import netns
from lab.cleanup import sweep
from lab.lab import Lab
from lab.names import LabPaths

# Not the name of a pod's namespace whose digest happens to be digits: "weft-t-x-node1--5020550535".
_LAB = re.compile(
    rf"{LabPaths('').root.name}(?P<name>t(-[a-z0-9]+)+?-(?P<owner>\d{{1,7}})(-\d+)?)(-node\d+(--[0-9a-f]+)?)?"
)


def pytest_configure() -> None:
    # As for ctrl-C, pytest then ends what it is doing and takes down every fixture. By default it would just be gone.
    # A shell starts what runs in the background with SIGINT ignored, and then so would what the tests start.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_orphans() -> None:
    """Removes the labs of a run that was killed. Their names have its pid; a lab without is replaced by its test."""
    for lab in orphans():
        sweep(lab)


def orphans() -> list[str]:
    """The labs of tests whose process is gone."""
    run = LabPaths("").root.parent
    seen = {*netns.names(), *(path.name for path in run.iterdir())}
    found = (match for name in seen if (match := _LAB.fullmatch(name)))
    return sorted({match["name"] for match in found if not Path("/proc", match["owner"]).exists()})


# For modules that have a node (`agent_fixture.Node`) or a lab of two.


@pytest.fixture
def clean(node: Node) -> Iterator[NodeState]:
    """The node before the test, which must leave it so."""
    before = node.state()
    yield before
    node.back_at(before)


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def containerd(lab: Lab) -> Containerd:
    return Containerd(lab, NODE)


@pytest.fixture
def elsewhere(lab: Lab) -> Iterator[Box]:
    """A pod of the other node, which no containerd runs."""
    with Node(lab, "node2") as other:
        box = other.box("elsewhere")
        box.add()
        yield box
