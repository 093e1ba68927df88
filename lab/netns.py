"""Named network namespaces, made and entered without forking `ip`.

The names are those of iproute2 (bind mounts in /run/netns), so that `ip netns exec` works on a lab. Sockets
made and processes started inside a namespace belong to it for good: that is how one daemon serves the ports
of every pod.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from node_agent.netns import CLONE_NEWNET, NetNs
from node_agent.netns import run_in as run_in_open

NETNS_DIR = Path("/run/netns")

_MS_BIND, _MS_REC, _MS_SHARED, _MNT_DETACH = 4096, 16384, 1 << 20, 2
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class NetnsError(OSError):
    """A network namespace could not be made or removed."""


def path_of(name: str) -> Path:
    return NETNS_DIR / name


def names() -> list[str]:
    return sorted(entry.name for entry in NETNS_DIR.iterdir()) if NETNS_DIR.is_dir() else []


def create(name: str) -> Path:
    """Make the namespace `name` with its loopback up; raises NetnsError if the name is taken."""
    path = path_of(name)
    with _locked_directory():
        try:
            path.touch(mode=0o444, exist_ok=False)
        except FileExistsError as e:
            raise NetnsError(f"network namespace {name}: exists already ({path})") from e
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(_unshare_onto, path).result()
    except BaseException:
        remove(name)
        raise
    return path


def remove(name: str) -> None:
    """Remove the name `name`; the namespace ends with its last process. Removing nothing succeeds."""
    path = path_of(name)
    # iproute2 may have bound /run/netns onto itself after we mounted: then there is one mount below another.
    while _libc.umount2(os.fsencode(path), _MNT_DETACH) == 0:
        pass
    path.unlink(missing_ok=True)


def run_in(path: Path, work: Callable[[], T]) -> T:
    """Run `work` in the namespace at `path` and return what it returns, or raise what it raises.

    Raises node_agent.netns.NotANamespace when there is no namespace at `path`.
    """
    with NetNs.open(str(path)) as namespace:
        return run_in_open(namespace, work)


def _unshare_onto(path: Path) -> None:
    _check(_libc.unshare(CLONE_NEWNET), "cannot make a network namespace")
    _mount(b"/proc/thread-self/ns/net", path, _MS_BIND)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


@contextmanager
def _locked_directory() -> Iterator[None]:
    """Hold iproute2's lock on /run/netns, and make the directory a shared mount as it does.

    Without that, the first `ip netns add` of somebody else binds the directory onto itself above our
    mounts, and our names can no longer be removed.
    """
    NETNS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = os.open(NETNS_DIR, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _libc.mount(b"", os.fsencode(NETNS_DIR), b"none", _MS_SHARED | _MS_REC, None) != 0:
            _mount(os.fsencode(NETNS_DIR), NETNS_DIR, _MS_BIND | _MS_REC)
            _mount(b"", NETNS_DIR, _MS_SHARED | _MS_REC)
        yield
    finally:
        os.close(fd)


def _mount(source: bytes, target: Path, flags: int) -> None:
    _check(_libc.mount(source, os.fsencode(target), b"none", flags, None), f"cannot mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise NetnsError(number, f"{what}: {os.strerror(number)}")
