"""A stream of numbered datagrams from pod to pod, and since when none of them arrives any more.

`python -m bench.stream` is the program that sends and receives, on sockets that it inherits: a process of its own,
ahead of all others, so that neither what is measured nor the measuring process delays a packet. It says `flowing` and
`quiet` when it sees so, ends when its input does, and says last since when nothing arrives.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import IO

from bench.stage import BenchError
from lab import netns
from lab.node import python_environment

INTERVAL_NS = 200_000
FLOWING, QUIET = "flowing", "quiet"
_LATE_COUNT = 50  # a datagram that arrives while fewer were sent after it is in time
_FLOWING_COUNT = 500  # datagrams in a row before each of which one had arrived in time
_QUIET_COUNT = 1500  # datagrams in a row of which none arrived: longer than a busy switch is busy
_SETTLE_SECONDS = 0.3
_END_SECONDS = 10.0
_LONGEST_SECONDS = 60.0
_PORT = 7007
_BUFFER_BYTES = 8 << 20
_SO_RCVBUFFORCE = 33  # socket(7); not in the socket module
_ENDED = "the stream has ended by itself"
_NUMBER = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a stream goes from and to: network namespaces, and addresses of one family."""

    sender: Path
    receiver: Path
    source: str
    target: str


@dataclass(slots=True)
class Record:
    """When each datagram was sent (CLOCK_MONOTONIC, ns), and which arrived."""

    sent: list[int] = field(default_factory=list)
    arrived: bytearray = field(default_factory=bytearray)

    def send(self, now: int) -> int:
        """The number of one more datagram."""
        self.sent.append(now)
        self.arrived.append(0)
        return len(self.sent) - 1

    def silent_since(self) -> int | None:
        """When the first of the last ones was sent of which none arrived; None when the very last did."""
        first = self.arrived.rfind(1) + 1
        return self.sent[first] if first < len(self.sent) else None


class Stream:
    """A stream that runs, as seen by who started it."""

    def __init__(self, child: "subprocess.Popen[str]", said: IO[str]) -> None:
        self._child = child
        self._said = said

    def wait(self, word: str, seconds: float) -> bool:
        """Whether the child says `word` within `seconds`."""
        deadline = time.monotonic() + seconds
        while self._readable(deadline - time.monotonic()):
            if self._line() == word:
                return True
        return False

    def end(self) -> int | None:
        """Send no more; since when nothing arrives (CLOCK_MONOTONIC, ns), None if it does."""
        said, _ = self._child.communicate(timeout=_END_SECONDS)
        if not said:
            raise BenchError(_ENDED)
        found: int | None = json.loads(said.splitlines()[-1])
        return found

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self._said], [], [], max(0.0, seconds))[0])

    def _line(self) -> str:
        line = self._said.readline()
        if not line:
            raise BenchError(_ENDED)
        return line.strip()


@contextmanager
def stream(lane: Lane) -> Iterator[Stream]:
    """Datagrams from now on."""
    with _udp(lane.sender, lane.source) as sender, _udp(lane.receiver, lane.target) as receiver:
        words = (sys.executable, "-m", "bench.stream", str(sender.fileno()), str(receiver.fileno()), lane.target)
        fds = (sender.fileno(), receiver.fileno())
        env = {**os.environ, **python_environment()}
        with subprocess.Popen(
            words, env=env, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1, text=True
        ) as child:
            if child.stdout is None:
                raise BenchError("the stream has no output")
            try:
                yield Stream(child, child.stdout)
            finally:
                child.kill()


def _udp(namespace: Path, ip: str) -> socket.socket:
    family = socket.AF_INET6 if ip_address(ip).version == 6 else socket.AF_INET
    made = netns.run_in(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM))
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    made.bind((ip, _PORT))
    made.setblocking(False)
    return made


# The child.


@dataclass(slots=True)
class Watch:
    """Looks at a stream while it runs."""

    streak: int = 0
    _said: str = ""

    def look(self, number: int, newest: int) -> str:
        """What is to be said, "" if nothing, when `number` was just sent and `newest` is the last that arrived."""
        behind = number - newest
        self.streak = self.streak + 1 if behind < _LATE_COUNT else 0
        if self._said == "" and self.streak >= _FLOWING_COUNT:
            self._said = FLOWING
            return FLOWING
        if self._said == FLOWING and behind >= _QUIET_COUNT:
            self._said = QUIET
            return QUIET
        return ""


def main(words: Sequence[str]) -> None:
    """`words` are the descriptors of the sending and of the receiving socket, and the address to send to."""
    sender, receiver = (socket.socket(fileno=int(fd)) for fd in words[:2])
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    record = Record()
    _pump(record, sender, receiver, words[2])
    _settle(record, receiver)
    print(json.dumps(record.silent_since()), flush=True)


def _pump(record: Record, sender: socket.socket, receiver: socket.socket, target: str) -> None:
    """Send until the input ends."""
    watch, newest = Watch(), -1
    due = time.monotonic_ns()
    end = due + int(_LONGEST_SECONDS * 1e9)
    while due < end and not select.select([0], [], [], 0)[0]:
        number = record.send(time.monotonic_ns())
        with suppress(OSError):  # not sent is not arrived
            sender.sendto(_NUMBER.pack(number), (target, _PORT))
        newest = max(newest, _drain(record, receiver))
        if word := watch.look(number, newest):
            print(word, flush=True)
        due += INTERVAL_NS
        now = time.monotonic_ns()
        if due > now:
            time.sleep((due - now) / 1e9)
        due = max(due, now)


def _drain(record: Record, receiver: socket.socket) -> int:
    """Take what has arrived; the highest number, -1 if nothing has."""
    newest = -1
    with suppress(BlockingIOError):
        while True:
            (number,) = _NUMBER.unpack(receiver.recv(64))
            record.arrived[number] = 1
            newest = max(newest, number)
    return newest


def _settle(record: Record, receiver: socket.socket) -> None:
    """Wait for what is under way."""
    end = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < end:
        _drain(record, receiver)
        time.sleep(_SETTLE_SECONDS / 10)


if __name__ == "__main__":
    main(sys.argv[1:])
