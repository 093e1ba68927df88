"""The collector of a daemon leaves alone what was there at the start, and still finds cycles made later; its threads
share a heap."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from daemon import memory


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class _Cycle:
    def __init__(self) -> None:
        self.me = self


def test_what_exists_is_not_looked_at_again() -> None:
    kept = [_Cycle()]
    memory.calm_collector()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == memory.THRESHOLDS
    assert not any(found is kept for found in gc.get_objects())


def test_cycles_made_later_are_still_found() -> None:
    memory.calm_collector()
    gone = weakref.ref(_Cycle())
    gc.collect()
    assert gone() is None
    assert gc.isenabled()


_HEAPS = """
import ctypes, threading
from daemon import memory
{before}
together = threading.Barrier(4)
def work():
    kept = bytearray(5000)  # Python has its own heap for less than 512 bytes
    together.wait(10)
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join(10)
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(before: str) -> int:
    """How many heaps glibc has made by the time that four threads have worked at once (malloc_info(3))."""
    argv = [sys.executable, "-c", _HEAPS.format(before=before)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.count("<heap nr=")


def test_threads_share_one_heap() -> None:
    assert heaps("") > 1
    assert heaps("memory.share_heap()") == 1
