"""Calling a CNI executable as a runtime does, with a clock around nothing but exec to exit."""

import json
import os
import time
from collections.abc import Mapping
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
    with ExitStack() as stack:
        given, printed = (_memory_file(stack) for _ in range(2))
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, printed, 1)]
        started = time.perf_counter()
        pid = os.posix_spawn(executable, [str(executable)], env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        ms = (time.perf_counter() - started) * 1000
        stdout = os.pread(printed, 1 << 20, 0)
    if status != 0:
        raise PluginError(f"{env['CNI_COMMAND']}: {executable} failed: {stdout.decode(errors='replace').strip()}")
    return Called(ms, json.loads(stdout or b"{}"))


def _memory_file(stack: ExitStack) -> int:
    fd = os.memfd_create("bench")
    stack.callback(os.close, fd)
    return fd
