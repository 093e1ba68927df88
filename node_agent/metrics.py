"""What weft-agent measures."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Bucket bounds in seconds."""


class Metrics:
    """Prometheus metrics of one agent, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=LATENCIES)
        self.requests = histogram("weft_cni_request_seconds", "Time to serve a CNI request", ["verb"])
        self.steps = histogram("weft_cni_step_seconds", "Time of each step of a CNI request", ["verb", "step"])
        self.failures = counter("weft_cni_failures", "CNI requests refused, by error code", ["verb", "code"])
        self.host_changes = counter("weft_host_changes", "Changes made to the node's own networking")
        self.purges = counter("weft_datapath_purges", "Times that the switch forgot its datapath flows when asked")
        self.ports = Gauge("weft_pod_ports", "Pod ports on the bridge", registry=self.registry)
