"""An OpenFlow listener in a process of its own, driven by lines of JSON, for tests of the channel.

os-ken keeps its applications in one registry for the process, and its threads never end: a listener in the test's
own process could neither be had twice nor be left. Run as a program this file is the process; imported it drives one.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pki_fixture import Certified

WAIT = 30.0  # seconds; a bound on hanging, never the expected time
ROOT = Path(__file__).resolve().parents[2]

Told = dict[str, Any]


class Channel:
    """The process from the test's side: what it told, in order, and commands to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address: Any = None
        self.log: list[str] = []
        self._told: queue.Queue[Told] = queue.Queue()
        for work in (self._read, self._read_log):
            threading.Thread(target=work, daemon=True).start()

    def _read_log(self) -> None:
        self.log.extend(self.process.stderr or ())

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._told.put(json.loads(line))

    def next(self, event: str, session: int | None = None) -> Told:
        """The next thing told, which must be this."""
        told = self.any()
        assert told["event"] == event, told
        assert session is None or told["session"] == session, told
        return told

    def any(self) -> Told:
        """The next thing told, whatever it is."""
        return self._told.get(timeout=WAIT)

    def quiet(self) -> bool:
        """Whether nothing has been told that the test has not taken."""
        self.threads()
        return self._told.empty()

    def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def dump(self, session: int) -> dict[str, str]:
        """All flows of a switch: key → body, in hex."""
        self.tell(do="dump", session=session)
        flows: dict[str, str] = self.next("dumped", session)["flows"]
        return flows

    def apply(self, session: int, add: dict[str, str] | None = None, delete: list[str] | None = None) -> list[Told]:
        """Send a change and wait for its end: what was refused."""
        self.tell(do="apply", session=session, add=add or {}, delete=delete or [])
        failures: list[Told] = self.next("applied", session)["failures"]
        return failures

    def wait_log(self, text: str) -> None:
        """Return when a line of the process's log has the text."""
        deadline = time.monotonic() + WAIT
        while not any(text in line for line in self.log):
            assert time.monotonic() < deadline, f"not in the log: {text}"
            time.sleep(0.02)

    def threads(self) -> int:
        """How many threads the process has. Everything told before is in the queue when this returns."""
        self.tell(do="threads")
        held = []
        while (told := self._told.get(timeout=WAIT))["event"] != "threads":
            held.append(told)
        for each in held:
            self._told.put(each)
        count: int = told["count"]
        return count

    def wait_threads(self, most: int) -> None:
        """Return when there are at most so many threads."""
        deadline = time.monotonic() + WAIT
        while (count := self.threads()) > most:
            assert time.monotonic() < deadline, f"{count} threads, at most {most} expected"
            time.sleep(0.05)


@contextmanager
def channel(
    target: str,
    *,
    netns: str = "",
    echo_interval: float = 5.0,
    tls: Certified | None = None,
    tls_seconds: float = 10.0,
) -> Iterator[Channel]:
    """A listener on `target`, in a network namespace if one is named; ended with the block. `tls`: its certificate;
    then peers that come to nothing are told as "refused"."""
    inside = ["ip", "netns", "exec", netns] if netns else []
    files = [str(path) for path in (tls.ca, tls.certificate, tls.key)] if tls else []
    process = subprocess.Popen(
        [*inside, sys.executable, __file__, target, str(echo_interval), str(tls_seconds), *files],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        made = Channel(process)
        made.address = made.next("listening")["address"]
        yield made
    finally:
        process.kill()
        process.wait(WAIT)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


# The process.


def main() -> None:
    # Here, because the test's own process has no use for os-ken.
    from controller.secured import Secured
    from daemon import logs
    from daemon.certificates import TlsFiles
    from daemon.refusals import Refusals
    from daemon.tls import Credentials
    from openflow.channel import Listener
    from openflow.codec import Change, Encoded

    logs.configure()  # or what is logged would go where we speak
    sessions: list[Any] = []
    lock = threading.Lock()

    def say(event: str, **more: Any) -> None:
        with lock:
            print(json.dumps({"event": event, **more}), flush=True)

    def post(event: Any) -> None:
        name = type(event).__name__
        if name == "SwitchConnected":
            sessions.append(event.session)
        more = {"session": sessions.index(event.session)}
        if name == "SwitchConnected":
            say("connected", datapath=event.session.datapath_id, **more)
        elif name == "SwitchGone":
            say("gone", **more)
        elif name == "FlowsDumped":
            say("dumped", flows={key.hex(): body.hex() for key, body in event.flows.items()}, **more)
        else:
            say("applied", failures=[{"key": f.key.hex(), "reason": f.reason} for f in event.failures], **more)

    target, echo_interval, tls_seconds, *files = sys.argv[1:]
    refusals = Refusals(lambda _, reason: say("refused", reason=reason))
    tls = Secured("openflow", Credentials(TlsFiles(*map(Path, files))).server, refusals) if files else None
    listener = Listener(target, post, tls, echo_interval=float(echo_interval), tls_seconds=float(tls_seconds))
    listener.start()
    say("listening", address=listener.address)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "threads":
            say("threads", count=threading.active_count())
            continue
        session = sessions[command["session"]]
        if command["do"] == "dump":
            session.dump_flows()
        elif command["do"] == "refuse":
            session.refuse(command["reason"])
        else:
            add = tuple(Encoded(bytes.fromhex(key), bytes.fromhex(body)) for key, body in command["add"].items())
            session.apply(Change(add, tuple(map(bytes.fromhex, command["delete"]))))
            if command.get("returned"):  # else the switch's answer may be told before or after this
                say("returned", session=command["session"])


if __name__ == "__main__":
    main()
