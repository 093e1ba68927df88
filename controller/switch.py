"""One node's switch: what it should hold, what is on its way, what it has confirmed. No I/O.

Methods take what happened and return what to do. At most one command is under way; what changes meanwhile is
sent together afterwards, so a storm of small changes becomes few bundles by itself.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from controller.owners import Kind, Owner
from controller.plan import NodePlan
from openflow.codec import Change, Encoded

LEFT_OUT_AT_MOST = 100
"""Flows that a switch may refuse before it is left alone for a while: each costs a reading of all of them."""


class Phase(Enum):
    """ABSENT: not connected. READING: its flows were asked for. IDLE: it holds what was last sent. SENDING: a
    change is on its way. FAILED: it refused some of it, and has to be read to know what it holds."""

    ABSENT = "absent"
    READING = "reading"
    IDLE = "idle"
    SENDING = "sending"
    FAILED = "failed"


class Staleness(IntEnum):
    """What a change may have left behind in a datapath that remembers wrongly. LATER: only what concerns ports that
    came or went, whose packets were dropped before or will be; it can wait a moment. NOW: anything else."""

    NONE = 0
    LATER = 1
    NOW = 2


@dataclass(frozen=True, slots=True)
class Read:
    """Command: ask the switch for all its flows."""


@dataclass(frozen=True, slots=True)
class Send:
    """Command: apply this change, then a barrier."""

    change: Change


Command = Read | Send


@dataclass(slots=True)
class Switch:
    """State of one switch. `known`: its flows have been read since the process started."""

    plan: NodePlan = field(default_factory=NodePlan)
    phase: Phase = Phase.ABSENT
    known: bool = False
    _waiting: set[Owner] = field(default_factory=set)
    _sending: set[Owner] = field(default_factory=set)
    _sent: Change = field(default_factory=Change)
    _sent_staleness: Staleness = Staleness.NONE
    _left_behind: Staleness = Staleness.NONE
    _pressing: bool = False

    @property
    def unconfirmed(self) -> bool:
        """Whether owners wait for the switch to confirm their flows: it is not expected to be in order."""
        return bool(self._waiting)

    def holds(self, owner: Owner) -> bool:
        """Whether the switch has confirmed the owner's flows as they are now."""
        return owner not in self._waiting and owner not in self._sending

    def update(self, flows: Mapping[Owner, Sequence[Encoded]]) -> None:
        """New desired flows of some owners. Raises PlanError."""
        pressing = not all(self._comes_or_goes(owner, each) for owner, each in flows.items())
        self.plan.update(flows)
        self._pressing |= pressing
        self._waiting |= flows.keys()

    def take_staleness(self) -> Staleness:
        """What changes of the switch's flows may have left behind since this was asked last."""
        found, self._left_behind = self._left_behind, Staleness.NONE
        return found

    def connected(self) -> Command:
        """It is not known what became of a change that was on its way in an earlier connection, whoever sent it."""
        self._left_behind = Staleness.NOW
        self.plan.forgive()
        self.phase = Phase.READING
        return Read()

    def gone(self) -> None:
        self.phase = Phase.ABSENT
        self._waiting |= self._sending
        self._sending = set()

    def dumped(self, installed: Mapping[bytes, bytes]) -> tuple[Send | None, set[Owner]]:
        """The switch's flows were read: the difference to send, and the owners confirmed if there is none."""
        change = self.plan.difference(installed)
        self.known = True
        self._pressing = len(change) > 0  # nobody knows what it was that differs
        return self._begin(change)

    def advance(self) -> tuple[Send | None, set[Owner]]:
        """Send what has changed, if the switch is free to take it; else it is sent later."""
        if self.phase is not Phase.IDLE or not self._waiting:
            return None, set()
        return self._begin(self.plan.take_change())

    def applied(self) -> set[Owner]:
        """All of the change is in place. Returns the owners that are now confirmed; call `advance` next."""
        done, self._sending, self._sent = self._sending, set(), Change()
        self._left_behind = max(self._left_behind, self._sent_staleness)
        self.phase = Phase.IDLE
        return self._confirmed(done - self._waiting)

    def refused(self, keys: Set[bytes]) -> Command | None:
        """The switch refused flows of the change. It may have taken the rest, or nothing: it has to be read.

        Flows that are named are left out from now on, so that they do not keep the others from the switch. Where
        none is, or too many are, there is nothing to do but to try again after a while (`audit`).
        """
        self._waiting |= self._sending
        sent, self._sending, self._sent = self._sent, set(), Change()
        self._left_behind = Staleness.NOW
        self.phase = Phase.FAILED
        named = [flow for flow in sent.add if flow.key in keys]
        self.plan.refuse(named)
        return self._read() if named and self.plan.left_out <= LEFT_OUT_AT_MOST else None

    def audit(self) -> Command | None:
        """Read the switch again, to find and repair what somebody else changed or what it had refused."""
        if self.phase not in (Phase.IDLE, Phase.FAILED):
            return None
        self.plan.forgive()
        return self._read()

    def _comes_or_goes(self, owner: Owner, flows: Sequence[Encoded]) -> bool:
        before = self.plan.flows_of(owner)
        return before == tuple(flows) or (owner.kind is Kind.PORT and not (before and flows))

    def _read(self) -> Command:
        self.phase = Phase.READING
        return Read()

    def _begin(self, change: Change) -> tuple[Send | None, set[Owner]]:
        ours, self._waiting = self._waiting, set()
        if len(change) == 0:
            self.phase = Phase.IDLE
            return None, self._confirmed(ours)
        self._sending, self._sent = ours, change
        self._sent_staleness = Staleness.NOW if self._pressing else Staleness.LATER
        self._pressing = False
        self.phase = Phase.SENDING
        return Send(change), set()

    def _confirmed(self, owners: set[Owner]) -> set[Owner]:
        """Those of the owners all of whose flows the switch has; the others go on waiting."""
        without = {owner for owner in owners if self.plan.holds_back(owner)}
        self._waiting |= without
        return owners - without
