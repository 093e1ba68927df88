"""A machine for one test alone: what is in it at the end and was not at the beginning, the test has left behind.

A world has its own process ids, mounts, network and /run, so a snapshot of it is exact, whatever else this machine
does, and needs no knowledge of what a lab is made of: a process without a marker and a namespace under a foreign name
show like any other. With its first process all of it ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
WAIT = 60.0
_CLONE_FS = 0x200
_KINDS = ("pid", "net", "mnt")
# What others have mounted below /run would change meanwhile.
# /run/netns is made as iproute2 makes it: it stays on every machine that has ever had a named network namespace.
_BEGIN = """
set -e
mount -t proc proc /proc
awk '$5 ~ "^/run(/|$)" { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n1 umount -lq || true
mount -t tmpfs tmpfs /run
mkdir /run/tmp
ip link set lo up
ip netns add first && ip netns del first
echo ready
exec sleep infinity
"""
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that could be left behind, as it is shown to people; processes as (pid, command line)."""

    processes: tuple[tuple[int, str], ...]
    files: tuple[str, ...]
    mounts: tuple[str, ...]
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """`first` is the pid of its first process, as this machine sees it."""

    first: int

    def path(self, path: Path) -> Path:
        """A path of the world, as this machine reaches it."""
        return Path(f"/proc/{self.first}/root") / path.relative_to("/")

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A program in the world, with a process group of its own as in a terminal; its output is one text."""

        def popen() -> subprocess.Popen[str]:
            return subprocess.Popen(
                argv, cwd=ROOT, env={**os.environ, "TMPDIR": "/run/tmp", **(env or {})}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

        return self._inside(popen)

    def python(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return self.start([sys.executable, *arguments], env)

    def snapshot(self) -> Snapshot:
        return Snapshot(tuple(self._processes()), self._files(), self._mounts(), self._links())

    def _inside(self, work: Callable[[], T]) -> T:
        """What `work` returns in a thread whose children are born in the world."""

        def enter() -> T:
            spaces = [os.open(f"/proc/{self.first}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _KINDS]
            try:
                _check(_libc.unshare(_CLONE_FS))  # a thread that shares its directory cannot change its mounts
                for space in spaces:
                    _check(_libc.setns(space, 0))
            finally:
                for space in spaces:
                    os.close(space)
            return work()

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(enter).result()

    def _processes(self) -> Iterator[tuple[int, str]]:
        mine = os.readlink(f"/proc/{self.first}/ns/pid")
        for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            try:
                if pid != self.first and os.readlink(f"/proc/{pid}/ns/pid") == mine and not _is_dead(pid):
                    yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:  # it has just ended, or is none of the test's: those can be read
                continue

    def _files(self) -> tuple[str, ...]:
        run = self.path(Path("/run"))
        return tuple(sorted(str(path.relative_to(run)) for path in run.rglob("*")))

    def _mounts(self) -> tuple[str, ...]:
        """Place and file system of each (proc(5), mountinfo)."""
        lines = (line.split() for line in Path(f"/proc/{self.first}/mountinfo").read_text().splitlines())
        return tuple(sorted(f"{words[4]} {words[words.index('-') + 1]}" for words in lines))

    def _links(self) -> tuple[str, ...]:
        shown = self.start(["ip", "-j", "link"])
        out, _ = shown.communicate(timeout=WAIT)
        return tuple(sorted(link["ifname"] for link in json.loads(out)))


@contextmanager
def world() -> Iterator[World]:
    """A fresh world; every process and mount in it ends with the block."""
    argv = ["unshare", "--fork", "--kill-child", "--pid", "--net", "--mount", "sh", "-c", _BEGIN]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            (first,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            yield World(int(first))
        finally:
            holder.kill()


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    """Return when `holds()`; fails the test when the process ends before, or it takes too long."""
    deadline = time.monotonic() + WAIT
    while not holds():
        if process.poll() is not None:
            out, _ = process.communicate()
            raise AssertionError(f"it ended before: {what}\n{out}")
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def _is_dead(pid: int) -> bool:
    """Whether it has ended, and only waits for its parent to ask how (proc(5), state Z or X)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
