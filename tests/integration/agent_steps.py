"""The node's agent, real in every part, which can be made to stop in the middle of a request.

    python agent_steps.py DIRECTORY --config FILE

A request with `STOP_BEFORE=n` in its CNI_ARGS stops before the n-th thing that its threads do to the world, and goes
on when there is a file DIRECTORY/go-on; with 0 it is only looked at. What a thread does to the world is every call of
a C function of the names below, as for netlink messages, ioctls and sysctls, and every transaction that it asks for.
Nobody has to list them, so a new one is a step at once. The last step of each request is its answer.

DIRECTORY/told has a line of JSON for every request that stopped, and for every one that ended and was looked at.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from cni.frame import Request
from node_agent import main, verbs
from node_agent.netlink import SharedNetlink
from node_agent.netns import _describe
from node_agent.turns import Gone
from ovsdb.session import OvsdbSession

CHANGING = {"send", "sendall", "sendto", "sendmsg", "ioctl", "write", "pwrite", "unlink", "mkdir"}
_PROJECT = Path(main.__file__).parent.parent
_OURS = tuple(f"{_PROJECT / package}/" for package in ("node_agent", "ovsdb"))
# What is asked of the API, of the switch and of a namespace, and told in a log: that leaves nothing.
_NO_MATTER = tuple(f"{_PROJECT}/{part}" for part in ("kube/", "openflow/", "daemon/", "ovsdb/appctl.py"))
# One step each, and not further inside: a request that stopped with their locks would stop all others.
_SHARED = (OvsdbSession.submit.__code__, SharedNetlink.execute.__code__, SharedNetlink.alone.__code__)
_POLL_SECONDS = 0.05

_of_thread = threading.local()


class Steps:
    """The steps of one request, whichever of its threads takes them."""

    def __init__(self, request: Request, stop_before: int, directory: Path) -> None:
        self._about = {"verb": request.env["CNI_COMMAND"], "container": request.env["CNI_CONTAINERID"]}
        self._stop_before = stop_before
        self._directory = directory
        self._names: list[str] = []

    def follow(self) -> None:
        """Count what this thread does from now on."""
        _of_thread.steps = self
        sys.setprofile(self._called)

    def end(self) -> None:
        """To be called where the answer is ready."""
        sys.setprofile(None)
        del _of_thread.steps
        self._step("answer")
        self._tell("ended")

    def _called(self, frame: FrameType, event: str, what: object) -> None:
        if event == "call" and frame.f_code in _SHARED:
            self._step(frame.f_code.co_qualname)
        name = getattr(what, "__name__", "") if event == "c_call" else ""
        if name in CHANGING and (asker := _asker(frame)):
            self._step(f"{asker}: {name}")

    def _step(self, name: str) -> None:
        self._names.append(name)
        if len(self._names) == self._stop_before:
            self._tell("stopped")
            while not (self._directory / "go-on").exists():
                time.sleep(_POLL_SECONDS)

    def _tell(self, what: str) -> None:
        line = json.dumps({"what": what, **self._about, "steps": self._names})
        fd = os.open(self._directory / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{line}\n".encode())
        os.close(fd)


def _asker(frame: FrameType | None) -> str:
    """The function of Weft on whose behalf a C function is called; "" when it is of no matter here."""
    asker = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if frame.f_code in (*_SHARED, _describe.__code__) or file.startswith(_NO_MATTER) or "structlog" in file:
            return ""
        if not asker and file.startswith(_OURS):
            asker = f"{Path(file).stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return asker


def look_at_requests(directory: Path) -> None:
    serve = verbs.Verbs.serve

    def looked_at(self: verbs.Verbs, request: Request, gone: Gone) -> bytes:
        _, asks, number = request.env.get("CNI_ARGS", "").partition("STOP_BEFORE=")
        if not asks:
            return serve(self, request, gone)
        steps = Steps(request, int(number.partition(";")[0]), directory)
        steps.follow()
        try:
            return serve(self, request, gone)
        finally:
            steps.end()

    verbs.Verbs.serve = looked_at  # type: ignore[method-assign]


def look_at_their_threads() -> None:
    start = threading.Thread.start

    def started(self: threading.Thread) -> None:
        steps: Steps | None = getattr(_of_thread, "steps", None)
        if steps is not None:
            run = self.run

            def followed() -> None:
                steps.follow()
                run()

            self.run = followed  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = started  # type: ignore[method-assign]


if __name__ == "__main__":
    look_at_requests(Path(sys.argv.pop(1)))
    look_at_their_threads()
    main.main()
