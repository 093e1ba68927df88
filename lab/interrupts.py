"""Signals that end a program, and how a program that makes labs takes them.

A teardown that is cut short leaves switches and namespaces that nobody is looking for any more. So a sweep holds them
back until it is through, and a program whose way out is a sweep is interrupted once only.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ctrl-C, kill and a terminal that goes away send."""


@contextmanager
def held() -> Iterator[None]:
    """Hold back the signals that end a program; each that came is delivered, once, when the block has ended.

    Only Python's main thread runs handlers and may set them: in any other thread there is nothing to hold back.
    """
    came: dict[int, None] = {}
    try:
        with _handled(lambda number, _: came.setdefault(number)):
            yield
    finally:
        with ExitStack() as deliver:  # each, although one may raise KeyboardInterrupt
            for number in reversed(came):
                deliver.callback(signal.raise_signal, number)


@contextmanager
def interrupted_once() -> Iterator[None]:
    """The first of these signals raises KeyboardInterrupt in the block, later ones are ignored.

    For what cleans up on KeyboardInterrupt: however often somebody presses ctrl-C, it does so once and to the end.
    """
    with _handled(_interrupt):
        yield


def interrupt_once() -> None:
    """The same from now on: for a program's main(), which is not interrupted on its way out either."""
    for number in ENDING:
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number in ENDING:
            signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            # None: a handler that was not set from Python, which only whoever set it can set again.
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)
