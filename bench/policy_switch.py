"""`policy-except-switch`: one more policy in force on a switch, in a cluster of the shape of `policy-except`.

The core and the channel are those of weft-controller; what its edges would have heard comes from a cluster in memory.
A round begins with the core hearing of a policy for pods of the node, which lets them reach a network without parts
of it. It ends when the switch has confirmed the flows and has, where its version needs that, forgotten its datapath
flows. `count` is the number of flows on the bridge.
"""

import time
from collections.abc import Iterator

from bench import workloads
from bench.bigcluster import NODE, SYSTEM, listed, node
from bench.driver import connected, in_sync, settled
from bench.metric import Metric, Samples
from bench.stage import BenchError
from bench.workloads import Workload
from controller import commands as c
from controller.bridge import bridge_state
from kube.changes import Applied, Listed
from openflow.channel import SwitchConnected
from ovsdb import appctl
from ovsdb.setup import needs_purge

CASE, LAB = "policy-except-switch", "bench-policy-switch"
ROUNDS = 100


def run(
    namespaces: int = 240, policies: int = 20, pods: int = 10, nodes: int = 100, rounds: int = ROUNDS
) -> Iterator[Metric]:
    """Put `rounds` policies into force, one after the other."""
    load = workloads.blocks(namespaces, policies, pods, nodes)
    with connected(LAB) as (bridge, channel):
        session = channel.next(SwitchConnected).session
        core = listed(_events(load, session.datapath_id))
        in_sync(core, session, channel)
        yield Metric(CASE, "count", bridge.count(), 1)
        rundir = bridge.stage.node.paths.ovs
        stale = needs_purge("netdev", appctl.version(rundir))
        found = []
        for number, change in enumerate(_policies(load, rounds)):
            started = time.perf_counter()
            if settled(core, change, session, channel) == 0:
                raise BenchError(f"policy {number} of {rounds} changed no flow")
            if stale:
                appctl.ask(rundir, "revalidator/purge")
            found.append((time.perf_counter() - started) * 1000)
    yield from Samples(found).metrics(CASE)


def _events(load: Workload, datapath: int) -> Iterator[c.Event]:
    """What a core hears that gets to know the cluster."""
    yield Listed("Node", tuple(node(number, datapath) for number in range(load.nodes)))
    yield Listed("Namespace", load.namespaces)
    yield Listed("Pod", load.pods)
    yield Listed("NetworkPolicy", load.policies)
    yield c.BridgeRead(NODE, bridge_state([], SYSTEM))


def _policies(load: Workload, count: int) -> Iterator[Applied]:
    """Each for an app of which a pod runs on the node."""
    here = [pod.meta for pod in load.pods if pod.node_name == NODE]
    for number in range(count):
        meta = here[number % len(here)]
        title = f"more-{number}"
        yield Applied(workloads.except_policy(meta.namespace, title, meta.labels["app"], 100_000 + number))
