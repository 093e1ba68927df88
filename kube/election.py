"""Who may be active: the decisions of leader election on a Lease, without I/O and without a clock.

Never are two active at once, whatever fails or is late. It rests on three things:

- The API server takes a write only from who has seen the record as it is (resourceVersion).
- A holder counts its time from the *beginning* of its last renewal that was answered, and stops `deadline` later.
- Another waits until it has seen the record unchanged for `lease`, counted from the *end* of the answer that it first
  saw it in. That is later than the renewal's beginning, so the holder has stopped `lease - deadline` before.

Both count on their own clocks, of which only the pace matters: times that the record tells are never compared with
anything (client-go, tools/leaderelection, does the same). The margin of five seconds is for clocks that run at
different pace, and for the process to end.

What it cannot hold: a process that is stopped between looking at its clock and acting on it. And who deletes a Lease
that somebody holds must not have others start at that moment: they take a Lease that is not there for a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from kube.lease import Lease, Term


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds, client-go's by default: how long others leave the holder alone after a renewal, how long it stays
    active without one, and between two tries of anything."""

    lease: int = 15
    deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease > self.deadline > self.retry > 0:
            raise ValueError(f"{self}: lease > deadline > retry > 0 is needed")


@dataclass(frozen=True, slots=True)
class Candidate:
    """`identity` is unlike that of any other process, earlier ones included: a holder that starts again is another.
    `annotations` are written on the Lease by whoever takes it."""

    identity: str
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """Read the Lease."""


@dataclass(frozen=True, slots=True)
class Write:
    """Make the Lease say `body`, a merge patch; with `create`, make it first."""

    body: Mapping[str, Any]
    create: bool = False


@dataclass(frozen=True, slots=True)
class Election:
    """What one candidate knows. Times are seconds of its own clock, which never goes back.

    `lease` is what was last read or written, None when there is none; it has been so since `since` (None: it was
    never looked at). `fresh`: it may be written on without another look. `held` is when the request began by which
    this candidate last took or renewed the Lease; None: it does not hold it. `lost` says why it no longer does: it is
    never active again. `deleted`: a Lease that was there is not.
    """

    candidate: Candidate
    times: Times = Times()
    lease: Lease | None = None
    since: float | None = None
    fresh: bool = False
    held: float | None = None
    lost: str = ""
    deleted: bool = False

    def active(self, now: float) -> bool:
        """Whether this candidate is the one."""
        return self.held is not None and now < self.held + self.times.deadline

    @property
    def holder(self) -> str:
        """Who holds the Lease, as far as is known; "" when nobody does."""
        return "" if self.lease is None else self.lease.term.holder

    # What to do.

    def step(self, now: float, wall: datetime, *, willing: bool) -> Read | Write | None:
        """What to ask the API for now, None: nothing in this round. `wall` is the time of day, for people.

        Who is not `willing` takes nothing, and keeps what it has.
        """
        if self.lost:
            return None
        if not self.fresh:
            return Read()
        if self.held is None and not (willing and now >= self._free_at()):
            return None
        return Write(self._take(wall), create=self.lease is None)

    def resigned(self) -> Election:
        """This candidate has stopped, and is never active again."""
        return self._lose(self.lost or "it was given up")

    def release(self, wall: datetime) -> Write | None:
        """What a candidate that has resigned writes, so that the next need not wait; None when it is not its own."""
        if self.lease is None or self.holder != self.candidate.identity:
            return None
        # A second, because the API allows no less.
        term = replace(self.lease.term, holder="", seconds=1, renewed=wall)
        return Write(term.body({}, self.lease.meta.resource_version))

    # What came of it.

    def found(self, lease: Lease | None, now: float) -> Election:
        """It was read; `now` is when the answer was there."""
        state = self.expired(now)
        if state.since is not None and _version(state.lease) == _version(lease):
            return replace(state, fresh=True)
        seen = replace(state, lease=lease, since=now, fresh=True, deleted=lease is None and state.since is not None)
        if seen.held is not None and seen.holder != self.candidate.identity:
            return seen._lose(f"{seen.holder or 'nobody'} holds it now" if lease else "it was deleted")
        return seen

    def wrote(self, lease: Lease, began: float, now: float) -> Election:
        """A write was answered with this; the request began at `began`."""
        state = replace(self.expired(now), lease=lease, since=now, fresh=True, deleted=False)
        # An answer that took too long is none: the next round writes again.
        return state if state.lost or now >= began + self.times.deadline else replace(state, held=began)

    def outrun(self, now: float) -> Election:
        """A write was refused: the Lease is not what it was taken for. Somebody was faster, or an earlier write that
        was given up has arrived."""
        return replace(self.expired(now), fresh=False)

    def rested(self) -> Election:
        """A round is over. Until the next one, only who holds the Lease knows what it says."""
        return replace(self, fresh=self.fresh and self.held is not None)

    def expired(self, now: float) -> Election:
        """The time is `now`, and nothing came."""
        if self.held is None or self.active(now):
            return self
        return self._lose(f"it could not be renewed for {self.times.deadline:g} s")

    def _lose(self, why: str) -> Election:
        return replace(self, held=None, lost=why)

    def _free_at(self) -> float:
        """When the Lease may be taken."""
        since = 0.0 if self.since is None else self.since
        if self.lease is None:
            return since + (self.times.lease if self.deleted else 0)
        if self.holder in ("", self.candidate.identity):
            return since
        return since + (self.lease.term.seconds or self.times.lease)

    def _take(self, wall: datetime) -> Mapping[str, Any]:
        """As its own from now on."""
        if self.lease is None:
            term, version = Term(transitions=-1), ""
        else:
            term, version = self.lease.term, self.lease.meta.resource_version
        if term.holder != self.candidate.identity or term.acquired is None:
            term = replace(term, acquired=wall, transitions=term.transitions + 1)
        term = replace(term, holder=self.candidate.identity, seconds=self.times.lease, renewed=wall)
        return term.body(self.candidate.annotations, version)


def _version(lease: Lease | None) -> str | None:
    """What changes with every renewal, also where somebody's time of day stands still."""
    return None if lease is None else lease.meta.resource_version
