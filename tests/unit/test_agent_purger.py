"""When the agent has its switch purged, how many requests one purge serves, and what it says afterwards. The switch
is a control socket that answers when the test says so."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from node_agent.purger import Purger
from ovsdb.rows import Purging
from ovsdb.view import BridgeGone, BridgeSeen, OvsdbLost, Snapshot

WAIT = 10.0
PID = 4242
_NEVER = "never"
HEAD = BridgeSeen("br-int", "n1", "0.1", 1, "netdev")


def head(asked: int, *, needed: bool = True) -> BridgeSeen:
    return replace(HEAD, purging=Purging(needed=needed, asked=asked))


@dataclass
class Vswitchd:
    """An ovs-vswitchd, as far as its control socket goes."""

    rundir: Path
    asked: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    answers: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)
    _listener: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX))

    def start(self) -> None:
        self._listener.bind(str(self.rundir / f"ovs-vswitchd.{PID}.ctl"))
        self._listener.listen()
        (self.rundir / "ovs-vswitchd.pid").write_text(f"{PID}\n")
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def begun(self) -> str:
        """The next command that comes."""
        return self.asked.get(timeout=WAIT)

    def answer(self, error: str | None = None) -> None:
        self.answers.put(error)

    def hang(self) -> None:
        """Let it go on when the other side has given up."""
        self.answers.put(_NEVER)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                self.asked.put(json.loads(peer.recv(65536))["method"])
                error = self.answers.get()
                if error == _NEVER:
                    assert peer.recv(1) == b""
                else:
                    peer.sendall(json.dumps({"id": 0, "error": error, "result": None if error else ""}).encode())


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Vswitchd]:
    made = Vswitchd(tmp_path)
    yield made
    made.close()


@pytest.fixture
def running(switch: Vswitchd) -> Vswitchd:
    switch.start()
    return switch


Made = tuple[Purger, "queue.SimpleQueue[int]"]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[float], Made]]:
    made: list[Purger] = []

    def purger(timeout: float) -> Made:
        served: queue.SimpleQueue[int] = queue.SimpleQueue()
        made.append(Purger(tmp_path, served.put, timeout))
        made[-1].start()
        return made[-1], served

    yield purger
    for each in made:
        each.stop()


@pytest.fixture
def purger(make: Callable[[float], Made]) -> Made:
    return make(WAIT)


def next_served(served: queue.SimpleQueue[int]) -> int:
    return served.get(timeout=WAIT)


def test_it_purges_at_its_start_and_says_which_request_that_served(running: Vswitchd, purger: Made) -> None:
    it, served = purger
    it.take(Snapshot(head(12), None))
    assert running.begun() == "revalidator/purge"
    assert served.empty()
    running.answer()
    assert next_served(served) == 12


def test_it_purges_when_the_need_is_first_said(running: Vswitchd, purger: Made) -> None:
    it, served = purger
    it.take(Snapshot(head(0, needed=False), None))
    it.take(head(0))
    running.begun()
    running.answer()
    assert next_served(served) == 0


def test_what_comes_while_a_purge_is_under_way_is_served_by_one_more(running: Vswitchd, purger: Made) -> None:
    it, served = purger
    it.take(Snapshot(head(1), None))
    running.begun()
    for number in (2, 3, 4):
        it.take(head(number))
    running.answer()
    assert next_served(served) == 1
    running.begun()
    running.answer()
    assert next_served(served) == 4
    it.take(head(5))
    running.begun()
    running.answer()
    assert next_served(served) == 5
    assert running.asked.empty()


def test_other_changes_of_the_row_ask_for_nothing(running: Vswitchd, purger: Made) -> None:
    it, served = purger
    it.take(Snapshot(head(1), None))
    running.begun()
    it.take(replace(head(1), datapath_id=2))
    it.take(replace(head(1), purging=Purging(needed=True, asked=1, served=1)))
    it.take(head(2))
    running.answer()
    running.begun()
    running.answer()
    assert [next_served(served), next_served(served)] == [1, 2]
    assert running.asked.empty()


def test_where_no_purge_is_needed_the_switch_is_not_asked(running: Vswitchd, purger: Made) -> None:
    it, served = purger
    it.take(Snapshot(None, None))
    it.take(Snapshot(head(1, needed=False), None))
    it.take(head(2, needed=False))
    it.take(head(3))
    running.begun()
    running.answer()
    assert next_served(served) == 3
    assert running.asked.empty()


@pytest.mark.parametrize("events", [[OvsdbLost("gone"), Snapshot(head(7), None)], [BridgeGone("br-int"), head(7)]])
def test_a_bridge_that_is_seen_anew_is_purged_anew(
    running: Vswitchd, purger: Made, events: list[OvsdbLost | Snapshot | BridgeGone | BridgeSeen]
) -> None:
    it, served = purger
    it.take(Snapshot(head(7), None))
    running.begun()
    running.answer()
    assert next_served(served) == 7
    for event in events:
        it.take(event)
    running.begun()
    running.answer()
    assert next_served(served) == 7


def test_a_switch_that_is_down_is_not_waited_for_and_served_when_it_is_asked_again(
    switch: Vswitchd, purger: Made
) -> None:
    it, served = purger
    it.take(Snapshot(head(1), None))
    it.take(head(2))
    switch.start()
    it.take(head(3))
    switch.answers.put(None)
    switch.answers.put(None)
    # Whether it was up in time for an earlier one depends on threads; it is for the last.
    while (number := next_served(served)) != 3:
        assert number in (1, 2)


def test_a_switch_that_refuses_the_command_is_not_said_to_be_purged(running: Vswitchd, purger: Made) -> None:
    it, served = purger
    it.take(Snapshot(head(1), None))
    running.begun()
    running.answer('"revalidator/purge" is not a valid command')
    it.take(head(2))
    running.begun()
    running.answer()
    assert next_served(served) == 2


def test_a_switch_that_hangs_is_asked_until_it_answers(running: Vswitchd, make: Callable[[float], Made]) -> None:
    it, served = make(1.0)
    it.take(Snapshot(head(5), None))
    running.begun()
    running.hang()
    running.begun()
    it.take(head(6))
    running.hang()
    running.begun()
    running.answer()
    assert next_served(served) == 6
    assert running.asked.empty()
