"""`reconcile`: a controller starts again while a switch holds the 100,000 flows that it should.

The core and the channel are those of weft-controller; what its edges would have heard from Kubernetes and OVSDB comes
from a cluster in memory. `reconcile` is from the switch's connection to the core being content with it,
`reconcile-plan` what goes before: working the desired flows out of the objects. Both must end without a flow-mod.
"""

import gc
import time
from collections.abc import Iterator

from bench.bigcluster import BigCluster, big_cluster, listed
from bench.driver import connected, in_sync
from bench.metric import Metric
from bench.stage import BenchError
from bench.stats import median
from controller.core import Core
from openflow.channel import SwitchConnected

LAB = "bench-reconcile"
FLOWS, ROUNDS = 100_000, 5


def run(flows: int = FLOWS, rounds: int = ROUNDS) -> Iterator[Metric]:
    """Program a switch once, then start the controller's core anew `rounds` times; medians, and all flow-mods."""
    with connected(LAB) as (_, channel):
        session = channel.next(SwitchConnected).session
        cluster = big_cluster(flows, session.datapath_id)
        _, core = plan(cluster)
        if in_sync(core, session, channel) == 0:
            raise BenchError("the first controller had nothing to send to an empty switch")
        plans, reads, sent = [], [], 0
        for _ in range(rounds):
            del core
            gc.collect()  # a controller that starts has no predecessor's memory to clean up
            seconds, core = plan(cluster)
            plans.append(seconds)
            session.close()  # what a switch sees of a controller that ends; it comes back by itself
            session = channel.next(SwitchConnected).session
            started = time.perf_counter()
            sent += in_sync(core, session, channel)
            reads.append(time.perf_counter() - started)
    yield Metric("reconcile", "seconds", median([sum(both) for both in zip(plans, reads, strict=True)]), rounds)
    yield Metric("reconcile", "count", sent, rounds)
    yield Metric("reconcile-plan", "seconds", median(plans), rounds)
    yield Metric("reconcile-read", "seconds", median(reads), rounds)


def plan(cluster: BigCluster) -> tuple[float, Core]:
    """A core that knows the cluster, and the seconds that it took it to work out the flows."""
    events = list(cluster.events())
    started = time.perf_counter()
    core = listed(events)
    return time.perf_counter() - started, core
