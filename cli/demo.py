"""`make demo`: a two-node cluster on this machine, shown and torn down again.

Exits with 0 only if all of it worked. Whatever ends it, ctrl-C and SIGTERM included, what it made is removed; after a
kill -9 the next run removes it.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli import console
from cli.errors import CliError
from cli.labs import Get, show_objects, show_reach, told
from cli.layout import Column, Row, heading, table
from cli.show import Choice, show_flows
from cli.where import Where
from lab import interrupts
from lab.cleanup import sweep
from lab.config import LabConfig
from lab.lab import Lab, Obj
from lab.status import ADD_MS

NAME = "demo"
_EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "demo.yaml"
_INTERRUPTED = 130
"""Exit status as a shell tells that SIGINT ended a command."""
_READY_SECONDS, _REACH_SECONDS = 30.0, 2.0


def main() -> None:
    """Run the demo; exit 1 when something did not work, 130 when it was interrupted."""
    interrupts.interrupt_once()
    try:
        status = _run_to_the_end(time.monotonic())
    except CliError as e:
        console.say(f"demo: {e}")
        status = 1
    raise SystemExit(status)


def _run_to_the_end(started: float) -> int:
    """The exit status; what was made is removed, also when the demo is interrupted."""
    try:
        return 0 if run(started) else 1
    except KeyboardInterrupt:
        # It may have come after the lab was made and before anybody held it. Twice equals once.
        with told():
            sweep(NAME)
        console.say("demo: interrupted, everything was removed")
        return _INTERRUPTED


def run(started: float) -> bool:
    """Bring the lab up, show it, take it down; whether everybody reached everybody."""
    with told(), Lab.up(LabConfig(name=NAME), replace=True) as lab:
        works = _show(lab)
    console.write([heading(f"\nEverything was removed. {time.monotonic() - started:.1f} s in all.").pieces])
    return works


def _show(lab: Lab) -> bool:
    with _step("Two nodes, each with its own Open vSwitch"):
        lab.wait_ready(_READY_SECONDS)
        show_objects(NAME, Get("nodes", "", ""))
    with _step(f"Pods in two namespaces, from {_EXAMPLE.parent.name}/{_EXAMPLE.name}"):
        lab.apply(_EXAMPLE)
        lab.wait_pods(_READY_SECONDS)
        show_objects(NAME, Get("pods", "", "wide"))
    with _step("How long the CNI took to attach each (ADD, from exec to exit)"):
        pods = lab.pods()
        console.write(table((Column("POD"), Column("NODE"), Column("ADD", right=True)), _adds(pods), None))
    with _step("Who reaches whom: ping and HTTP, over both families"):
        works = show_reach(NAME, _REACH_SECONDS, http=True)
    with _step("What the switch of node1 does, by name"):
        show_flows(Where(lab=NAME), Choice("node1", "", "", stats=False, raw=False))
    return works


def _adds(pods: list[Obj]) -> Iterator[Row]:
    for pod in pods:
        meta = pod["metadata"]
        took = meta.get("annotations", {}).get(ADD_MS, "?")
        yield Row((f"{meta['namespace']}/{meta['name']}", pod["spec"].get("nodeName", ""), f"{took} ms"))


@contextmanager
def _step(title: str) -> Iterator[None]:
    """A headline, and how long what stands under it took."""
    start = time.monotonic()
    console.write([heading(f"\n{title}", "bold").pieces])
    sys.stdout.flush()
    yield
    console.write([heading(f"({time.monotonic() - start:.1f} s)", "dim").pieces])
    sys.stdout.flush()


if __name__ == "__main__":
    main()
