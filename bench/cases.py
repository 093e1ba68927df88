"""Every case by name, with the time after which it is given up."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench import (
    cni_add,
    cni_add_storm,
    cni_check,
    memory,
    policy,
    policy_ovn,
    policy_switch,
    port_ready,
    program,
    real_cluster,
    reconcile,
    throughput,
)
from bench.metric import Metric


@dataclass(frozen=True, slots=True)
class Case:
    """`run` yields the metrics; `limit` is in seconds, several times what an idle machine needs."""

    title: str
    run: Callable[[], Iterator[Metric]]
    limit: int


CASES: Mapping[str, Case] = {
    "cni-add": Case("a pod's network, from exec to exit of the CNI executable", cni_add.run, 300),
    "cni-check": Case("is a pod's network as ADD made it", cni_check.run, 120),
    "cni-add-storm": Case("a hundred pods at once", cni_add_storm.run, 300),
    "port-ready": Case("from a port's rows to its flows being in place", port_ready.run, 180),
    "program": Case("100,000 flows into an empty switch", program.run, 300),
    "reconcile": Case("a controller starts again over 100,000 right flows", reconcile.run, 300),
    "throughput": Case("TCP from pod to pod", throughput.run, 240),
    "memory": Case("what the daemons hold in the demo", memory.run, 120),
    "lab-20": Case("twenty nodes on one machine", memory.run_lab_20, 360),
    "policy-xlarge": Case("policy flows of 100,000 pods in 25,000 namespaces", policy.xlarge, 300),
    "policy-large-ns": Case("policy flows of 100 namespaces of 1,000 pods", policy.large_ns, 300),
    "policy-all-all": Case("policy flows of 10,000 policies of everybody", policy.all_all, 300),
    "policy-except": Case("policy flows of networks with exceptions", policy.excepted, 300),
    "policy-except-switch": Case(
        "one more policy on a switch, among networks with exceptions", policy_switch.run, 300
    ),
    "policy-ovn": Case("from a policy's write to the first packet that it denies, 200 pods", policy_ovn.run, 600),
    "real-cluster": Case("installing, fifty pods at once and upgrading on real Kubernetes", real_cluster.run, 3600),
}
