"""What runs inside the pods of a lab: there are no images, so containers are what their arguments say.

`args: [netexec, ...]` of agnhost is served by the daemon itself; a container with a `command` is that command,
started in the pod's network namespace with the host's file system; a pause container is nothing at all.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab import cleanup, netns, process
from lab.names import MARKER
from lab.netexec import Netexec, NetexecError, NetexecServers, parse_args


class ContainerError(ValueError):
    """A container that the lab cannot run; the message says what would work."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A container that only waits."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process on the host's file system. `env` is added to the daemon's own."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()


Workload = Netexec | Pause | Command


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    image: str
    workload: Workload


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where a pod runs: its key `<namespace>/<name>`, host name, network namespace and directory for logs."""

    key: str
    hostname: str
    namespace: Path
    logs: Path


@dataclass(frozen=True, slots=True)
class ContainerState:
    """`exit_code` is None while it runs. Times are UTC."""

    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    restarts: int = 0

    @property
    def running(self) -> bool:
        return self.exit_code is None


def container(spec: Mapping[str, Any]) -> Container:
    """Read one entry of spec.containers (core/v1 Container); ContainerError when the lab cannot run it."""
    image = spec.get("image", "")
    return Container(spec["name"], image, _workload(spec, image))


def _workload(spec: Mapping[str, Any], image: str) -> Workload:
    command, args = tuple(spec.get("command") or ()), tuple(spec.get("args") or ())
    if command:
        env = tuple((entry["name"], entry["value"]) for entry in spec.get("env") or () if "value" in entry)
        return Command((*command, *args), env)
    if args and args[0] == "netexec":
        try:
            return parse_args(args[1:])
        except NetexecError as e:
            raise ContainerError(f"container {spec['name']}: {e}") from e
    if args == ("pause",) or (not args and _is_pause(image)):
        return Pause()
    raise ContainerError(
        f"container {spec['name']}: the lab has no images, so it cannot run {image!r}; "
        "give it a command, or agnhost's args: [netexec]"
    )


def _is_pause(image: str) -> bool:
    return image.rsplit("/", 1)[-1].partition(":")[0].partition("@")[0] == "pause"


@dataclass(slots=True)
class _Running:
    sandbox: Sandbox
    container: Container
    state: ContainerState
    process: subprocess.Popen[bytes] | None = None
    started: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)


class Containers:
    """The containers of one node. `exited(key)` is called, from a thread, when a pod's process ends by itself."""

    def __init__(self, lab: str, servers: NetexecServers, exited: Callable[[str], None]) -> None:
        self._lab = lab
        self._exited = exited
        self._servers = servers
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], _Running] = {}

    def start(self, sandbox: Sandbox, container: Container, restarts: int = 0) -> ContainerState:
        """Start a container in a pod; raises OSError when a port is taken or there is no such program."""
        running = _Running(sandbox, container, ContainerState(datetime.now(UTC), restarts=restarts))
        if isinstance(container.workload, Netexec):
            self._servers.serve(
                _id(sandbox.key, container.name), sandbox.namespace, sandbox.hostname, container.workload
            )
        elif isinstance(container.workload, Command):
            running.process = self._spawn(sandbox, container, container.workload)
            running.started = process.start_time(running.process.pid) or 0
            threading.Thread(target=self._watch, args=(running,), name="container", daemon=True).start()
        with self._lock:
            self._running[sandbox.key, container.name] = running
        return running.state

    def states(self, key: str) -> dict[str, ContainerState]:
        """The containers of pod `key` that were started, by name."""
        with self._lock:
            return {name: running.state for (pod, name), running in self._running.items() if pod == key}

    def stop(self, key: str) -> None:
        """End every container of pod `key`; stopping nothing succeeds."""
        with self._lock:
            mine = [at for at in self._running if at[0] == key]
            ending = [self._running.pop(at) for at in mine]
        for running in ending:
            self._end(running)

    def close(self) -> None:
        """End every container of every pod."""
        with self._lock:
            keys = sorted({key for key, _ in self._running})
        if keys:
            with ThreadPoolExecutor(max_workers=len(keys)) as pool:
                list(pool.map(self.stop, keys))

    def _spawn(self, sandbox: Sandbox, container: Container, command: Command) -> subprocess.Popen[bytes]:
        env = {**os.environ, **dict(command.env), "HOSTNAME": sandbox.hostname, MARKER: self._lab}
        log = sandbox.logs / f"{sandbox.key.replace('/', '_')}_{container.name}.log"
        return process.spawn(command.argv, env, log, sandbox.namespace)

    def _watch(self, running: _Running) -> None:
        if running.process is None:
            return
        code = running.process.wait()
        if not running.stopping.is_set():
            # A shell's way to say "ended by a signal", which is what Kubernetes shows too.
            code = 128 - code if code < 0 else code
            state = running.state
            running.state = ContainerState(state.started, datetime.now(UTC), code, state.restarts)
            self._exited(running.sandbox.key)

    def _end(self, running: _Running) -> None:
        running.stopping.set()
        if isinstance(running.container.workload, Netexec):
            self._servers.stop(_id(running.sandbox.key, running.container.name))
        if running.process is not None:
            self._end_session(running.process.pid, running.started)

    def _end_session(self, leader: int, started: int) -> None:
        """End a process, then what it started and left behind."""
        process.end(leader, started, signal.SIGTERM)
        for pid in cleanup.marked_processes(self._lab):
            if process.session(pid) == leader and (born := process.start_time(pid)) is not None:
                process.end(pid, born, signal.SIGKILL)


def run_in_pod(lab: str, namespace: Path, argv: Sequence[str]) -> int:
    """Run a command in a pod's network with the caller's terminal; return its exit status.

    Raises FileNotFoundError when there is no such program, NotANamespace when the pod is gone.
    """
    env = {**os.environ, MARKER: lab}
    return netns.run_in(namespace, lambda: subprocess.run(argv, env=env, check=False).returncode)


def capture_in_pod(
    lab: str, namespace: Path, argv: Sequence[str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """The same, for programs that want to read its output; `timeout` in seconds (subprocess.TimeoutExpired)."""
    env = {**os.environ, MARKER: lab}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=env, check=False, capture_output=True, text=True, timeout=timeout)

    return netns.run_in(namespace, run)


def log_directory(logs: Path, key: str) -> Path:
    """Where the output of pod `key` goes: a hash, because names may be longer than a file name."""
    return logs / "pods" / hashlib.blake2s(key.encode(), digest_size=5).hexdigest()


def _id(key: str, container: str) -> str:
    return f"{key}/{container}"
