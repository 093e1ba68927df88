"""The processes of a lab: started in a namespace, marked, recorded on disk, ended by pid.

Whoever starts a lab may be gone when somebody else stops it or kills one of its parts for a test, so what
was started, how, and under which pid is written down. A pid is believed only with its start time: numbers
are reused.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lab import netns
from lab.names import MARKER, LabPaths

STOP_SECONDS = 5.0


class ProcessError(RuntimeError):
    """A process of the lab is missing, or would not start or end."""


class ProcessSpec(msgspec.Struct, frozen=True):
    """How to start one process. `namespace` is the path of a network namespace; None is the caller's own."""

    name: str
    argv: tuple[str, ...]
    log: str
    namespace: str | None = None
    env: Mapping[str, str] = {}


class Record(msgspec.Struct, frozen=True):
    """A process that was started: its spec, pid, and start time in clock ticks since boot.

    `stopped`: it was ended on purpose, through `Processes.stop`.
    """

    spec: ProcessSpec
    pid: int
    started: int
    stopped: bool = False


class Processes:
    """Starts and ends the processes of one lab; any number of these, in any process, work side by side."""

    def __init__(self, paths: LabPaths) -> None:
        self._paths = paths

    def start(self, spec: ProcessSpec) -> int:
        """Start `spec` and return its pid; refuses a second process under the same name."""
        if self.running(spec.name):
            raise ProcessError(f"{spec.name} of lab {self._paths.lab} runs already")
        env = {**os.environ, **spec.env, MARKER: self._paths.lab}
        process = spawn(spec.argv, env, Path(spec.log), Path(spec.namespace) if spec.namespace else None)
        # Whoever ends it reaps it, perhaps another process: a Popen that is dropped must not warn about it.
        process.returncode = 0
        self._write(Record(spec, process.pid, start_time(process.pid) or 0))
        return process.pid

    def start_again(self, name: str) -> int:
        """Start what was started under `name` before, the same way."""
        return self.start(self._record(name).spec)

    def stop(self, name: str, signum: signal.Signals = signal.SIGTERM, patience: float = STOP_SECONDS) -> None:
        """End the process and wait until it is gone; after `patience` seconds it is killed.

        A process that has ended already is fine; one that never was is a ProcessError.
        """
        record = self._record(name)
        self._write(msgspec.structs.replace(record, stopped=True))
        if not end(record.pid, record.started, signum, patience):
            raise ProcessError(f"{name} (pid {record.pid}) survives SIGKILL")

    def running(self, name: str) -> bool:
        path = self._path(name)
        return path.exists() and is_running(self._record(name))

    def pid(self, name: str) -> int:
        """The pid of the running process `name`; ProcessError if it does not run."""
        record = self._record(name)
        if not is_running(record):
            raise ProcessError(f"{name} of lab {self._paths.lab} does not run; its log is {record.spec.log}")
        return record.pid

    def died(self) -> list[str]:
        """The names of those that ended though nobody stopped them."""
        return [each.spec.name for each in self.records() if not each.stopped and not is_running(each)]

    def records(self) -> list[Record]:
        """Everything that was started, sorted by name, running or not."""
        found = sorted(self._paths.processes.glob("*.json"))
        return sorted((_read(path) for path in found), key=lambda record: record.spec.name)

    def _record(self, name: str) -> Record:
        try:
            return _read(self._path(name))
        except FileNotFoundError as e:
            raise ProcessError(f"lab {self._paths.lab} has no process {name!r}") from e

    def _path(self, name: str) -> Path:
        return self._paths.processes / f"{name.replace('/', '_')}.json"

    def _write(self, record: Record) -> None:
        path = self._path(record.spec.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.rename(path)


def spawn(
    argv: Sequence[str], env: Mapping[str, str], log: Path, namespace: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a session leader with its output appended to `log`; OSError when there is no such program.

    A session of its own, so that ctrl-C in the terminal that starts a lab reaches the starter alone, which
    then takes everything down in order.
    """
    log.parent.mkdir(parents=True, exist_ok=True)

    def popen() -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    return netns.run_in(namespace, popen) if namespace else popen()


def is_running(record: Record) -> bool:
    return start_time(record.pid) == record.started


def start_time(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None when it does not run (a zombie does not)."""
    stat = _stat(pid)
    return None if stat is None or stat.state in "ZX" else stat.started


def parent(pid: int) -> int:
    """The parent of `pid`; 0 when there is none or `pid` is gone."""
    stat = _stat(pid)
    return stat.parent if stat else 0


def session(pid: int) -> int:
    """The session of `pid`, which is the pid of its leader; 0 when `pid` is gone."""
    stat = _stat(pid)
    return stat.session if stat else 0


def resident_kib(pid: int) -> int:
    """Resident memory of `pid` in KiB (VmRSS, proc(5)); 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def send(pid: int, started: int, signum: signal.Signals) -> None:
    """Signal `pid` if it still is the process that began at `started`."""
    with _opened(pid) as fd:
        # The descriptor first, then the check: from here on the number cannot be another process's.
        if fd is not None and start_time(pid) == started:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signum)


def end(pid: int, started: int, signum: signal.Signals, patience: float = STOP_SECONDS) -> bool:
    """Signal that process, kill it if it is still there after `patience` seconds; True when it is gone."""
    with _opened(pid) as fd:
        if fd is None or start_time(pid) != started:
            reap(pid, started)
            return True
        for attempt in (signum, signal.SIGKILL):
            send(pid, started, attempt)
            if select.select([fd], [], [], patience)[0]:
                break
        reap(pid, started)
        return start_time(pid) != started


def reap(pid: int, started: int) -> None:
    """Collect that process if it is dead and a child of the caller's."""
    stat = _stat(pid)
    if stat is not None and stat.state == "Z" and stat.started == started:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


class _Stat(msgspec.Struct, frozen=True):
    state: str
    parent: int
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """The fields of /proc/<pid>/stat that matter here (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


@contextmanager
def _opened(pid: int) -> Iterator[int | None]:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _read(path: Path) -> Record:
    return msgspec.json.decode(path.read_bytes(), type=Record)
