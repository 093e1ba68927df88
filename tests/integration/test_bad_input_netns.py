"""CNI_NETNS paths that lead to no container's network: refused by path and by what is there, and nothing is done."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_fixture import NodeState, box, in_node, node_config, node_state, run, running_lab, settled

from cni.errors import ErrorCode
from lab.lab import Lab
from lab.runtime import RuntimeFailure


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-bad-netns", nodes=1) as lab:
        settled(lab)
        yield lab


@contextmanager
def _refusal(lab: Lab, path: str) -> Iterator[RuntimeFailure]:
    """ADD with this path fails, and the node is afterwards as it was before, its own interfaces included."""
    before = _everything(lab)
    with box(lab, "node1", "nowhere") as made:
        with pytest.raises(RuntimeFailure) as refused:
            made.add(path=path)
        assert _everything(lab) == before
        yield refused.value


def _everything(lab: Lab) -> tuple[NodeState, str]:
    return node_state(lab, "node1"), in_node(lab, "node1", lambda: run("ip", "-br", "address"))


def _file(directory: Path) -> str:
    path = directory / "file"
    path.write_text("no namespace")
    return str(path)


def _fifo(directory: Path) -> str:
    """Opening it for reading would wait for a writer, for ever."""
    os.mkfifo(directory / "fifo")
    return str(directory / "fifo")


def _socket(directory: Path) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(directory / "socket"))
    return str(directory / "socket")


NOWHERE: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing": (lambda directory: str(directory / "gone"), "missing"),
    "file": (_file, "a regular file"),
    "directory": (str, "a directory"),
    "fifo": (_fifo, "a FIFO"),
    "socket": (_socket, "a socket"),
    "device": (lambda _: "/dev/zero", "a character device"),
    "a link that leads nowhere": (lambda directory: _link(directory, "gone"), "missing"),
    "another kind of namespace": (lambda _: "/proc/self/ns/mnt", "a mount namespace"),
    "a process that is gone": (lambda _: "/proc/4194305/ns/net", "missing"),
}


def _link(directory: Path, target: str) -> str:
    (directory / "link").symlink_to(directory / target)
    return str(directory / "link")


@pytest.mark.parametrize(("make", "found"), NOWHERE.values(), ids=NOWHERE)
def test_what_is_no_network_namespace_is_refused(
    lab: Lab, tmp_path: Path, make: Callable[[Path], str], found: str
) -> None:
    path = make(tmp_path)
    with _refusal(lab, path) as refused:
        assert refused.code == ErrorCode.INVALID_ENVIRONMENT
        assert "CNI_NETNS" in refused.msg
        assert path in refused.msg
        assert found in refused.msg


@pytest.mark.parametrize("path", ["name", "link", "process"])
def test_the_nodes_own_namespace_is_refused_by_whatever_path(lab: Lab, tmp_path: Path, path: str) -> None:
    own = node_config(lab, "node1").namespace
    (tmp_path / "link").symlink_to(own)
    paths = {"name": own, "link": tmp_path / "link", "process": f"/proc/{lab.processes.pid('node1/agent')}/ns/net"}
    with _refusal(lab, str(paths[path])) as refused:
        assert refused.code == ErrorCode.INVALID_NETNS
        assert str(paths[path]) in refused.msg
        assert "own namespace" in refused.msg


@pytest.mark.parametrize("path", ["", "relative/netns"])
def test_a_path_that_is_none_is_refused(lab: Lab, path: str) -> None:
    with _refusal(lab, path) as refused:
        assert refused.code == ErrorCode.INVALID_ENVIRONMENT
        assert "CNI_NETNS" in refused.msg
