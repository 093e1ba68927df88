"""The kubelet's queue: each key once, by one worker at a time, and none is forgotten."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from lab.workqueue import WorkQueue


def test_a_key_added_twice_is_taken_once() -> None:
    queue = WorkQueue(lambda: 0.0)
    queue.add("a")
    queue.add("a")
    assert queue.take() == "a"
    queue.add("b")
    assert queue.take() == "b"


def test_a_key_that_is_held_waits_for_its_holder() -> None:
    queue = WorkQueue(lambda: 0.0)
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("b", delay=0.0)
    assert queue.take() == "b"
    queue.done("a")
    assert queue.take() == "a"


def test_the_earliest_of_several_requests_counts() -> None:
    now = [0.0]
    queue = WorkQueue(lambda: now[0])
    queue.add("a", delay=10.0)
    queue.add("a", delay=1.0)
    queue.add("a", delay=5.0)
    now[0] = 1.0
    assert queue.take() == "a"


def test_what_is_due_first_comes_first() -> None:
    now = [0.0]
    queue = WorkQueue(lambda: now[0])
    queue.add("late", delay=2.0)
    queue.add("early", delay=1.0)
    now[0] = 3.0
    assert [queue.take(), queue.take()] == ["early", "late"]


def test_closing_sends_waiting_workers_home() -> None:
    queue = WorkQueue()
    with ThreadPoolExecutor() as pool:
        workers = [pool.submit(queue.take) for _ in range(3)]
        queue.close()
        assert [worker.result(timeout=10) for worker in workers] == [None] * 3


def test_a_delayed_key_is_taken_although_all_workers_were_waiting_when_it_came() -> None:
    queue = WorkQueue()
    taken = []
    both = threading.Barrier(3)

    def work() -> None:
        taken.append(queue.take())
        both.wait(timeout=10)

    with ThreadPoolExecutor() as pool:
        for _ in range(2):
            pool.submit(work)
        queue.add("late", delay=0.02)
        queue.add("now")
        both.wait(timeout=10)
    assert sorted(filter(None, taken)) == ["late", "now"]
