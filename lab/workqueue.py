"""Which objects want attention: each once, by one worker at a time, some of them only later.

The idea and the rules are those of client-go's workqueue: a key added while a worker holds it comes back when
the worker is done, so a worker always sees the newest state and never races with another over one object.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class WorkQueue:
    """Keys that are due; safe from any thread. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._busy: set[str] = set()
        self._closed = False
        self._changed = threading.Condition()

    def add(self, key: str, delay: float = 0.0) -> None:
        """Ask for attention in `delay` seconds; the earliest of several requests counts."""
        with self._changed:
            due = self._clock() + delay
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify_all()

    def take(self) -> str | None:
        """Wait for a key that is due and hold it until `done`; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                key = min(
                    (key for key in self._due if key not in self._busy), key=self._due.__getitem__, default=None
                )
                wait = None if key is None else self._due[key] - self._clock()
                if key is not None and wait is not None and wait <= 0:
                    del self._due[key]
                    self._busy.add(key)
                    return key
                self._changed.wait(wait)
            return None

    def done(self, key: str) -> None:
        """Let go of a key; if it was added meanwhile, it is due again."""
        with self._changed:
            self._busy.discard(key)
            self._changed.notify_all()

    def close(self) -> None:
        """Send every worker home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
