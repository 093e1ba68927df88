"""A lab for the tests of weftctl, and weftctl as somebody at a terminal would type it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.main import run
from lab.lab import Lab, LabConfig
from lab.names import LabPaths

ROOT = Path(__file__).parent.parent.parent
DEMO = ROOT / "examples" / "demo.yaml"
WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line did."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def table(self) -> list[dict[str, str]]:
        """The rows of a table by title; cells are two spaces or more apart."""
        titles = self.lines[0].split()
        rows = (re.split(r"  +", line.strip()) for line in self.lines[1:])
        return [dict(zip(titles, row, strict=True)) for row in rows]


def weftctl(*arguments: str) -> Ran:
    """A command line, run in this process: a hundred of them would else spend their time starting Python."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = run([*arguments])
    return Ran(status, out.getvalue(), err.getvalue())


def typed(*arguments: str, stdin: str | None = None) -> Ran:
    """A command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT, env=dict(os.environ), input=stdin, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Places:
    """Pods by where they are: two on `node`, one on `other`."""

    here: str
    beside: str
    away: str
    node: str
    other: str


@contextmanager
def demo_lab(name: str) -> Iterator[Lab]:
    """Two nodes with the pods of examples/demo.yaml, all of them ready."""
    with Lab.up(LabConfig(name=name), replace=True) as lab:
        lab.wait_ready(WAIT)
        lab.apply(DEMO)
        lab.wait_pods(WAIT)
        yield lab


def places(lab: Lab) -> Places:
    by_node: dict[str, list[str]] = {}
    for pod in lab.pods():
        by_node.setdefault(pod["spec"]["nodeName"], []).append(key_of(pod))
    (node, (here, beside, *_)), (other, (away, *_)) = sorted(by_node.items())
    return Places(here, beside, away, node, other)


def key_of(pod: dict[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def ip_of(lab: Lab, pod: str, version: int) -> str:
    """The pod's address of that IP version."""
    ips = [str(entry["ip"]) for entry in lab.pod(pod)["status"]["podIPs"]]
    return next(ip for ip in ips if (":" in ip) == (version == 6))


def rundir_of(lab: Lab, node: str) -> Path:
    """Where the Open vSwitch of a node has its sockets."""
    return LabPaths(lab.config.name).node(node).ovs
