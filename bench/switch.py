"""An empty bridge on a stage's Open vSwitch, and this process as its controller."""

import os
import queue
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.stage import BenchError, Stage
from lab import netns
from lab.names import MARKER
from openflow.channel import ChangeApplied, ChannelEvent, FlowsDumped, Listener, SwitchConnected

COMMAND_SECONDS = 120
EVENT_SECONDS = 60.0

T = TypeVar("T", ChangeApplied, FlowsDumped, SwitchConnected)


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge of a stage's switch, by name; `ofctl` and `vsctl` raise BenchError with what the command said."""

    stage: Stage
    name: str

    def create(self, controller: str = "") -> None:
        settings = (f"datapath_type={self.stage.node.datapath.ovs_type}", "fail_mode=secure", "protocols=OpenFlow15")
        self.vsctl("add-br", self.name, "--", "set", "Bridge", self.name, *settings)
        if controller:
            connection = ("--", "set", "Controller", self.name, "max_backoff=1000")
            self.vsctl("set-controller", self.name, controller, *connection)

    def vsctl(self, *words: str) -> str:
        return self._run("ovs-vsctl", f"--db=unix:{self.stage.node.paths.ovsdb_socket}", "--timeout=30", *words)

    def ofctl(self, command: str, *words: str) -> str:
        socket = f"unix:{self.stage.node.paths.ovs / self.name}.mgmt"
        options = () if command != "add-flows" else ("--bundle",)
        return self._run("ovs-ofctl", "-O", "OpenFlow15", *options, command, socket, *words)

    def clear(self) -> None:
        """Remove every flow, and wait until it is done."""
        self.ofctl("del-flows")
        self.ofctl("dump-aggregate")

    def count(self) -> int:
        """How many flows it holds."""
        words = self.ofctl("dump-aggregate").replace("\n", " ").split()
        return next(int(word.partition("=")[2]) for word in words if word.startswith("flow_count="))

    def _run(self, *words: str) -> str:
        env = {**os.environ, MARKER: self.stage.lab.config.name}
        done = netns.run_in(
            self.stage.node.namespace,
            lambda: subprocess.run(
                words, env=env, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
            ),
        )
        if done.returncode:
            raise BenchError(f"{' '.join(words[:6])}: {done.stderr.strip()}")
        return done.stdout


class Controller:
    """The production channel's events, one at a time."""

    def __init__(self, listener: Listener, events: "queue.Queue[ChannelEvent]", target: str) -> None:
        self.target = target
        self._listener = listener
        self._events = events

    def next(self, kind: type[T]) -> T:
        """The next event of a kind; others before it are dropped. BenchError when none comes."""
        while True:
            try:
                event = self._events.get(timeout=EVENT_SECONDS)
            except queue.Empty as e:
                raise BenchError(f"the switch sent no {kind.__name__} within {EVENT_SECONDS:g} s") from e
            if isinstance(event, kind):
                return event


@contextmanager
def controller(directory: Path) -> Iterator[Controller]:
    """Listens in `directory`. Once in a process: os-ken's limit."""
    events: queue.Queue[ChannelEvent] = queue.Queue()
    target = f"unix:{directory / 'bench-of.sock'}"
    listener = Listener(target, events.put)
    listener.start()
    try:
        yield Controller(listener, events, target)
    finally:
        listener.stop()
