"""Signals while a lab is taken down: none is lost, and none cuts it short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType

import pytest

from lab import interrupts
from lab.interrupts import ENDING


@pytest.fixture
def delivered() -> Iterator[list[int]]:
    """The signals that reached the program's own handlers."""
    got: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        got.append(number)

    with ExitStack() as stack:
        for number in ENDING:
            stack.callback(signal.signal, number, signal.signal(number, note))
        yield got


def _held(*numbers: int, then: Callable[[], object] = bool) -> None:
    """A block in which these signals come, and which then does something."""
    with interrupts.held():
        for number in numbers:
            signal.raise_signal(number)
        then()


@pytest.mark.parametrize("number", ENDING)
def test_a_held_signal_is_delivered_when_the_block_has_ended(number: signal.Signals, delivered: list[int]) -> None:
    with interrupts.held():
        signal.raise_signal(number)
        assert delivered == []
    assert delivered == [number]


def test_signals_of_one_kind_are_delivered_as_one(delivered: list[int]) -> None:
    with interrupts.held():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
    assert delivered == [signal.SIGTERM, signal.SIGINT]


def test_holding_within_holding_delivers_at_the_outer_end(delivered: list[int]) -> None:
    with interrupts.held():
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
        assert delivered == []
    assert delivered == [signal.SIGINT]


def test_a_block_that_fails_does_not_keep_the_signals(delivered: list[int]) -> None:
    with pytest.raises(ZeroDivisionError), interrupts.held():
        raise ZeroDivisionError
    signal.raise_signal(signal.SIGINT)
    assert delivered == [signal.SIGINT]


def test_a_signal_is_delivered_though_the_block_fails(delivered: list[int]) -> None:
    with pytest.raises(ZeroDivisionError):
        _held(signal.SIGINT, then=lambda: 1 // 0)
    assert delivered == [signal.SIGINT]


def test_every_signal_is_delivered_though_the_first_raises(delivered: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        _held(signal.SIGINT, signal.SIGTERM)
    assert delivered == [signal.SIGTERM]


def test_a_thread_changes_no_handlers(delivered: list[int]) -> None:
    seen: list[object] = []

    def hold() -> None:
        with interrupts.held(), interrupts.interrupted_once():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("number", ENDING)
def test_a_program_is_interrupted_once(number: signal.Signals, delivered: list[int]) -> None:
    with interrupts.interrupted_once():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        for later in ENDING:
            signal.raise_signal(later)
    assert delivered == []


def test_a_signal_held_in_a_sweep_interrupts_the_program_afterwards(delivered: list[int]) -> None:
    steps: list[str] = []
    with interrupts.interrupted_once():
        with pytest.raises(KeyboardInterrupt):
            _held(signal.SIGTERM, then=lambda: steps.append("swept to the end"))
        signal.raise_signal(signal.SIGTERM)
    assert steps == ["swept to the end"]
    signal.raise_signal(signal.SIGTERM)
    assert delivered == [signal.SIGTERM]
