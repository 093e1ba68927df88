"""`cni-add` and `cni-del`: from exec to exit of the CNI executable.

Weft and the reference plugins attach the same pods, with an IPv4 and an IPv6 address, in turns, with a pause after
every call: what a switch or a kernel still does for one call must not be charged to the next, which is the other
side's. On the idle node each pod is deleted before the next is added; `cni-add-crowded` is the same on a node where
the pods before it stay. `cni-add-ipv4` is a node with IPv4 alone, on both sides: for IPv6 the reference plugins wait
until a link is up by sleeping 50 ms if need be, and this one has no sleep. Weft's ADD includes what the peer does not
do: the wait until the controller has programmed the pod's flows.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.metric import Metric, Samples
from bench.plugin import Plugin, Pod
from bench.reference import NAME, reference
from bench.stage import stage
from lab.names import Family

LAB = "bench-cni-add"
PODS = 100
PAUSE_SECONDS = 0.05
_WARM_UP = 3


@dataclass(slots=True)
class _Side:
    """One plugin with its pods, and what its calls took in ms, by verb."""

    plugin: Plugin
    pods: list[Pod]
    took: dict[str, list[float]] = field(default_factory=lambda: {"ADD": [], "DEL": []})

    def call(self, verb: str, number: int) -> None:
        self.took[verb].append(self.plugin.call(verb, self.pods[number]).ms)
        time.sleep(PAUSE_SECONDS)

    def fresh(self) -> "_Side":
        return _Side(self.plugin, self.pods)


def run(pods: int = PODS) -> Iterator[Metric]:
    """`pods` calls of each kind on either side; half as many for IPv4 alone."""
    with ExitStack() as stack:
        sides = _sides(Family.DUAL, pods, stack)
        idle = _idle(sides, pods)
        yield from _samples(idle, "ADD").metrics("cni-add")
        yield from _samples(idle, "DEL").metrics("cni-del")
        crowded = [side.fresh() for side in sides]
        for number in range(pods):
            _turn(crowded, ("ADD",), number)
        yield from _samples(crowded, "ADD").metrics("cni-add-crowded")
    with ExitStack() as stack:
        few = max(1, pods // 2)
        idle = _idle(_sides(Family.IPV4, few, stack), few)
        yield from _samples(idle, "ADD").metrics("cni-add-ipv4")


def _sides(family: Family, pods: int, stack: ExitStack) -> list[_Side]:
    ours = stack.enter_context(stage(LAB, family=family))
    return [
        _Side(ours.plugin(), ours.sandboxes(ours.pods(pods, "ours"), stack)),
        _Side(*reference(LAB, family, pods, stack)),
    ]


def _idle(sides: list[_Side], pods: int) -> list[_Side]:
    """Each pod comes and goes before the next. The first few are not counted: they read programs from disk and make
    what is made once."""
    for number in range(min(_WARM_UP, pods)):
        _turn(sides, ("ADD", "DEL"), number)
    counted = [side.fresh() for side in sides]
    for number in range(pods):
        _turn(counted, ("ADD", "DEL"), number)
    return counted


def _turn(sides: list[_Side], verbs: tuple[str, ...], number: int) -> None:
    for verb in verbs:
        for side in sides:
            side.call(verb, number)


def _samples(sides: list[_Side], verb: str) -> Samples:
    ours, peer = sides
    return Samples(ours.took[verb], peer.took[verb], NAME)
