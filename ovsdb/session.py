"""One connection to one OVSDB server: what changes there, and transactions.

A session is driven by its `OvsdbLoop` thread. Its owner hears of changes as plain values, in order, on that thread;
requests may come from any thread. Requests that wait while another transaction is under way go into the next one
together: a storm of pods costs a few round trips, not one each.
"""

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ovsdb.changes import Changed, Kind, Lost, RowChange, SessionEvent, Synced
from ovsdb.errors import OvsdbError, OvsdbUnavailable
from ovsdb.library import idl
from ovsdb.replica import Replica
from ovsdb.rows import Tables
from ovsdb.schema import Interest
from ovsdb.txn import Txn

log = logging.getLogger("weft.ovsdb")

T = TypeVar("T")

MAX_TRIES = 20
# The library stops after 50 messages, and may then sit on bytes that no descriptor announces (TLS): run it again.
RUNS_PER_STEP = 20

_Status = idl.Transaction


class Host(Protocol):
    """What a session needs of the loop it lives on."""

    def poke(self, session: "OvsdbSession") -> bool:
        """Step the session soon; from any thread. False: the loop was stopped."""

    def drop(self, session: "OvsdbSession") -> "Future[None]":
        """Shut the session down and forget it; from any thread."""


@dataclass(slots=True, eq=False)
class _Request(Generic[T]):
    work: Callable[[Txn], T]
    future: "Future[T]"
    deadline: float
    tries: int = 0
    alone: bool = False

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class OvsdbSession:
    """See the module. `remote`: `unix:PATH`, `tcp:IP:PORT` or `ssl:IP:PORT` (see `ovsdb.tls.use_tls`)."""

    def __init__(self, remote: str, interest: Interest, host: Host) -> None:
        self.remote = remote
        self._host = host
        self._tell: Callable[[SessionEvent], None] | None = None
        self._replica = Replica(remote, interest)
        self._named = tuple(table for table, columns in interest.items() if "name" in columns)
        self._names: dict[str, dict[str, uuid.UUID]] = {table: {} for table in self._named}
        self._generation: int | None = None
        self._told: str | None = None
        self._arrived: deque[_Request[Any]] = deque()
        self._queue: deque[_Request[Any]] = deque()
        self._batch: list[_Request[Any]] = []
        self._results: list[Any] = []
        self._txn: Txn | None = None
        self._composed_at = 0
        self._stale_at: int | None = None
        self.closed = False

    def start(self, on_event: Callable[[SessionEvent], None]) -> None:
        """Connect, stay connected, and tell `on_event` (on the loop's thread; it must not block)."""
        self._tell = on_event
        self._host.poke(self)

    def submit(self, work: Callable[[Txn], T], timeout_s: float = 10.0) -> "Future[T]":
        """Have `work` compose (part of) a transaction; the future holds what it returned, once committed.

        `work` runs on the loop's thread, sees the rows as they are then, and may run more than once: after a
        conflict or a reconnection it is asked again. It must not block. What it raises, the future raises, and the
        requests it shared a transaction with are not affected. OvsdbError: the server refused it.
        OvsdbUnavailable: no answer within `timeout_s` seconds; then whether it was committed is not known.
        """
        future: Future[T] = Future()
        self._arrived.append(_Request(work, future, time.monotonic() + timeout_s))
        if self.closed or not self._host.poke(self) or self.closed:
            self._refuse_arrived()
        return future

    def close(self) -> "Future[None]":
        """End the session; the future is done when its connection is gone. Twice is once."""
        return self._host.drop(self)

    # Below: for the loop, on its thread.

    def step(self) -> None:
        """Do everything that can be done now without waiting."""
        if self._tell is None or self.closed:
            return
        for _ in range(RUNS_PER_STEP):
            changed = self._replica.run()
            self._report(self._tell)
            if not changed:
                break
        self._accept()
        self._expire(time.monotonic())
        while self._finish() and self._begin():
            pass

    def wait(self, poller: Any) -> None:
        """Tell the poller what the session waits for: bytes, a timer of the library, a request's deadline."""
        if self._tell is None or self.closed:
            return
        self._replica.wait(poller)
        waiting = [request.deadline for request in (*self._queue, *self._batch)]
        if waiting:
            poller.timer_wait((min(waiting) - time.monotonic()) * 1000 + 1)

    def start_over(self, error: Exception) -> None:
        """`step` raised what it should not: its transaction fails, the rest goes on with a new connection."""
        for request in self._batch:
            request.fail(OvsdbError(f"{self.remote}: {error!r}"))
        self._batch, self._txn = [], None
        self._replica.start_over(repr(error))

    def shut(self) -> None:
        """Drop the connection; requests that wait get OvsdbUnavailable."""
        self.closed = True
        self._replica.close()
        for request in (*self._batch, *self._queue):
            request.fail(OvsdbUnavailable(f"{self.remote}: the session was closed"))
        self._batch, self._txn = [], None
        self._queue.clear()
        self._refuse_arrived()

    # Requests.

    def _take(self) -> Iterable[_Request[Any]]:
        while self._arrived:
            try:
                request = self._arrived.popleft()
            except IndexError:  # another thread was refused at the same moment
                return
            if request.future.set_running_or_notify_cancel():
                yield request

    def _accept(self) -> None:
        self._queue.extend(self._take())

    def _refuse_arrived(self) -> None:
        for request in self._take():
            request.fail(OvsdbUnavailable(f"{self.remote}: the session was closed"))

    def _expire(self, now: float) -> None:
        late = [r for r in (*self._queue, *self._batch) if r.deadline <= now and not r.future.done()]
        for request in late:
            connected = self._replica.generation is not None
            why = "it does not answer" if connected else self._replica.reason or "not connected yet"
            request.fail(OvsdbUnavailable(f"{self.remote}: not committed in time: {why}"))
        if late:
            self._queue = deque(request for request in self._queue if not request.future.done())

    # What changed.

    def _report(self, tell: Callable[[SessionEvent], None]) -> None:
        event = self._news()
        if event is None:
            return
        try:
            tell(event)
        except Exception:
            # The owner's mistake must not stop the other sessions of this thread; it must be seen, though.
            log.exception("the owner of an OVSDB session failed on an event: remote=%s", self.remote)

    def _news(self) -> SessionEvent | None:
        changes, generation = self._replica.take_changes(), self._replica.generation
        if generation is None:
            return self._lost()
        if generation != self._generation:
            self._generation, self._told = generation, None
            tables = self._replica.snapshot()
            self._index_all(tables)
            return Synced(tables)
        self._index(changes)
        return Changed(changes) if changes else None

    def _lost(self) -> Lost | None:
        self._generation = None
        reason = self._replica.reason
        if not reason or reason == self._told:
            return None
        self._told = reason
        return Lost(f"{self.remote}: {reason}")

    def _index_all(self, tables: Tables) -> None:
        self._names = {t: {row["name"]: key for key, row in tables[t].items()} for t in self._named}

    def _index(self, changes: Iterable[RowChange]) -> None:
        for change in changes:
            names = self._names.get(change.table)
            if names is None:
                continue
            if change.kind is Kind.CREATED:
                names[change.values["name"]] = change.uuid
            elif change.kind is Kind.DELETED and names.get(change.values["name"]) == change.uuid:
                del names[change.values["name"]]

    # Transactions: one under way at a time, so that each sees the rows as the one before left them.

    def _begin(self) -> bool:
        """Send the next transaction, if there is one to send."""
        if not self._queue or self._replica.generation is None or self._stale_at == self._replica.change_seqno:
            return False
        self._stale_at = None
        self._batch = [self._queue.popleft()]
        while not self._batch[0].alone and self._queue and not self._queue[0].alone:
            self._batch.append(self._queue.popleft())
        while self._batch and not self._compose():
            pass
        return bool(self._batch)

    def _compose(self) -> bool:
        """Let every request of the batch write; one that raises is dropped from it, and the rest begin anew."""
        txn = Txn(self._replica, self._names)
        self._results = []
        for request in self._batch:
            try:
                self._results.append(request.work(txn))
            except Exception as e:
                txn.abort()
                self._batch.remove(request)
                request.fail(e)
                return False
        self._txn, self._composed_at = txn, self._replica.change_seqno
        txn.commit()
        return True

    def _finish(self) -> bool:
        """Settle the transaction under way. False while its answer is still to come."""
        if self._txn is None:
            return True
        status = self._txn.commit()
        if status == _Status.INCOMPLETE:
            return False
        batch, txn = self._batch, self._txn
        self._batch, self._txn = [], None
        if status in (_Status.SUCCESS, _Status.UNCHANGED):
            self._resolve(batch)
        elif status == _Status.TRY_AGAIN:
            self._again(batch)
        elif len(batch) > 1:
            # One of them is bad. Each alone, so that it fails alone.
            self._put_back(batch, alone=True)
        else:
            batch[0].fail(OvsdbError(f"{self.remote}: ovsdb-server refused: {txn.error}"))
        return True

    def _resolve(self, batch: list[_Request[Any]]) -> None:
        for request, result in zip(batch, self._results, strict=True):
            if not request.future.done():
                request.future.set_result(result)

    def _again(self, batch: list[_Request[Any]]) -> None:
        """A conflict, or the connection went: compose anew on fresh rows, after they have come."""
        conflict = self._replica.generation is not None
        if conflict:
            self._stale_at = self._composed_at
        for request in batch:
            request.tries += conflict
            if request.tries >= MAX_TRIES:
                request.fail(OvsdbError(f"{self.remote}: others keep changing the same rows; gave up"))
        self._put_back(batch, alone=conflict and len(batch) > 1)

    def _put_back(self, batch: list[_Request[Any]], *, alone: bool) -> None:
        for request in reversed(batch):
            if not request.future.done():
                request.alone = request.alone or alone
                self._queue.appendleft(request)
