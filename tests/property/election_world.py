"""A model for leader election: an API server with one Lease, candidates whose clocks differ in pace and offset, and a
network that delays requests and answers, loses either, and delivers what was long given up.

Everything happens in the order of one queue, so a history is a value: the same faults give the same history.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kube.election import Candidate, Election, Read, Times, Write
from kube.lease import Lease, parse_lease

WALL = datetime(2024, 1, 1, tzinfo=UTC)  # the time of day stands still: nothing may depend on it
TIMES = Times()
TIMEOUT = 5.0
"""Seconds of a candidate's clock, after which it waits for an answer no longer."""

Obj = dict[str, Any]


class Refused(Exception):  # noqa: N818 - as the API says it
    """409, 404: the Lease is not what it was taken for."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one request: seconds on the way to the server and back, each None when it is lost there."""

    there: float | None = 0.0
    back: float | None = 0.0


@dataclass
class Server:
    """One Lease as an API server keeps it."""

    version: int = 0
    stored: Obj | None = None

    def answer(self, request: Read | Write) -> Lease | None:
        """The Lease, None when there is none."""
        if isinstance(request, Write):
            asked = request.body["metadata"].get("resourceVersion", "")
            if request.create is not (self.stored is None) or (asked and asked != str(self.version)):
                raise Refused
            self._store(request.body["spec"])
        return None if self.stored is None else parse_lease(json.dumps(self.stored).encode())

    def touch(self) -> None:
        """Somebody else annotates it."""
        if self.stored is not None:
            self._store(self.stored["spec"])

    def _store(self, spec: Obj) -> None:
        self.version += 1
        meta = {"name": "x", "namespace": "n", "resourceVersion": str(self.version)}
        self.stored = {"metadata": meta, "spec": spec}


@dataclass(eq=False)
class Process:
    """One life of a candidate. `pace` and `offset` are its clock's, against true time."""

    name: str
    pace: float = 1.0
    offset: float = 0.0
    dead: bool = False
    stopping: bool = False
    asked: int = 0
    election: Election = field(init=False)

    def __post_init__(self) -> None:
        self.election = Election(Candidate(self.name, {"a": "b"}), TIMES)

    def clock(self, true: float) -> float:
        return self.offset + true * self.pace

    def active(self, true: float) -> bool:
        return not self.dead and self.election.active(self.clock(true))


class World:
    """`fate` is asked what becomes of each request of a process."""

    def __init__(self, fate: Callable[[Process], Fate]) -> None:
        self.true = 0.0
        self.server = Server()
        self.processes: list[Process] = []
        self.terms: list[str] = []
        self._fate = fate
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = itertools.count()

    def at(self, true: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (true, next(self._tie), what))

    def start(self, process: Process) -> None:
        """It looks at the Lease from now on."""
        self.processes.append(process)
        self._round(process)

    def kill(self, process: Process) -> None:
        process.dead = True

    def release(self, process: Process) -> None:
        """It ends in good order."""
        process.stopping = True
        process.election = process.election.resigned()
        write = process.election.release(WALL)
        if write is not None:
            self._send(process, write)

    def run(self, until: float) -> None:
        """Let everything happen that is due before."""
        while self._queue and self._queue[0][0] <= until:
            self.true, _, happens = heapq.heappop(self._queue)
            happens()
            self._judge()
        self.true = until

    def active(self) -> list[str]:
        return [each.name for each in self.processes if each.active(self.true)]

    def _judge(self) -> None:
        active = self.active()
        assert len(active) < 2, f"{' and '.join(active)} are active after {self.true:g} s"
        if active and self.terms[-1:] != active:
            self.terms += active

    def _round(self, process: Process) -> None:
        now = process.clock(self.true)
        process.election = process.election.expired(now)
        step = process.election.step(now, WALL, willing=True)
        if step is None:
            self._rest(process)
        elif not process.dead and not process.stopping:
            self._send(process, step)

    def _rest(self, process: Process) -> None:
        process.election = process.election.rested()
        if not process.dead and not process.stopping:
            self.at(self.true + TIMES.retry / process.pace, lambda: self._round(process))

    def _send(self, process: Process, request: Read | Write) -> None:
        process.asked += 1
        number, began = process.asked, process.clock(self.true)
        fate = self._fate(process)

        def waits() -> bool:
            return process.asked == number and not process.dead

        def arrive() -> None:
            try:
                answer: Lease | Refused | None = self.server.answer(request)
            except Refused as e:
                answer = e
            if fate.back is not None:
                self.at(self.true + fate.back, lambda: hear(answer))

        def hear(answer: Lease | Refused | None) -> None:
            if waits():
                process.asked += 1
                self._hear(process, request, answer, began)

        def give_up() -> None:
            if waits():
                process.asked += 1
                self._rest(process)

        if fate.there is not None:
            self.at(self.true + fate.there, arrive)
        self.at(self.true + TIMEOUT / process.pace, give_up)

    def _hear(self, process: Process, request: Read | Write, answer: Lease | Refused | None, began: float) -> None:
        now, election = process.clock(self.true), process.election
        if isinstance(answer, Refused):
            process.election = election.outrun(now)
        elif isinstance(request, Read):
            process.election = election.found(answer, now)
            self._round(process)
            return
        elif answer is not None:
            process.election = election.wrote(answer, began, now)
        self._rest(process)
