"""Requests for one attachment: one at a time, in their order, and only for callers that are still there."""

import threading
import time

import pytest

from node_agent.turns import CallerGone, Turns

WAIT = 10.0


def queued(turns: Turns[str], key: str, done: list[str], name: str, *, leaves: bool = False) -> threading.Thread:
    """A request that has its place in the line."""

    def run() -> None:
        try:
            with turns.take(key, lambda: leaves):
                done.append(name)
        except CallerGone:
            done.append(f"{name} left")

    before = len(turns._lines.get(key, ()))
    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + WAIT
    while len(turns._lines[key]) == before:
        assert time.monotonic() < deadline
    return thread


def test_turns_are_in_the_order_in_which_they_were_asked_for() -> None:
    turns: Turns[str] = Turns()
    done: list[str] = []
    names = [str(number) for number in range(30)]
    with turns.take("a"):
        threads = [queued(turns, "a", done, name) for name in names]
        assert done == []
    for thread in threads:
        thread.join(WAIT)
    assert done == names
    assert turns.under_way() == []


def test_who_has_left_has_no_turn() -> None:
    turns: Turns[str] = Turns()
    done: list[str] = []
    with turns.take("a"):
        threads = [queued(turns, "a", done, name, leaves=name == "DEL") for name in ("ADD", "DEL", "again")]
    for thread in threads:
        thread.join(WAIT)
    assert done == ["ADD", "DEL left", "again"]


def test_others_do_not_wait() -> None:
    turns: Turns[str] = Turns()
    with turns.take("a"), turns.take("b"):
        assert turns.under_way() == ["a", "b"]


def test_a_failure_ends_the_turn() -> None:
    turns: Turns[str] = Turns()
    with pytest.raises(KeyError), turns.take("a"):
        raise KeyError
    with turns.take("a"):
        assert turns.under_way() == ["a"]
