"""Network namespaces: opening one from a path, and running code inside it.

A namespace belongs to a thread. The agent therefore enters a pod's namespace in a thread made for it (65 µs)
and never in a thread of its own: a thread that could not find its way home would silently wire the next pod
into the wrong namespace. Python 3.11 has no ``os.setns``; the call goes to libc directly.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)
CLONE_NEWNET = 0x40000000
_NAMESPACE_TYPES = {
    0x00020000: "mount",
    0x02000000: "cgroup",
    0x04000000: "UTS",
    0x08000000: "IPC",
    0x10000000: "user",
    0x20000000: "PID",
    0x00000080: "time",
}
_FILE_TYPES = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_LIBC = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class NotANamespace(ValueError):  # noqa: N818 - named as what went wrong
    """The path does not lead to a network namespace; the message says what it leads to."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(f"{path} is not a network namespace: it is {found}")
        self.path = path
        self.found = found


@dataclass(frozen=True, slots=True)
class NetNs:
    """An open network namespace. Holding it keeps the namespace alive; close it when done.

    ``path`` is what the caller gave, verbatim (CNI_NETNS); ``fd`` what netlink and setns(2) take.
    """

    path: str
    fd: int

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the namespace at ``path`` (`/run/netns/NAME`, `/proc/PID/ns/net`).

        Raises NotANamespace if there is something else there, and if there is nothing.
        """
        try:
            # O_NONBLOCK: the path comes from outside, and opening a FIFO would wait for ever.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except (OSError, ValueError) as e:
            raise NotANamespace(path, _describe_unopened(path, e)) from e
        found = _describe(fd)
        if found is not None:
            os.close(fd)
            raise NotANamespace(path, found)
        return cls(path, fd)

    @classmethod
    def current(cls) -> Self:
        """Open the namespace that the calling thread is in."""
        return cls.open("/proc/thread-self/ns/net")

    def same_as(self, other: NetNs) -> bool:
        """Whether both are one namespace, by whatever paths (CNI error 8: the pod's is the node's own)."""
        return os.path.samestat(os.fstat(self.fd), os.fstat(other.fd))

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def run_in(netns: NetNs, fn: Callable[[], T]) -> T:
    """Run ``fn`` in a fresh thread inside ``netns`` and return its result, or raise what it raised.

    Sockets that ``fn`` opens, child processes that it starts and /proc/sys/net as it sees it belong to the
    namespace. /proc/net does not: it follows the process. Raises OSError when the namespace cannot be entered.
    """
    work = _Work(netns, fn)
    thread = threading.Thread(target=work.run, name="in-netns")
    thread.start()
    thread.join()
    return work.result()


class _Work(Generic[T]):
    """What a thread was asked to do and how it ended; lives as long as one run_in call."""

    def __init__(self, netns: NetNs, fn: Callable[[], T]) -> None:
        self._netns = netns
        self._fn = fn
        self._returned: list[T] = []
        self._raised: BaseException | None = None

    def run(self) -> None:
        try:
            _enter(self._netns)
            self._returned.append(self._fn())
        except BaseException as e:  # handed to the thread that asked
            self._raised = e

    def result(self) -> T:
        if self._raised is not None:
            raise self._raised
        return self._returned[0]


def _enter(netns: NetNs) -> None:
    if _LIBC.setns(netns.fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot enter the network namespace: {os.strerror(code)}", netns.path)


def _describe(fd: int) -> str | None:
    """What the open file is, or None if it is a network namespace."""
    try:
        kind = fcntl.ioctl(fd, NS_GET_NSTYPE)
    except OSError:
        return _file_type(os.fstat(fd))
    if kind == CLONE_NEWNET:
        return None
    return f"a {_NAMESPACE_TYPES.get(kind, 'different')} namespace"


def _describe_unopened(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        return "missing (the container is gone, or the path is wrong)"
    try:
        return _file_type(os.stat(path))  # a socket cannot be opened, and yet is something
    except (OSError, ValueError):
        return f"unreadable ({error})"


def _file_type(status: os.stat_result) -> str:
    return _FILE_TYPES.get(stat.S_IFMT(status.st_mode), "a file of unknown type")
