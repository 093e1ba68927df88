"""`cni-check`: from exec to exit of the CNI executable, beside what it takes to say its version, for which it needs
no agent. A runtime that runs CHECK after every ADD waits for the difference."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from bench.metric import Metric, Samples
from bench.stage import stage

LAB = "bench-check"
PODS, ROUNDS = 20, 10


def run(pods: int = PODS, rounds: int = ROUNDS) -> Iterator[Metric]:
    """Every pod is checked `rounds` times, in turns with the version."""
    with ExitStack() as stack:
        where = stack.enter_context(stage(LAB))
        plugin = where.plugin()
        boxes = where.sandboxes(where.pods(pods, "p"), stack)
        checking = [
            replace(plugin, config={**plugin.config, "prevResult": plugin.call("ADD", box).result}) for box in boxes
        ]
        checks, versions = [], []
        for _ in range(rounds):
            for box, own in zip(boxes, checking, strict=True):
                checks.append(own.call("CHECK", box).ms)
                versions.append(plugin.call("VERSION", box).ms)
        for box in boxes:
            plugin.call("DEL", box)
    yield from Samples(checks, versions, "VERSION").metrics("cni-check")
