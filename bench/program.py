"""`program`: 100,000 flows into an empty bridge through the controller's channel, from barrier to barrier.

The peer is `ovs-ofctl --bundle add-flows` with the same flows in a file, from exec to exit, on another bridge of the
same switch. Each side starts from its own form of the flows, Weft from bytes as the controller's plan keeps them and
ovs-ofctl from lines of text; both send one atomic bundle. `program-values` is the same from Flow values, which have
to be encoded first.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.flows import pod_flows
from bench.metric import Metric, Peer
from bench.stage import BenchError, stage
from bench.stats import median
from bench.switch import Bridge, Controller, controller
from openflow import codec
from openflow.channel import ChangeApplied, Session, SwitchConnected
from openflow.codec import Change, Encoded
from openflow.ofctl import ofctl

LAB = "bench-program"
FLOWS, ROUNDS = 100_000, 7
PAUSE_SECONDS = 1.0
NAME = "ovs-ofctl --bundle"


def run(flows: int = FLOWS, rounds: int = ROUNDS) -> Iterator[Metric]:
    """Program `flows` flows on either side, `rounds` times; medians."""
    wanted = pod_flows(flows)
    with ExitStack() as stack:
        where = stack.enter_context(stage(LAB, weft=False))
        channel = stack.enter_context(controller(where.lab.paths.root))
        lines = where.lab.paths.root / "flows.txt"
        lines.write_text("\n".join(map(ofctl, wanted)) + "\n")
        ours, peer = Bridge(where, "bench-ours"), Bridge(where, "bench-peer")
        peer.create()
        ours.create(channel.target)
        session = channel.next(SwitchConnected).session
        encoded = tuple(map(codec.encode, wanted))
        sides = (
            _Side(ours, lambda: program(channel, session, lambda: encoded)),
            _Side(peer, lambda: _ofctl_seconds(peer, str(lines))),
            _Side(ours, lambda: program(channel, session, lambda: tuple(map(codec.encode, wanted)))),
        )
        for number in range(rounds):
            for side in sides if number % 2 else reversed(sides):
                side.turn(flows)
    mine, theirs, from_values = (median(side.took) for side in sides)
    yield Metric("program", "seconds", mine, rounds, Peer(NAME, theirs))
    yield Metric("program-values", "seconds", from_values, rounds, Peer(NAME, theirs))


@dataclass(slots=True)
class _Side:
    """A way to program a bridge, and the seconds that each turn took."""

    bridge: Bridge
    program: Callable[[], float]
    took: list[float] = field(default_factory=list)

    def turn(self, flows: int) -> None:
        """Fill the bridge and empty it again. The switch frees the memory of flows after it has answered."""
        self.took.append(self.program())
        found = self.bridge.count()
        if found != flows:
            raise BenchError(f"bridge {self.bridge.name} holds {found} flows after programming {flows}")
        self.bridge.clear()
        time.sleep(PAUSE_SECONDS)


def program(channel: Controller, session: Session, flows: Callable[[], tuple[Encoded, ...]]) -> float:
    """Seconds from the answer of one barrier to the answer of the next, with `flows()` made and sent in between."""
    session.apply(Change())
    channel.next(ChangeApplied)
    started = time.perf_counter()
    session.apply(Change(add=flows()))
    applied = channel.next(ChangeApplied)
    seconds = time.perf_counter() - started
    if applied.failures:
        raise BenchError(f"the switch refused {len(applied.failures)} flows: {applied.failures[0]}")
    return seconds


def _ofctl_seconds(peer: Bridge, lines: str) -> float:
    started = time.perf_counter()
    peer.ofctl("add-flows", lines)
    return time.perf_counter() - started
