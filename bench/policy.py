"""`policy-*`: how long a controller that has listed everything needs to work out the policy flows of all nodes.

A pure Python process, no switches: what is measured is the policy engine of weft-controller and the bytes of its
flows, all of which are kept. `peak_mb` is the most memory that the process ever had, the listed objects included;
`count` is the number of flows of the node that has most. Then one more pod of a kind that is known, one change of a
pod's label and one more policy, each with the flows that they change on all nodes (`-pod`, `-label`, `-policy`).
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from bench import workloads
from bench.metric import Metric, Samples
from bench.workloads import Workload
from controller.owners import Owner
from controller.policy.engine import Engine
from controller.policy.flows import Flows, cell_flows, node_flows

ROUNDS = 100
Plans = dict[str, dict[Owner, Flows]]


def xlarge(namespaces: int = 25_000, nodes: int = 1000) -> Iterator[Metric]:
    """Many namespaces with few pods each."""
    return _case("policy-xlarge", workloads.small_namespaces(namespaces, nodes))


def large_ns(namespaces: int = 100, apps: int = 100, nodes: int = 100) -> Iterator[Metric]:
    """Few namespaces with many pods and policies each."""
    return _case("policy-large-ns", workloads.large_namespaces(namespaces, apps, nodes))


def all_all(pods: int = 10_000, policies: int = 10_000, nodes: int = 100) -> Iterator[Metric]:
    """One namespace, and many policies that say the same."""
    return _case("policy-all-all", workloads.all_to_all(pods, policies, nodes))


def excepted(namespaces: int = 240, policies: int = 20, pods: int = 10, nodes: int = 100) -> Iterator[Metric]:
    """Networks with exceptions."""
    return _case("policy-except", workloads.blocks(namespaces, policies, pods, nodes))


def _case(case: str, load: Workload) -> Iterator[Metric]:
    started = time.perf_counter()
    engine = listed(load)
    plans = {node: plan(engine, node) for node in workloads.node_names(load)}
    yield Metric(case, "seconds", time.perf_counter() - started, 1)
    yield Metric(case, "peak_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)
    yield Metric(case, "count", max(sum(map(len, each.values())) for each in plans.values()), 1)
    engine.touched.watched.update(plans)
    for what, change in CHANGES.items():
        yield from Samples([timed(engine, plans, load, change, place) for place in range(ROUNDS)]).metrics(
            f"{case}-{what}"
        )


def listed(load: Workload) -> Engine:
    """An engine that knows everything."""
    engine = Engine()
    for namespace in load.namespaces:
        engine.set_namespace(namespace)
    engine.set_policies(load.policies)
    for pod in load.pods:
        engine.set_pod(pod)
    return engine


def plan(engine: Engine, node: str) -> dict[Owner, Flows]:
    """The policy flows of a node by the cell that they are in."""
    return node_flows(engine, node)


def timed(engine: Engine, plans: Plans, load: Workload, change: Callable[..., None], place: int) -> float:
    """The ms that a change takes until all plans have it."""
    started = time.perf_counter()
    change(engine, load, place)
    dirty, _ = engine.take_dirty()
    for node, cell in dirty:
        plans[node][cell] = cell_flows(engine, node, cell)
    return (time.perf_counter() - started) * 1000


def _one_more_pod(engine: Engine, load: Workload, place: int) -> None:
    like = load.pods[place]
    number = len(load.pods) + place
    app = like.meta.labels["app"]
    engine.set_pod(workloads.pod(like.meta.namespace, 10_000_000 + place, app, number, load.nodes))


def _another_label(engine: Engine, load: Workload, place: int) -> None:
    pod, like = load.pods[place], load.pods[place + 1]
    labels = {**pod.meta.labels, "app": like.meta.labels["app"]}
    engine.set_pod(replace(pod, meta=replace(pod.meta, labels=labels)))


def _one_more_policy(engine: Engine, load: Workload, place: int) -> None:
    like = load.pods[place]
    app = like.meta.labels["app"]
    engine.set_policies([workloads.except_policy(like.meta.namespace, f"more-{place}", app, 100_000 + place)])


CHANGES: dict[str, Callable[..., None]] = {
    "pod": _one_more_pod,
    "label": _another_label,
    "policy": _one_more_policy,
}
