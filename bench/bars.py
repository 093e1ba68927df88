"""What was promised, and whether it was kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.metric import Metric

Found = Mapping[tuple[str, str], Metric]
"""Metrics by case and metric."""


class Missing(LookupError):  # noqa: N818 - named as what went wrong
    """A bar cannot be judged: its metric was not measured."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`value(found)` must not exceed `at_most`. `why` says what stands in the way where it does."""

    case: str
    promise: str
    value: Callable[[Found], float]
    at_most: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar with the value that was found; None when it was not measured."""

    bar: Bar
    value: float | None

    @property
    def met(self) -> bool:
        return self.value is not None and self.value <= self.bar.at_most

    def __str__(self) -> str:
        if self.value is None:
            return "not measured"
        if self.bar.at_most == 0:
            return "met" if self.met else f"missed: {self.value:g}"
        off = abs(self.value / self.bar.at_most - 1)
        return f"met, {off:.0%} below" if self.met else f"missed by {off:.0%}"


def judge(metrics: Iterable[Metric], bars: Sequence[Bar]) -> list[Verdict]:
    """A verdict for every bar."""
    found = {(each.case, each.metric): each for each in metrics}
    return [Verdict(bar, _value(bar, found)) for bar in bars]


def _value(bar: Bar, found: Found) -> float | None:
    try:
        return bar.value(found)
    except Missing:
        return None


def ours(case: str, metric: str) -> Callable[[Found], float]:
    """Our figure itself."""
    return lambda found: _metric(found, case, metric).ours


def ratio(case: str, metric: str) -> Callable[[Found], float]:
    """Ours over the peer's."""

    def of(found: Found) -> float:
        value = _metric(found, case, metric).ratio
        if value is None:
            raise Missing(f"{case} {metric} has no peer")
        return value

    return of


def beyond(case: str, metric: str) -> Callable[[Found], float]:
    """Ours less the peer's."""

    def of(found: Found) -> float:
        each = _metric(found, case, metric)
        if each.peer is None:
            raise Missing(f"{case} {metric} has no peer")
        return each.ours - each.peer.value

    return of


def spread(case: str) -> Callable[[Found], float]:
    """Our p99 over our p50."""
    return lambda found: _metric(found, case, "p99_ms").ours / _metric(found, case, "p50_ms").ours


def _metric(found: Found, case: str, metric: str) -> Metric:
    try:
        return found[case, metric]
    except KeyError as e:
        raise Missing(f"{case} {metric}") from e


_CNI_ADD = (
    "An ADD ends when the controller has confirmed the pod's flows, and relay, agent, ovsdb-server, ovs-vswitchd "
    "and controller take turns on it. Of two cores, ovs-vswitchd keeps one: it configures itself anew when the "
    "link comes, for the port's row and when the link has a carrier, and each time looks at every port and reads "
    "all routes, which is also why a crowded node is slower. All others share the second core, and need 6 ms of "
    "it, much of it because nothing of theirs is in its caches: what was also timed in a loop takes half there, "
    "or less. Where the transaction is sent from, whether the pod's end comes up before the flows or after, and "
    "what priority the processes have made no difference that could be measured."
)
_CNI_DEL = (
    "A DEL ends when the controller has confirmed that the switch has forgotten the pod's flows, and the row and the "
    "device are gone after that: relay, agent, ovsdb-server, ovs-vswitchd and controller take turns on it."
)
_STORM = (
    "One ADD at a time keeps two cores two thirds busy already, since several processes work on it; what is left to "
    "gain is that last third, and that ovs-vswitchd and ovsdb-server take many ports together."
)
_TOGETHER = (
    "One ADD keeps two cores busy for most of its time, so fifty are bound by what the processes of an ADD "
    "compute: 4 ms each in the agent, of which Python lets one thread compute at a time, and as much in all "
    "others. Starting fifty executables alone takes as long as two or three ADDs. The reference plugins, which wait "
    "for no controller, take longer for fifty than this does: cni-add-50-reference."
)
_PORT_READY = (
    "For either side ovs-vswitchd has to open the port and to take the flows, which is more than half of our time "
    "and leaves less than the bar where OVN is quick (the bar was set where OVN took 35.8 ms). The rest is "
    "hand-overs between threads and processes, which cost a Python process more than one in C."
)
_PROGRAM = (
    "For either side Open vSwitch has to take and commit the bundle. Encoding Flow values costs 1.4 µs a flow before "
    "that; the controller does it when it plans, once, and not when it sends."
)
_POLICY = (
    "Half of the time goes into the engine's objects, half into the flows' bytes: each costs microseconds in Python, "
    "and as much again for memory that is touched for the first time."
)

_CROWD = (
    "Two cores run both nodes and the control plane, and are busy all the time with fifty sandboxes, containers and "
    "probes. Of a pod's time in it, what Weft's agent takes is the case real-cluster-cni-add."
)

BARS: Sequence[Bar] = (
    Bar("cni-add", "p50 at most that of the reference plugins", ratio("cni-add", "p50_ms"), 1.0, _CNI_ADD),
    Bar("cni-add", "p50 at most 0.75 times that", ratio("cni-add", "p50_ms"), 0.75, _CNI_ADD),
    Bar("cni-add", "p99 at most 3 times p50", spread("cni-add"), 3.0),
    Bar("cni-add", "p50 at most theirs with IPv4 alone too", ratio("cni-add-ipv4", "p50_ms"), 1.0, _CNI_ADD),
    Bar("cni-add", "DEL: p50 at most 0.5 times theirs", ratio("cni-del", "p50_ms"), 0.5, _CNI_DEL),
    Bar("cni-check", "p50 at most 5 ms beyond the executable's own", beyond("cni-check", "p50_ms"), 5),
    Bar("cni-add-storm", "50 at once within 5 times the time of one", ratio("cni-add-50", "p50_ms"), 5, _TOGETHER),
    Bar("cni-add-storm", "at least 2 times the sequential rate", ratio("cni-add-storm", "per_second"), 0.5, _STORM),
    Bar("cni-add-storm", "no address given twice", ours("cni-add-storm", "count"), 0),
    Bar("port-ready", "p50 at most 0.4 times OVN's", ratio("port-ready", "p50_ms"), 0.4, _PORT_READY),
    Bar("program", "at most 0.6 times ovs-ofctl's time", ratio("program", "seconds"), 0.6, _PROGRAM),
    Bar("program", "also from Flow values, encoded first", ratio("program-values", "seconds"), 0.6, _PROGRAM),
    Bar("reconcile", "no flow-mods", ours("reconcile", "count"), 0),
    Bar("reconcile", "at most 2 s, planning included", ours("reconcile", "seconds"), 2.0),
    Bar("throughput", "at least 0.9 times one NORMAL flow (ratio at most 1.11)", ratio("throughput", "mbps"), 1.11),
    Bar("memory", "controller at most 120 MB", ours("memory-controller", "peak_mb"), 120),
    Bar("memory", "agent at most 80 MB", ours("memory-agent", "peak_mb"), 80),
    Bar("lab-20", "Ready within 60 s", ours("lab-20", "seconds"), 60),
    Bar("policy-xlarge", "all nodes' policy flows within 6 s", ours("policy-xlarge", "seconds"), 6, _POLICY),
    Bar("policy-xlarge", "at most 1.0 GB", ours("policy-xlarge", "peak_mb"), 1000),
    Bar("policy-xlarge", "one more pod: p99 at most 5 ms", ours("policy-xlarge-pod", "p99_ms"), 5),
    Bar("policy-large-ns", "all nodes' policy flows within 6 s", ours("policy-large-ns", "seconds"), 6, _POLICY),
    Bar("policy-large-ns", "one more pod: p99 at most 5 ms", ours("policy-large-ns-pod", "p99_ms"), 5),
    Bar("policy-all-all", "all nodes' policy flows within 5 s", ours("policy-all-all", "seconds"), 5, _POLICY),
    Bar("policy-all-all", "at most 600 MB", ours("policy-all-all", "peak_mb"), 600),
    Bar("policy-all-all", "one more pod: p99 at most 5 ms", ours("policy-all-all-pod", "p99_ms"), 5),
    Bar("policy-except", "one more pod: p99 at most 5 ms", ours("policy-except-pod", "p99_ms"), 5),
    Bar(
        "policy-except-switch",
        "one more policy in force: p99 at most 50 ms",
        ours("policy-except-switch", "p99_ms"),
        50,
    ),
    Bar("policy-ovn", "write to first denied packet: at most 0.5 times OVN's", ratio("policy-ovn", "p50_ms"), 0.5),
    Bar("policy-ovn", "at most 0.5 times OVN's OpenFlow flows", ratio("policy-ovn", "count"), 0.5),
    Bar("real-cluster", "from helm install to all nodes Ready within 60 s", ours("real-cluster", "seconds"), 60),
    Bar(
        "real-cluster",
        "50 pods at once: p99 from scheduled to network ready at most 5 s",
        ours("real-cluster-pods", "p99_ms"),
        5000,
        _CROWD,
    ),
    Bar("real-cluster", "upgrade and rollback lose no packet", ours("real-cluster-upgrade", "count"), 0),
)
