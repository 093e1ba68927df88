"""One thread, one epoll, many OVSDB sessions: a wake-up costs what the sessions it concerns cost.

The library's own poller asks every connection on every wake-up and uses select(), which ends at descriptor 1024; a
controller of a thousand nodes has as many sessions. Here a session says once what it waits for and is left alone.
"""

import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

from ovsdb.errors import OvsdbUnavailable
from ovsdb.library import timeval
from ovsdb.schema import Interest
from ovsdb.session import OvsdbSession
from ovsdb.tls import is_set_up

log = logging.getLogger("weft.ovsdb")


class _Waits:
    """What a session waits for, told in the language of `ovs.poller.Poller`."""

    def __init__(self) -> None:
        self.sockets: dict[int, tuple[Any, int]] = {}
        self.at: float | None = None

    def fd_wait(self, fd: Any, events: int) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        _, known = self.sockets.get(number, (fd, 0))
        self.sockets[number] = (fd, known | events)

    def timer_wait(self, msec: float) -> None:
        at = time.monotonic() + max(0.0, msec / 1000)
        self.at = at if self.at is None else min(at, self.at)

    def timer_wait_until(self, msec: float) -> None:
        self.timer_wait(msec - timeval.msec())

    def immediate_wake(self) -> None:
        self.timer_wait(0)


class _Member:
    """A session with what the loop has registered for it."""

    def __init__(self, session: OvsdbSession) -> None:
        self.session = session
        self.sockets: dict[int, tuple[Any, int]] = {}
        self.at: float | None = None


class OvsdbLoop:
    """Hosts sessions. `with OvsdbLoop() as loop:` runs its thread and closes all sessions at the end."""

    def __init__(self, name: str = "ovsdb") -> None:
        self._epoll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._members: dict[OvsdbSession, _Member] = {}
        self._by_fd: dict[int, _Member] = {}
        self._timers: list[tuple[float, int, _Member]] = []
        self._tie = itertools.count()
        self._ready: dict[_Member, None] = {}
        self._lock = threading.Lock()
        self._ended = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close every session and end the thread; requests that wait get OvsdbUnavailable. Twice is once."""
        self._stopping = True
        self.call(lambda: None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def session(self, remote: str, interest: Interest) -> OvsdbSession:
        """A session that connects when it is started. ValueError: a remote of no known kind."""
        if not remote.startswith(("unix:", "tcp:", "ssl:")):
            raise ValueError(f"OVSDB remote {remote!r}: want unix:PATH, tcp:IP:PORT or ssl:IP:PORT")
        if remote.startswith("ssl:") and not is_set_up():
            raise ValueError(f"OVSDB remote {remote!r}: ssl: needs the settings tls-ca, tls-certificate and tls-key")
        return OvsdbSession(remote, interest, self)

    def poke(self, session: OvsdbSession) -> bool:
        """Step the session soon; from any thread. False: the loop was stopped."""
        return self._post(lambda: self._mark(session), Future())

    def drop(self, session: OvsdbSession) -> "Future[None]":
        """Shut the session down and forget it; from any thread. Twice is once."""
        return self.call(lambda: self._forget(session))

    def call(self, work: Callable[[], None]) -> "Future[None]":
        """Run something on the loop's thread, soon. OvsdbUnavailable: the loop was stopped."""
        future: Future[None] = Future()
        if not self._post(work, future):
            future.set_exception(OvsdbUnavailable("the OVSDB loop was stopped"))
        return future

    def _post(self, work: Callable[[], None], future: "Future[None]") -> bool:
        with self._lock:
            if self._ended:
                return False
            self._calls.append((work, future))
            os.eventfd_write(self._wakeup, 1)
            return True

    # On the thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._end()

    def _turn(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout()):
            if fd == self._wakeup:
                os.eventfd_read(fd)
            elif fd in self._by_fd:
                self._ready[self._by_fd[fd]] = None
        self._serve_calls()
        self._ring(time.monotonic())
        ready, self._ready = self._ready, {}
        for member in ready:
            if member.session in self._members:
                self._step(member)

    def _serve_calls(self) -> None:
        while self._calls:
            work, future = self._calls.popleft()
            try:
                work()
            except Exception as e:
                future.set_exception(e)
            else:
                future.set_result(None)

    def _timeout(self) -> float | None:
        if self._ready or self._calls:
            return 0
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _ring(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            at, _, member = heapq.heappop(self._timers)
            if member.at == at:
                member.at = None
                self._ready[member] = None

    def _step(self, member: _Member) -> None:
        waits = _Waits()
        try:
            member.session.step()
            member.session.wait(waits)
        except Exception as e:
            # A mistake of the library in one session must not end the thread of all.
            log.exception("OVSDB session starts over: remote=%s", member.session.remote)
            member.session.start_over(e)
            waits.timer_wait(1000)
        self._arm(member, waits)

    def _arm(self, member: _Member, waits: _Waits) -> None:
        """Register what changed since last time. Sockets are compared as objects: numbers are used again."""
        for fd, (sock, events) in list(member.sockets.items()):
            if waits.sockets.get(fd, (None, 0))[0] is not sock:
                self._unregister(member, fd)
            elif waits.sockets[fd][1] != events:
                self._epoll.modify(fd, waits.sockets[fd][1])
        for fd in waits.sockets.keys() - member.sockets.keys():
            self._epoll.register(fd, waits.sockets[fd][1])
            self._by_fd[fd] = member
        member.sockets = waits.sockets
        # An earlier timer may stay: it costs one idle step, where exact timers would cost a heap entry per step.
        if waits.at is not None and (member.at is None or waits.at < member.at):
            member.at = waits.at
            heapq.heappush(self._timers, (waits.at, next(self._tie), member))

    def _unregister(self, member: _Member, fd: int) -> None:
        del member.sockets[fd]
        if self._by_fd.get(fd) is member:
            del self._by_fd[fd]
            try:
                self._epoll.unregister(fd)
            except OSError:
                # Closed by the library already, which unregisters it; the number may be another session's by now.
                return

    def _mark(self, session: OvsdbSession) -> None:
        if not session.closed:
            self._ready[self._members.setdefault(session, _Member(session))] = None

    def _forget(self, session: OvsdbSession) -> None:
        session.shut()
        member = self._members.pop(session, _Member(session))
        for fd in list(member.sockets):
            self._unregister(member, fd)

    def _end(self) -> None:
        for session in list(self._members):
            self._forget(session)
        with self._lock:
            self._ended = True
        self._serve_calls()
        self._epoll.close()
        os.close(self._wakeup)
