"""The list-and-watch protocol without I/O: what to ask next, and what each answer means.

The reflector's thread does what `step()` says and reports what came of it; every decision is made here, so
each can be tested with bytes. Rules (Kubernetes API concepts, "Efficient detection of changes"):

- List in pages, then watch from the list's resourceVersion; every line, bookmarks included, moves it on.
- A watch that ends or breaks is resumed from the last resourceVersion.
- A watch that the server *refuses* (410 Expired above all) is not resumed: list again.
- Whatever fails waits before the next try, longer each time and by a random share, so that a thousand agents
  do not come back to a restarted API server in the same instant.
- A server that was away and now says that a version is too old is back: the waits begin anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import msgspec

from kube import wire
from kube.changes import Applied, Change, Connected, Deleted, Disconnected, Listed, Refused
from kube.errors import ApiError, KubeError, ParseError, shown
from kube.objects import Object
from kube.resources import Resource

_LIST = msgspec.json.Decoder(wire.WireList)
_LINE = msgspec.json.Decoder(wire.WatchLine)
_STATUS = msgspec.json.Decoder(wire.WireStatus)

_BUSY = frozenset({429, 503})  # the server is busy, not wrong: resume, as a new list would load it more
_EXPIRED = 410
_DOUBLINGS_MAX = 16  # keeps 2**n a sensible number; the cap applies long before


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to retry. Times in seconds; `random` returns [0, 1).

    A delay is between half and all of `first * 2**failures`, at most `cap`. A watch that lived for `settled`
    seconds counts as a success even when nothing happened in it.
    """

    first: float = 0.2
    cap: float = 30.0
    settled: float = 5.0
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        if failures == 0:
            return 0.0
        ceiling = min(self.cap, self.first * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
        return ceiling * (0.5 + self.random() / 2)


@dataclass(frozen=True, slots=True)
class ListPage:
    """Wait `delay` seconds, then ask for a page of the list."""

    continue_token: str
    delay: float


@dataclass(frozen=True, slots=True)
class Watch:
    """Wait `delay` seconds, then watch from `resource_version`."""

    resource_version: str
    delay: float


class _Link(Enum):
    """What the consumer was last told about the connection."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class ListWatch:
    """The state of one list-and-watch. Not thread-safe: it belongs to the thread that drives it.

    Ask `step()`, do it, then report: `page` for a list's answer; `opened`, `line` and `ended` for a watch;
    `failed` for whatever went wrong in either. Each report returns the changes to pass on, in order.
    """

    def __init__(self, resource: Resource[Object], pace: Pace) -> None:
        self._resource, self._pace = resource, pace
        self._version = ""  # the resourceVersion to watch from; "" means list
        self._continue = ""
        self._objects: list[Object] = []
        self._refused: set[str] = set()
        self._failures = 0
        self._away = False
        self._wait = 0.0
        self._opened_at = 0.0
        self._heard = False
        self._watching = False
        self._link = _Link.UNKNOWN

    @property
    def watching(self) -> bool:
        """Whether the watch that was opened is still worth reading: false once it is refused or over."""
        return self._watching

    def step(self) -> ListPage | Watch:
        """What to do next. Asking twice gives the same answer."""
        if self._version:
            return Watch(self._version, self._wait)
        return ListPage(self._continue, self._wait)

    def page(self, body: bytes | msgspec.Raw) -> list[Change]:
        """A page of the list arrived; the last one yields Listed, preceded by what was refused."""
        kind = self._resource.kind
        try:
            page = wire.decode(f"{kind}List", _LIST, body)
        except ParseError as error:
            return self._relist(f"the list cannot be read: {error}")
        kept = (self._keep(raw) for raw in page.items or ())
        changes: list[Change] = [each for each in kept if each is not None]
        self._wait = 0.0
        self._continue = page.metadata.continue_token or ""
        if self._continue:
            return changes
        if not page.metadata.resource_version:
            return [*changes, *self._relist("the list has no resourceVersion")]
        listed = Listed(kind, tuple(self._objects), frozenset(self._refused))
        self._forget_pages()
        self._version = page.metadata.resource_version
        return [*changes, listed]

    def opened(self) -> list[Change]:
        """The server accepted the watch."""
        self._opened_at, self._heard, self._watching, self._away = self._pace.clock(), False, True, False
        if self._link is _Link.UP:
            return []
        self._link = _Link.UP
        return [Connected(self._resource.kind)]

    def line(self, text: bytes) -> list[Change]:
        """A whole line of the watch arrived. After an ERROR line the server ends the watch."""
        try:
            line = _LINE.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            return self._relist(f"a watch line cannot be read: {error}: {shown(text)}")
        if line.type == "ERROR":
            return self.failed(_refusal(line.object))
        self._failures, self._wait = 0, 0.0
        if line.type == "BOOKMARK":
            self._advance(wire.identify(line.object)[1])
            return []
        self._heard = True
        if line.type == "DELETED":
            return self._deleted(line.object)
        return self._applied(line.object)

    def ended(self) -> list[Change]:
        """The watch ended without an error. Servers do that every few minutes: resume without a word."""
        lived = self._lived()
        self._watching = False
        if not (lived or self._heard):
            # It ended at once and told nothing: without a pause this would spin.
            self._failures += 1
        self._wait = self._pace.delay(self._failures)
        return []

    def failed(self, error: KubeError) -> list[Change]:
        """A request failed, or the watch broke off."""
        refused = isinstance(error, ApiError) and error.status not in _BUSY
        if not isinstance(error, ApiError):
            self._away = True
        elif self._away and error.status == _EXPIRED:
            self._away, self._failures = False, 0
        changes = self._relist(str(error)) if refused else self._retry(str(error))
        if isinstance(error, ApiError):
            self._wait = max(self._wait, min(error.retry_after, self._pace.cap))
        return changes

    def _lived(self) -> bool:
        """Whether the watch was open long enough to forgive what failed before it."""
        lived = self._watching and self._pace.clock() - self._opened_at >= self._pace.settled
        if lived:
            self._failures = 0
        return lived

    def _relist(self, reason: str) -> list[Change]:
        self._version = ""
        self._forget_pages()
        return self._retry(reason)

    def _retry(self, reason: str) -> list[Change]:
        self._lived()
        self._watching = False
        self._failures += 1
        self._wait = self._pace.delay(self._failures)
        if self._link is _Link.DOWN:
            return []
        self._link = _Link.DOWN
        return [Disconnected(self._resource.kind, reason)]

    def _forget_pages(self) -> None:
        self._continue, self._objects, self._refused = "", [], set()

    def _advance(self, version: str) -> None:
        self._version = version or self._version

    def _keep(self, raw: msgspec.Raw) -> Refused | None:
        """Add an item to the list in the making; an unreadable one is noted and returned."""
        try:
            self._objects.append(self._resource.parse(raw))
        except ParseError as error:
            key = wire.identify(raw)[0]
            self._refused.add(key)
            return Refused(self._resource.kind, key, str(error))
        return None

    def _applied(self, raw: msgspec.Raw) -> list[Change]:
        try:
            obj = self._resource.parse(raw)
        except ParseError as error:
            key, version = wire.identify(raw)
            self._advance(version)
            return [Refused(self._resource.kind, key, str(error))]
        self._advance(obj.meta.resource_version)
        return [Applied(obj)]

    def _deleted(self, raw: msgspec.Raw) -> list[Change]:
        """A deletion needs the key only, so that an unreadable object can still be forgotten."""
        key, version = wire.identify(raw)
        if not key:
            return self._relist(f"a deletion does not say of what: {shown(bytes(raw))}")
        self._advance(version)
        return [Deleted(self._resource.kind, key)]


def _refusal(raw: msgspec.Raw) -> ApiError:
    try:
        status = _STATUS.decode(raw)
    except msgspec.DecodeError:
        return ApiError(0, "Unknown", f"the watch ended with {shown(bytes(raw))}")
    return status_error(status.code, status)


def status_error(code: int, status: wire.WireStatus) -> ApiError:
    """The ApiError that a Status object of the API server stands for."""
    details = status.details or wire.StatusDetails()
    return ApiError(code, status.reason or "Unknown", status.message, float(details.retry_after_seconds or 0))
