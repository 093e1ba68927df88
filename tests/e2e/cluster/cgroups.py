"""The control groups of the nodes' pods: their end is also the end of every process in them.

On a machine with cgroup v1 each controller is a hierarchy of its own, with cgroup v2 there is one. A container that
has lost its runtime is found by its control group, and by nothing else.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from cluster.layout import LAB, NodeLayout

_ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 20.0
_UNIFIED = "cgroup.controllers"


class CgroupError(RuntimeError):
    """A control group could not be emptied or removed."""


def make(node: NodeLayout) -> None:
    """The node's control group in every hierarchy, able to hold processes."""
    for hierarchy in _hierarchies():
        group = hierarchy
        for part in node.cgroup.strip("/").split("/"):
            group = group / part
            group.mkdir(exist_ok=True)
            _inherit(group)


def remove(node: NodeLayout | None = None) -> None:
    """End all processes of one node's pods, or of the whole cluster, and remove the groups. Twice equals once."""
    relative = (node.cgroup if node else f"/weft-{LAB}").strip("/")
    deadline = time.monotonic() + _PATIENCE
    for hierarchy in _hierarchies():
        _remove(hierarchy / relative, deadline)


def _remove(group: Path, deadline: float) -> None:
    while group.exists():
        for path in sorted(group.rglob("cgroup.procs")):
            _kill(path)
        with suppress(FileNotFoundError):
            for directory, _, _ in os.walk(group, topdown=False):
                _try_rmdir(Path(directory))
        if time.monotonic() > deadline:
            raise CgroupError(f"control group {group} cannot be removed: its processes do not end")
        time.sleep(0.02)


def _kill(procs: Path) -> None:
    with suppress(FileNotFoundError, OSError):
        for pid in procs.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _try_rmdir(path: Path) -> None:
    try:
        path.rmdir()
    except FileNotFoundError:
        pass
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise


def _hierarchies() -> list[Path]:
    if (_ROOT / _UNIFIED).exists():
        return [_ROOT]
    return sorted(path for path in _ROOT.iterdir() if path.is_dir() and (path / "cgroup.procs").exists())


def _inherit(group: Path) -> None:
    """A new cpuset has no CPUs (cgroup v1), and a new group's children have no controllers (v2)."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not (group / name).read_text().strip():
            value = (group.parent / name).read_text().strip()
            if value:
                (group / name).write_text(value)
    if (group / _UNIFIED).exists() and group.parent.parent == _ROOT.parent:
        enabled = (group / _UNIFIED).read_text().split()
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in enabled))
