"""What weft-agent measures."""

import math
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCIES = (
    0.0001, 0.00016,
    0.00025, 0.000315, 0.0004, 0.0005, 0.00063, 0.0008, 0.001, 0.00125, 0.0016, 0.002,
    0.0025, 0.00315, 0.004, 0.005, 0.0063, 0.008, 0.01, 0.0125, 0.016, 0.02,
    0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63, 1, 1.6, 2.5, 4, 6.3, 10,
)  # fmt: skip
"""Bucket bounds in seconds: preferred numbers (ISO 3), ten a decade where most steps are, so that quantiles are told
to a quarter, and five elsewhere."""

REQUEST_SECONDS, STEP_SECONDS, FAILURES = "weft_cni_request_seconds", "weft_cni_step_seconds", "weft_cni_failures"


class Metrics:
    """Prometheus metrics of one agent, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=LATENCIES)
        self.requests = histogram(REQUEST_SECONDS, "Time to serve a CNI request", ["verb"])
        self.steps = histogram(STEP_SECONDS, "Time of each step of a CNI request", ["verb", "step"])
        self.failures = counter(FAILURES, "CNI requests refused, by error code", ["verb", "code"])
        self.host_changes = counter("weft_host_changes", "Changes made to the node's own networking")
        self.purges = counter("weft_datapath_purges", "Times that the switch forgot its datapath flows when asked")
        self.ports = Gauge("weft_pod_ports", "Pod ports on the bridge", registry=self.registry)
        self.certificate_expires = Gauge(
            "weft_tls_certificate_expires_seconds",
            "When tls-certificate expires, as Unix time; NaN without TLS",
            registry=self.registry,
        )
        self.certificate_expires.set(math.nan)
