"""Takes part in an election: does what `kube.election` decides, and tells what comes of it.

Two threads. One talks with the API, and may hang with it; the other looks at the clock, so that a holder is done in
time whatever the first is waiting for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kube.client import ApiClient
from kube.election import Election, Read, Write
from kube.endpoint import Endpoint
from kube.errors import ApiError, KubeError, ParseError
from kube.lease import Lease, LeaseKey, parse_lease
from kube.resources import LEASES

_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_BUSY: Final = 429
_FAULT: Final = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """The Lease is ours, and with it the right to be active."""


@dataclass(frozen=True, slots=True)
class Lost:
    """It is not any more. Whatever is active has to stop within `Times.lease - Times.deadline` seconds."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """Another has it."""

    holder: str


@dataclass(frozen=True, slots=True)
class Troubled:
    """The API did not do what it was asked, and this is tried again. "": it does again."""

    problem: str


Told = Taken | Lost | Held | Troubled


class Elector:
    """`told` is called from either thread, and with Lost at once. Nothing is taken while `willing` is false."""

    def __init__(
        self,
        endpoint: Endpoint,
        key: LeaseKey,
        election: Election,
        told: Callable[[Told], None],
        willing: Callable[[], bool] = lambda: True,
    ) -> None:
        self._times = election.times
        # Half of it, so that one answer that does not come leaves time for another try.
        self._client = ApiClient(endpoint, seconds=self._times.deadline / 2)
        self._key = key
        self._told = told
        self._willing = willing
        self._election = election
        self._problem = ""
        self._lasting = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._hurry = threading.Event()
        self._threads = tuple(
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("lease", self._run), ("lease-clock", self._watch_clock))
        )

    @property
    def alive(self) -> bool:
        """Whether both threads run: for a liveness check."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def problem(self) -> str:
        """What will not go away by itself: the API refuses, or the Lease cannot be read. "" when all is well."""
        return self._lasting

    def start(self) -> None:
        """Begin, once."""
        for thread in self._threads:
            thread.start()

    def hurry(self) -> None:
        """Something has changed that `willing` depends on: do not wait for the next round."""
        self._hurry.set()

    def release(self) -> bool:
        """End, once what was active has stopped, and give the Lease back; whether it was ours and is free now.

        Raises KubeError: it is not, and others have to wait until it is over.
        """
        self._ended.set()
        self._hurry.set()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(self._times.deadline)
        self._moved(Election.resigned)
        try:
            return self._give_back()
        except ApiError as e:
            if e.status != _CONFLICT:
                raise
        # A renewal that was given up has arrived after all.
        lease = self._read()
        self._moved(lambda election: election.found(lease, _now()))
        return self._give_back()

    def _give_back(self) -> bool:
        write = self._election.release(_wall())
        if write is not None:
            self._write(write)
        return write is not None

    def _run(self) -> None:
        while not self._ended.is_set() and not self._election.lost:
            self._hurry.clear()
            self._round()
            if not self._ended.is_set():
                self._hurry.wait(self._times.retry)

    def _watch_clock(self) -> None:
        while not self._ended.wait(self._until_deadline()):
            self._move(lambda election: election.expired(_now()))

    def _until_deadline(self) -> float:
        """Seconds, at most a retry's: until then nobody can have taken the Lease and lost it."""
        held = self._election.held
        left = self._times.retry if held is None else held + self._times.deadline - _now()
        return max(0.0, min(self._times.retry, left))

    def _round(self) -> None:
        try:
            self._ask()
        except (KubeError, ParseError) as e:
            self._trouble(e)
        else:
            self._trouble(None)
        self._move(Election.rested)

    def _ask(self) -> None:
        step = self._step()
        if isinstance(step, Read):
            lease = self._read()
            self._move(lambda election: election.found(lease, _now()))
            step = self._step()
        if isinstance(step, Write):
            self._claim(step)

    def _claim(self, step: Write) -> None:
        began = _now()
        try:
            lease = self._write(step)
        except ApiError as e:
            gone = e.status == _NOT_FOUND and not step.create
            if e.status != _CONFLICT and not gone:
                raise
            self._move(lambda election: election.outrun(_now()))
        else:
            self._move(lambda election: election.wrote(lease, began, _now()))

    def _step(self) -> Read | Write | None:
        return None if self._ended.is_set() else self._election.step(_now(), _wall(), willing=self._willing())

    def _read(self) -> Lease | None:
        try:
            return parse_lease(self._client.get(LEASES, self._key.name, self._key.namespace))
        except ApiError as e:
            if e.status != _NOT_FOUND:
                raise
            return None

    def _write(self, step: Write) -> Lease:
        if not step.create:
            patched = self._client.patch_merge(LEASES, self._key.name, step.body, namespace=self._key.namespace)
            return parse_lease(patched)
        named = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **step.body}
        named["metadata"] = {**step.body["metadata"], "name": self._key.name, "namespace": self._key.namespace}
        return parse_lease(self._client.create(LEASES, named, self._key.namespace))

    def _move(self, change: Callable[[Election], Election]) -> None:
        for told in self._moved(change):
            self._told(told)

    def _moved(self, change: Callable[[Election], Election]) -> tuple[Told, ...]:
        with self._lock:
            before, self._election = self._election, change(self._election)
            return tuple(_changes(before, self._election))

    def _trouble(self, error: KubeError | ParseError | None) -> None:
        problem = "" if error is None else str(error)
        refused = isinstance(error, ApiError) and error.status not in (0, _BUSY) and error.status < _FAULT
        self._lasting = problem if refused or isinstance(error, ParseError) else ""
        changed, self._problem = bool(problem) != bool(self._problem), problem
        if changed:
            self._told(Troubled(problem))


def _changes(before: Election, after: Election) -> Iterator[Told]:
    if after.lost and not before.lost:
        yield Lost(after.lost)
    if after.held is not None and before.held is None:
        yield Taken()
    if after.holder not in ("", before.holder, after.candidate.identity) and not after.lost:
        yield Held(after.holder)


def _now() -> float:
    """Seconds that also pass while the machine sleeps: the others do not wait for it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _wall() -> datetime:
    return datetime.now(UTC)
