"""What weft-controller measures."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
"""Bucket bounds in seconds."""


class Metrics:
    """Prometheus metrics of one controller, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=LATENCIES)
        self.flow_mods = counter("weft_flow_mods", "Flow additions and deletions sent to switches", ["node", "kind"])
        self.repairs = counter(
            "weft_flow_repairs", "Flow-mods that repaired what somebody else had changed on a switch", ["node"]
        )
        self.failures = counter("weft_flow_failures", "Flows that a switch refused, each counted once", ["node"])
        self.refused = counter("weft_switches_refused", "OpenFlow peers turned away")
        self.problems = counter("weft_problems", "Problems reported, by reason", ["reason"])
        self.connected = gauge("weft_switches_connected", "Switches with an OpenFlow session")
        self.flows = gauge("weft_flows", "Flows that a node's switch should hold", ["node"])
        self.nodes = gauge("weft_nodes", "Nodes known")
        self.pods = gauge("weft_pods", "Pods known")
        self.handling = histogram("weft_event_seconds", "Time to work one event out", ["event"])
        self.programming = histogram("weft_program_seconds", "From sending a change to its barrier's answer")
        self.reading = histogram("weft_read_flows_seconds", "From asking a switch for its flows to having them")
