"""Where this node's switch finds the active controller: what the Lease says. Pure.

What was once known stays in force while nothing better is: a controller may be away, and its address is worth more
than none. A switch whose last controller is taken away would also drop its flows.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon import targets
from kube.annotations import OPENFLOW, openflow_of
from kube.changes import Applied, Change, Connected, Deleted, Disconnected, Listed, Refused
from kube.errors import ParseError
from kube.lease import Lease, LeaseKey

TAKEOVER_SECONDS = 60.0
"""Within these another controller is active when one is gone, or the API is back: 15 s until it may take the Lease, 2
until it looks, and 5 at most between two tries to list what is in the cluster or, of an agent, to read the Lease."""


@dataclass(frozen=True, slots=True)
class ControllerView:
    """`target` is where the switch is to connect to, None: not known yet. `problem` says why it is not, or may be out
    of date; "" when it is as the Lease says."""

    target: str | None
    problem: str


class ControllerBook:
    """Follows one Lease. Times are monotonic seconds."""

    def __init__(self, key: LeaseKey, *, tls: bool) -> None:
        """`tls`: the agent has certificates, so the switch can connect to a target `ssl:…`."""
        self._key = key
        self._tls = tls
        self._view = ControllerView(None, f"Lease {key} has not been read yet")
        self._followed_since: float | None = None

    def view(self) -> ControllerView:
        return self._view

    def expects(self, now: float) -> bool:
        """Whether the Lease has been followed for so long that some controller has to be there by now. While the API
        is away, none need be: who cannot renew the Lease has to stop."""
        return self._followed_since is not None and now >= self._followed_since + TAKEOVER_SECONDS

    def apply(self, change: Change, now: float) -> None:
        match change:
            case Listed(_, objects, refused):
                found = next((each for each in objects if isinstance(each, Lease)), None)
                if found is not None or not refused:
                    self._take(found)
            case Applied(Lease() as lease):
                self._take(lease)
            case Deleted():
                self._take(None)
            case Refused(_, _, message):
                self._view = ControllerView(self._view.target, message)
            case Connected():
                self._followed_since = now
            case Disconnected():
                self._followed_since = None

    def _take(self, lease: Lease | None) -> None:
        target, problem = None, ""
        try:
            target = openflow_of(lease.meta) if lease is not None else None
        except ParseError as e:
            problem = str(e)
        if lease is None:
            problem = f"there is no Lease {self._key}: is weft-controller running, and its setting lease the same?"
        elif target is None and not problem:
            problem = f"Lease {self._key} has no annotation {OPENFLOW}: no weft-controller has taken it yet"
        elif target is not None and target.startswith("ssl:") and not self._tls:
            problem, target = f"Lease {self._key}: {targets.needs_files(OPENFLOW, target)}", None
        self._view = ControllerView(target or self._view.target, problem)
