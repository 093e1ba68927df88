"""The CNI requests that failed: each is counted, and the last of them are kept with their reasons."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from prometheus_client import Counter

from cni.errors import CniError, as_utf8, shortened
from cni.frame import Request
from cni.netconf import verb_of
from cni.requested import parse_args

PATH = "/cni/failures"
"""Where the agent's health-address serves the `Report`."""

KEPT = 100
_TEXT = 1000
"""Characters that are kept of what a caller sent or was told; a variable may have 64 KiB."""


class Failure(Struct, frozen=True, kw_only=True):
    """A CNI request that failed. `namespace` and `pod` are as the runtime named them, "" when it did not; `code` is
    that of `cni.errors`; `seconds` from its arrival to its answer."""

    time: datetime
    verb: str
    container: str
    ifname: str
    namespace: str
    pod: str
    code: int
    message: str
    seconds: float


class Report(Struct, frozen=True):
    """What an agent tells: the node it serves, since when it runs, its last failures, the newest first."""

    node: str
    since: datetime
    failures: tuple[Failure, ...]


class Failures:
    """Of one agent; methods may be called from many threads at once."""

    def __init__(
        self, node: str, counter: Counter, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`counter` has the labels verb and code."""
        self._node = node
        self._counter = counter
        self._clock = clock
        self._since = clock()
        self._lock = threading.Lock()
        self._last: deque[Failure] = deque(maxlen=KEPT)

    def record(self, request: Request, error: CniError, seconds: float) -> None:
        """`request` was answered with `error`, `seconds` after it came."""
        self._counter.labels(verb_of(request.env), error.code.value).inc()
        failure = _failure(request, error, self._clock(), seconds)
        with self._lock:
            if failure.verb == "STATUS":
                self._forget(failure)
            self._last.appendleft(failure)

    def _forget(self, again: Failure) -> None:
        """Of a STATUS that fails for one reason, which runtimes ask for all the time, the last one is kept alone."""
        for old in [old for old in self._last if (old.verb, old.message) == (again.verb, again.message)]:
            self._last.remove(old)

    def report(self) -> bytes:
        """A `Report` as JSON."""
        with self._lock:
            last = tuple(self._last)
        return msgspec.json.encode(Report(self._node, self._since, last))


def _failure(request: Request, error: CniError, time: datetime, seconds: float) -> Failure:
    args = _arguments(request.env.get("CNI_ARGS", ""))
    return Failure(
        time=time,
        verb=verb_of(request.env),
        container=_kept(request.env.get("CNI_CONTAINERID", "")),
        ifname=_kept(request.env.get("CNI_IFNAME", "")),
        namespace=_kept(args.get("K8S_POD_NAMESPACE", "")),
        pod=_kept(args.get("K8S_POD_NAME", "")),
        code=error.code.value,
        message=_kept(error.msg),
        seconds=seconds,
    )


def _arguments(text: str) -> Mapping[str, str]:
    try:
        return parse_args(text)
    except CniError:  # which may be just what failed
        return {}


def _kept(text: str) -> str:
    return as_utf8(shortened(text, _TEXT))
