"""From a CNI request to the attacher's methods, and back to what the plugin prints."""

import time
from collections.abc import Callable, Iterable, Sequence

from cni import netconf, result
from cni.errors import CniError, ErrorCode
from cni.frame import Request
from node_agent.attach import Attacher
from node_agent.metrics import Metrics
from node_agent.status import Reason
from node_agent.turns import Gone, stays


class Verbs:
    """Serves CNI requests. `unready` gives what is wrong with the node so that an ADD cannot begin, `status` all that
    STATUS is to tell; nothing when it takes pods."""

    def __init__(
        self,
        attacher: Attacher,
        unready: Callable[[], Sequence[str]],
        status: Callable[[], Sequence[Reason]],
        metrics: Metrics,
    ) -> None:
        self._attacher = attacher
        self._unready = unready
        self._status = status
        self._metrics = metrics

    def serve(self, request: Request, gone: Gone = stays) -> bytes:
        """What the plugin prints on stdout. Raises CniError, and CallerGone."""
        verb = netconf.verb_of(request.env)
        started = time.monotonic()
        try:
            return self._dispatch(netconf.parse(request.env, request.stdin), gone)
        finally:
            self._metrics.requests.labels(verb).observe(time.monotonic() - started)

    def _dispatch(self, command: netconf.Command, gone: Gone) -> bytes:
        match command:
            case netconf.Add():
                self._demand()
                made = self._attacher.add(command, self._stopwatch("ADD"), gone)
                return result.render(made, command.conf.cni_version)
            case netconf.Del():
                self._attacher.delete(command, self._stopwatch("DEL"), gone)
            case netconf.Check():
                self._attacher.check(command)
            case netconf.Gc():
                self._attacher.collect(command, gone)
            case netconf.Status():
                self._report()
            case netconf.Version():
                raise CniError(ErrorCode.INVALID_ENVIRONMENT, "VERSION is answered by the CNI executable itself")
        return b""

    def _demand(self) -> None:
        reasons = self._unready()
        if reasons:
            raise CniError(ErrorCode.TRY_AGAIN_LATER, _not_ready(reasons))

    def _report(self) -> None:
        reasons = self._status()
        if reasons:
            # The one that says more: 51 is 50, and pods that run are concerned, too.
            raise CniError(max(reason.code for reason in reasons), _not_ready(reason.text for reason in reasons))

    def _stopwatch(self, verb: str) -> Callable[[str], None]:
        last = time.monotonic()

        def lap(step: str) -> None:
            nonlocal last
            now = time.monotonic()
            self._metrics.steps.labels(verb, step).observe(now - last)
            last = now

        return lap


def _not_ready(reasons: Iterable[str]) -> str:
    return "the node's network is not ready: " + "; ".join(reasons)
