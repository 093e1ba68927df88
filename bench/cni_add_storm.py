"""Many ADDs together, in three cases.

`cni-add-storm`: a hundred pods, ten calls at a time, beside the same pods one after the other. `cni-add-50`: fifty
calls at the same moment, until the last is answered, beside one. `cni-add-50-reference`: the same beside fifty calls
of the reference plugins. Each begins on an idle node: Open vSwitch closes the sockets of ports after their DELs have
been answered, one at a time, and takes no ports meanwhile.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from bench.metric import Metric, Peer
from bench.plugin import Called, Plugin, Pod
from bench.reference import NAME, reference
from bench.stage import stage
from bench.stats import median
from lab.names import Family

LAB = "bench-storm"
PODS, AT_A_TIME, ROUNDS, TOGETHER = 100, 10, 5, 50
IDLE_SECONDS = 2.0
"""Several times what Open vSwitch needs to close all ports."""

_Side = tuple[Plugin, Sequence[Pod]]


@dataclass(frozen=True, slots=True)
class _Attached:
    """All pods attached: at what rate, and with how many addresses that another pod has, too."""

    per_second: float
    twice: int


def run(pods: int = PODS, rounds: int = ROUNDS) -> Iterator[Metric]:
    """Attach `pods` pods one at a time and ten at a time, in turns; the rates are medians of `rounds`."""
    with ExitStack() as stack:
        where = stack.enter_context(stage(LAB))
        boxes = where.sandboxes(where.pods(pods, "p"), stack)
        plugin = where.plugin()
        _attach(plugin, boxes[:1], 1)
        sequential, storm = [], []
        for _ in range(rounds):
            sequential.append(_attach(plugin, boxes, 1))
            storm.append(_attach(plugin, boxes, AT_A_TIME))
        together = min(pods, TOGETHER)
        peer = reference(LAB, Family.DUAL, together, stack)
        yield from _together((plugin, boxes[:together]), peer, rounds)
    alone = Peer("one at a time", median([each.per_second for each in sequential]))
    yield Metric("cni-add-storm", "per_second", median([each.per_second for each in storm]), pods * rounds, alone)
    yield Metric("cni-add-storm", "count", sum(each.twice for each in (*storm, *sequential)), pods * rounds)


def _together(ours: _Side, peer: _Side, rounds: int) -> Iterator[Metric]:
    """Medians of `rounds`, in which all of ours, one of ours and all of the peer's have their turns."""
    plugin, pods = ours
    sides = (ours, (plugin, pods[:1]), peer)
    took = [[_attach_together(*side) for side in sides] for _ in range(rounds)]
    everybody, one, theirs = (median(each) for each in zip(*took, strict=True))
    yield Metric("cni-add-50", "p50_ms", everybody, rounds, Peer("one", one))
    yield Metric("cni-add-50-reference", "p50_ms", everybody, rounds, Peer(NAME, theirs))


def _attach_together(plugin: Plugin, pods: Sequence[Pod]) -> float:
    """ADD all at the same moment, then DEL all; ms until the last ADD was answered."""
    time.sleep(IDLE_SECONDS)
    ms, _ = plugin.call_together("ADD", pods)
    plugin.call_together("DEL", pods)
    return ms


def _attach(plugin: Plugin, pods: Sequence[Pod], at_a_time: int) -> _Attached:
    """ADD all, then DEL all again."""
    time.sleep(IDLE_SECONDS)
    with ThreadPoolExecutor(at_a_time) as pool:
        started = time.perf_counter()
        added = list(pool.map(lambda pod: plugin.call("ADD", pod), pods))
        seconds = time.perf_counter() - started
        for _ in pool.map(lambda pod: plugin.call("DEL", pod), pods):
            pass
    return _Attached(len(pods) / seconds, given_twice(added))


def given_twice(added: Sequence[Called]) -> int:
    """How many addresses were given to a pod although another pod had them."""
    counts = Counter(entry["address"] for call in added for entry in call.result["ips"])
    return sum(count - 1 for count in counts.values())
