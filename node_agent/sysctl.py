"""Kernel settings under /proc/sys, in the network namespace of the calling thread."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/proc/sys")


class SysctlError(OSError):
    """A setting could not be read or written; the message names the key, the value and a likely cause."""


def read(key: str) -> str | None:
    """The value of ``key`` (`net/ipv4/ip_forward`: slashes, since interface names may hold dots), or None."""
    try:
        return (_ROOT / key).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise SysctlError(e.errno, f"cannot read sysctl {key}: {e.strerror}") from e


def children(key: str) -> tuple[str, ...]:
    """The names below a directory of settings (the interfaces, for `net/ipv6/conf`); none if it is missing."""
    try:
        return tuple(sorted(entry.name for entry in (_ROOT / key).iterdir()))
    except FileNotFoundError:
        return ()


def write(key: str, value: str) -> bool:
    """Set ``key`` to ``value`` unless it is so already; whether it had to be written."""
    if read(key) == value:
        return False
    put(key, value)
    return True


def put(key: str, value: str) -> None:
    """Set ``key`` to ``value`` without a look at it first: every look takes the kernel 0.1 ms."""
    try:
        (_ROOT / key).write_text(value)
    except OSError as e:
        raise SysctlError(e.errno, f"cannot set sysctl {key} to {value}: {_cause(key, e)}") from e


def _cause(key: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and key.startswith("net/ipv6/"):
        return "no such key; the kernel has IPv6 disabled, or the interface is gone"
    return error.strerror or str(error)
