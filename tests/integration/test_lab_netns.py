"""Network namespaces by name, compatible with iproute2's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from lab import cleanup, netns
from lab.netns import NetnsError
from node_agent.netns import NotANamespace

LAB = f"t-netns-{os.getpid()}"  # Two runs of the tests may overlap.
NAME = f"weft-{LAB}"


@pytest.fixture(autouse=True)
def _removed() -> Iterator[None]:
    cleanup.sweep(LAB)
    yield
    cleanup.sweep(LAB)


def _ip(*argv: str) -> str:
    return subprocess.run(["ip", *argv], check=True, capture_output=True, text=True, timeout=30).stdout


def test_iproute2_sees_and_enters_what_we_made() -> None:
    netns.create(NAME)
    assert NAME in _ip("netns", "list")
    assert "LOOPBACK,UP" in _ip("netns", "exec", NAME, "ip", "-o", "link")


def test_iproute2_removes_what_we_made_and_we_what_it_made() -> None:
    netns.create(NAME)
    _ip("netns", "delete", NAME)
    assert NAME not in netns.names()
    _ip("netns", "add", NAME)
    netns.remove(NAME)
    assert NAME not in netns.names()


def test_a_name_that_is_taken_is_refused_and_kept() -> None:
    path = netns.create(NAME)
    before = path.stat().st_ino
    with pytest.raises(NetnsError, match=NAME):
        netns.create(NAME)
    assert path.stat().st_ino == before


def test_removing_nothing_succeeds() -> None:
    netns.remove(NAME)
    netns.remove(NAME)


def test_code_runs_inside_and_its_caller_stays_outside() -> None:
    path = netns.create(NAME)
    own = netns.run_in(path, lambda: netns.Path("/proc/thread-self/ns/net").stat().st_ino)
    assert own == path.stat().st_ino
    assert netns.Path("/proc/thread-self/ns/net").stat().st_ino != own


def test_what_goes_wrong_inside_comes_out() -> None:
    path = netns.create(NAME)
    with pytest.raises(ZeroDivisionError):
        netns.run_in(path, lambda: 1 // 0)


def test_a_namespace_that_is_gone_is_named() -> None:
    with pytest.raises(NotANamespace, match=NAME):
        netns.run_in(netns.path_of(NAME), lambda: None)
