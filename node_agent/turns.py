"""Turns: requests for one attachment are carried out one at a time, in the order in which they came.

A runtime that gives up kills its caller and asks for something else, perhaps while the agent has not begun with the
first. Begun late, an ADD would outlive the DEL that came for it, and a DEL would take what a later ADD has made: so
whoever has waited is carried out only if its caller is still there.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Key = TypeVar("Key")

Gone = Callable[[], bool]
"""Whether the caller of a request has left."""


def stays() -> bool:
    """A caller that cannot leave."""
    return False


class CallerGone(Exception):  # noqa: N818 - named as what went wrong
    """The caller of a request left before it was begun. Nothing was done."""


class Turns(Generic[Key]):
    """Requests by what they are about. Any thread may call."""

    def __init__(self) -> None:
        self._lines: dict[Key, deque[object]] = {}
        self._moved = threading.Condition()

    @contextmanager
    def take(self, key: Key, gone: Gone = stays) -> Iterator[None]:
        """The turn of a request; those about another key do not wait for it. Raises CallerGone."""
        mine = object()
        with self._moved:
            line = self._lines.setdefault(key, deque())
            line.append(mine)
            self._moved.wait_for(lambda: line[0] is mine)
        try:
            if gone():
                raise CallerGone
            yield
        finally:
            with self._moved:
                line.popleft()
                if not line:
                    del self._lines[key]
                self._moved.notify_all()

    def under_way(self) -> list[Key]:
        """What requests are about that are carried out, or wait."""
        with self._moved:
            return list(self._lines)
