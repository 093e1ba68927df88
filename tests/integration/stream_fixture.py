"""Traffic between pods that a fault must not disturb, and traffic that must never arrive.

Everything is sent and caught by sockets that were made inside the namespaces; a thread of the test drives them.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

from lab import netns

INTERVAL = 0.01
_PORT = 7007
_LONGEST = 240.0  # seconds; a test that hangs must not leave a thread behind that sends for ever
_SETTLE = 1.0
_SO_RCVBUFFORCE = 33  # socket(7); not in the socket module
_BUFFER = 8 << 20
_NUMBER = struct.Struct("!I")


@dataclass(frozen=True)
class Lost:
    """A datagram that never arrived: in which direction, its number, and when it was sent (monotonic seconds)."""

    lane: str
    number: int
    at: float


@dataclass
class Lane:
    """Datagrams of one direction and family."""

    name: str
    sender: socket.socket
    receiver: socket.socket
    target: tuple[str, int]
    sent: list[float] = field(default_factory=list)
    arrived: dict[int, float] = field(default_factory=dict)
    first: int = 0

    def tick(self) -> None:
        number = len(self.sent)
        self.sent.append(time.monotonic())
        with suppress(OSError):  # not sent is not arrived
            self.sender.sendto(_NUMBER.pack(number), self.target)

    def drain(self) -> None:
        with suppress(BlockingIOError):
            while True:
                (number,) = _NUMBER.unpack(self.receiver.recv(64))
                self.arrived.setdefault(number, time.monotonic())

    def lost(self) -> Iterator[Lost]:
        return (Lost(self.name, n, at) for n, at in self._counted() if n not in self.arrived)

    def outage(self) -> float:
        """The longest time in seconds in which nothing that was sent arrived."""
        heard = [self.sent[self.first], *(at for n, at in self._counted() if n in self.arrived), self.sent[-1]]
        return max(after - before for before, after in pairwise(heard))

    def _counted(self) -> Iterator[tuple[int, float]]:
        return ((n, self.sent[n]) for n in range(self.first, len(self.sent)))


class Stream:
    """Numbered datagrams every `interval` seconds in every lane, from `start` to `stop`."""

    def __init__(self, lanes: Sequence[Lane], interval: float = INTERVAL) -> None:
        self._lanes = lanes
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        self._stopping.set()
        self._thread.join()

    def lost(self) -> list[Lost]:
        return [each for lane in self._lanes for each in lane.lost()]

    def outages(self) -> dict[str, float]:
        return {lane.name: lane.outage() for lane in self._lanes}

    def sent(self) -> int:
        return sum(len(lane.sent) - lane.first for lane in self._lanes)

    def wait_sent(self, count: int) -> None:
        """Return when every direction has sent so many more."""
        goals = [(lane, len(lane.sent) + count) for lane in self._lanes]
        while any(len(lane.sent) < goal for lane, goal in goals):
            assert self._thread.is_alive(), "the stream has ended"
            time.sleep(INTERVAL)

    def flows_since(self, moment: float) -> bool:
        """Whether something that was sent after `moment` has arrived, in every direction."""
        return all(any(lane.sent[n] > moment for n in tuple(lane.arrived)) for lane in self._lanes)

    def _run(self) -> None:
        due = time.monotonic()
        end = due + _LONGEST
        while not self._stopping.is_set() and due < end:
            for lane in self._lanes:
                lane.tick()
                lane.drain()
            due = max(due + self._interval, time.monotonic())
            self._stopping.wait(max(0.0, due - time.monotonic()))
        self._settle()

    def _settle(self) -> None:
        deadline = time.monotonic() + _SETTLE
        while time.monotonic() < deadline and self.lost():
            for lane in self._lanes:
                lane.drain()
            time.sleep(INTERVAL)


@dataclass(frozen=True)
class End:
    """A pod as an end of a stream."""

    name: str
    namespace: Path
    ips: tuple[str, ...]


@contextmanager
def stream(one: End, other: End, interval: float = INTERVAL) -> Iterator[Stream]:
    """A stream both ways and over every family, which flows already: what the network has to learn first is not
    counted as lost. Both directions use one pair of ports, so that each is the other's reply."""
    with ExitStack() as stack:
        made = Stream(list(_lanes(one, other, stack)), interval)
        _warm_up(made)
        made.start()
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def one_way(pairs: Iterable[tuple[End, End]], interval: float) -> Iterator[dict[str, Lane]]:
    """A datagram every `interval` seconds from one end to the other of each pair, over every family."""
    with ExitStack() as stack:
        lanes: dict[str, Lane] = {}
        for port, (one, other) in enumerate(pairs, start=_PORT):
            for here, there in zip(one.ips, other.ips, strict=True):
                left, right = (
                    stack.enter_context(_udp(e.namespace, ip, port)) for e, ip in ((one, here), (other, there))
                )
                name = f"{one.name} → {other.name} IPv{ip_address(here).version}"
                lanes[name] = Lane(name, left, right, (there, port))
        made = Stream([*lanes.values()], interval)
        made.start()
        try:
            yield lanes
        finally:
            made.stop()


def _lanes(one: End, other: End, stack: ExitStack) -> Iterator[Lane]:
    for here, there in zip(one.ips, other.ips, strict=True):
        left, right = (stack.enter_context(_udp(end.namespace, ip)) for end, ip in ((one, here), (other, there)))
        version = ip_address(here).version
        yield Lane(f"{one.name}>{other.name} IPv{version}", left, right, (there, _PORT))
        yield Lane(f"{other.name}>{one.name} IPv{version}", right, left, (here, _PORT))


def _udp(namespace: Path, ip: str, port: int = _PORT) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    made = netns.run_in(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM))
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    made.bind((ip, port))
    made.setblocking(False)
    return made


def _warm_up(made: Stream) -> None:
    deadline = time.monotonic() + 10.0
    while not all(lane.arrived for lane in made._lanes):
        assert time.monotonic() < deadline, f"nothing arrives: {[x.name for x in made._lanes if not x.arrived]}"
        for lane in made._lanes:
            lane.tick()
            lane.drain()
        time.sleep(INTERVAL)
    for lane in made._lanes:
        lane.first = len(lane.sent)


class Repeater:
    """Does one thing every `seconds` in a thread, from entering to leaving the `with` block."""

    def __init__(self, work: Callable[[], None], seconds: float = INTERVAL) -> None:
        self._work = work
        self._seconds = seconds
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="repeater")
        self.rounds = 0

    def __enter__(self) -> Repeater:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def wait_rounds(self, count: int) -> None:
        """Return when it was done so many more times."""
        goal = self.rounds + count
        while self.rounds < goal:
            assert self._thread.is_alive(), f"ended early: {self._failure!r}"
            time.sleep(self._seconds)

    def _run(self) -> None:
        end = time.monotonic() + _LONGEST
        try:
            while not self._stopping.wait(self._seconds) and time.monotonic() < end:
                self._work()
                self.rounds += 1
        except BaseException as e:  # told to the thread that waits
            self._failure = e
