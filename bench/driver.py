"""A controller's core with a real switch and no other edge: only what it asks of the switch is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.bigcluster import NODE
from bench.stage import BenchError, stage
from bench.switch import Bridge, Controller, controller
from controller import commands as c
from controller.core import Core
from controller.switch import Phase
from openflow.channel import ChangeApplied, FlowsDumped, Session


@contextmanager
def connected(lab: str) -> Iterator[tuple[Bridge, Controller]]:
    """A bridge of a lab of its own, and the channel that it is connecting to."""
    with stage(lab, weft=False) as where, controller(where.lab.paths.root) as channel:
        bridge = Bridge(where, "bench-ours")
        bridge.create(channel.target)
        yield bridge, channel


def in_sync(core: Core, session: Session, channel: Controller) -> int:
    """Hand the core a connected switch and do as it says until it is content; the flow-mods that it sent."""
    return settled(core, c.SwitchUp(session), session, channel)


def settled(core: Core, event: c.Event, session: Session, channel: Controller) -> int:
    """Hand the core an event and do as it says until the switch has what it should; the flow-mods that it sent."""
    sent = _carry_out(core, event)
    while core.phases()[NODE] is not Phase.IDLE:
        if core.phases()[NODE] is Phase.READING:
            event = c.Dumped(session, channel.next(FlowsDumped).flows)
        else:
            failures = channel.next(ChangeApplied).failures
            if failures:
                raise BenchError(f"the switch refused {len(failures)} flows: {failures[0]}")
            event = c.Applied(session, ())
        sent += _carry_out(core, event)
    return sent


def _carry_out(core: Core, event: c.Event) -> int:
    sent = 0
    for command in core.handle(event):
        match command:
            case c.ReadFlows(_, session):
                session.dump_flows()
            case c.SendFlows(_, session, change):
                sent += len(change)
                session.apply(change)
            case c.Refuse(_, reason):
                raise BenchError(f"the core refuses the switch: {reason}")
    return sent
