"""Calling a CNI executable as a runtime does, with a clock around nothing but exec to exit."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import netns


class PluginError(RuntimeError):
    """The plugin refused; the message has what it printed."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A container that the plugin is called for. `args` become CNI_ARGS."""

    container: str
    netns: Path
    args: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Called:
    """How a call went: `ms` from exec to exit."""

    ms: float
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A CNI executable with its network configuration, run in the network namespace at `namespace`."""

    executable: Path
    config: Mapping[str, Any]
    namespace: Path
    env: Mapping[str, str]

    def call(self, verb: str, pod: Pod) -> Called:
        """Run the executable to its end. Raises PluginError when its exit status is not 0."""
        env = {**self.env, **self._variables(verb, pod)}
        stdin = json.dumps(self.config).encode()
        return netns.run_in(self.namespace, lambda: execute(self.executable, env, stdin))

    def call_together(self, verb: str, pods: Sequence[Pod]) -> tuple[float, list[dict[str, Any]]]:
        """Start it for all pods, one right after the other: ms until the last has ended, and the results."""
        stdin = json.dumps(self.config).encode()
        calls = [{**self.env, **self._variables(verb, pod)} for pod in pods]
        return netns.run_in(self.namespace, lambda: _execute_together(self.executable, calls, stdin))

    def _variables(self, verb: str, pod: Pod) -> dict[str, str]:
        return {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": pod.container,
            "CNI_NETNS": str(pod.netns),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in pod.args.items()),
            "CNI_PATH": str(self.executable.parent),
        }


def execute(executable: Path, env: Mapping[str, str], stdin: bytes) -> Called:
    """Run a plugin in the calling thread's network namespace.

    Its stdin and stdout are files in memory and it is started by posix_spawn(3), so that what is measured is the
    plugin and not this process copying page tables and polling pipes.
    """
    ms, (result,) = _execute_together(executable, [env], stdin)
    return Called(ms, result)


def _execute_together(
    executable: Path, calls: Sequence[Mapping[str, str]], stdin: bytes
) -> tuple[float, list[dict[str, Any]]]:
    with ExitStack() as stack:
        files = [(_memory_file(stack, stdin), _memory_file(stack)) for _ in calls]
        started = time.perf_counter()
        pids = [_spawn(executable, env, *each) for env, each in zip(calls, files, strict=True)]
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
        ms = (time.perf_counter() - started) * 1000
        printed = [os.pread(stdout, 1 << 20, 0) for _, stdout in files]
    for env, status, stdout in zip(calls, statuses, printed, strict=True):
        if status != 0:
            said = stdout.decode(errors="replace").strip()
            raise PluginError(f"{env['CNI_COMMAND']}: {executable} failed: {said}")
    return ms, [json.loads(stdout or b"{}") for stdout in printed]


def _spawn(executable: Path, env: Mapping[str, str], stdin: int, stdout: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1)]
    return os.posix_spawn(executable, [str(executable)], env, file_actions=actions)


def _memory_file(stack: ExitStack, content: bytes = b"") -> int:
    fd = os.memfd_create("bench")
    stack.callback(os.close, fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
