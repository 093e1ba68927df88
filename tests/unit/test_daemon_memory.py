"""The collector of a daemon leaves alone what was there at the start, and still finds cycles made later."""

from __future__ import annotations

import gc
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
