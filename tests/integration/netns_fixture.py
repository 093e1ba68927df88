"""Named network namespaces for tests: made quickly, removed always, looked at with `ip -j`.

with namespaces("node", "pod") as (node, pod):
    node.ip("link add eth0 type veth peer name eth0 netns " + pod.name)
    node.run(lambda: host.apply(state))
    assert pod.show("addr show dev eth0")[0]["mtu"] == 1450
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from node_agent.netns import NetNs, run_in

T = TypeVar("T")
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def ip(self, arguments: str) -> None:
        """`ip -n NAME ARGUMENTS`; fails the test if it fails."""
        _run("ip", "-n", self.name, *arguments.split())

    def show(self, arguments: str) -> list[dict[str, Any]]:
        """What `ip -j -d -n NAME ARGUMENTS` prints (empty if the device is gone)."""
        done = subprocess.run(
            ["ip", "-j", "-d", "-n", self.name, *arguments.split()], capture_output=True, text=True, timeout=10
        )
        return [entry for entry in json.loads(done.stdout or "[]") if entry]

    def command(self, *command: str, check: bool = True) -> str:
        """Standard output of a program run in the namespace."""
        return _run("ip", "netns", "exec", self.name, *command, check=check)

    def run(self, fn: Callable[[], T]) -> T:
        """What ``fn`` returns when run in the namespace, in a thread of this process."""
        with NetNs.open(self.path) as netns:
            return run_in(netns, fn)


@contextmanager
def namespaces(*roles: str) -> Iterator[tuple[Namespace, ...]]:
    """New namespaces, one per role, gone at the end with every interface in them."""
    with ExitStack() as undo:
        made: list[Namespace] = []
        for role in roles:
            namespace = Namespace(f"weft-{role}-{os.getpid()}-{next(_numbers)}")
            _run("ip", "netns", "add", namespace.name)
            undo.callback(_run, "ip", "netns", "del", namespace.name)
            made.append(namespace)
        yield tuple(made)


def link(a: Namespace, a_if: str, b: Namespace, b_if: str) -> None:
    """A veth pair between two namespaces, both ends up."""
    a.ip(f"link add {a_if} type veth peer name {b_if} netns {b.name}")
    a.ip(f"link set {a_if} up")
    b.ip(f"link set {b_if} up")


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
