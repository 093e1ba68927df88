"""Kernel settings under /proc/sys, in the network namespace of the calling thread.

What a thread finds below net/ are the settings of its own namespace, also through a mount of somebody else: in a
container /proc/sys cannot be written, and the host's is mounted elsewhere (`use`).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_root = Path("/proc/sys")


def use(root: Path) -> None:
    """Where /proc/sys is to be found. Once per process, before the first setting is looked at.

    OSError: it is not there.
    """
    if not (root / "net").is_dir():
        raise OSError(errno.ENOENT, f"proc-sys {root}: there is no {root}/net; mount the host's /proc/sys/net there")
    global _root
    _root = root


class SysctlError(OSError):
    """A setting could not be read or written; the message names the key, the value and a likely cause."""


def read(key: str) -> str | None:
    """The value of ``key`` (`net/ipv4/ip_forward`: slashes, since interface names may hold dots), or None."""
    try:
        return (_root / key).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise SysctlError(e.errno, f"cannot read sysctl {key}: {e.strerror}") from e


def children(key: str) -> tuple[str, ...]:
    """The names below a directory of settings (the interfaces, for `net/ipv6/conf`); none if it is missing."""
    try:
        return tuple(sorted(entry.name for entry in (_root / key).iterdir()))
    except FileNotFoundError:
        return ()


def write(key: str, value: str) -> bool:
    """Set ``key`` to ``value`` unless it is so already; whether it had to be written."""
    if read(key) == value:
        return False
    put(key, value)
    return True


def put(key: str, value: str) -> None:
    """Set ``key`` to ``value`` without a look at it first: every look takes the kernel 0.1 ms.

    In three system calls: `Path.write_text` makes eight, and after each one a thread has to wait for its turn again.
    """
    try:
        fd = os.open(_root / key, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise SysctlError(e.errno, f"cannot set sysctl {key} to {value}: {_cause(key, e)}") from e


def _cause(key: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and key.startswith("net/ipv6/"):
        return "no such key; the kernel has IPv6 disabled, or the interface is gone"
    if error.errno == errno.EROFS:
        return f"{_root} is read-only, as in every container; mount the host's elsewhere and name it in proc-sys"
    return error.strerror or str(error)
