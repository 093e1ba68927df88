"""What weft-controller measures."""

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from openflow.fields import Disposition

LATENCIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
"""Bucket bounds in seconds."""


_DIRECTIONS = {Disposition.EGRESS_DENIED: "egress", Disposition.INGRESS_DENIED: "ingress"}


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
        self.active = gauge(
            "weft_controller_active", "1 while this controller programs switches, 0 while it stands by"
        )
        self.refused = counter("weft_switches_refused", "OpenFlow peers turned away")
        self.tls_refused = counter(
            "weft_tls_refused",
            "TLS connections that came to nothing, by channel (openflow, ovsdb) and reason (docs/tls.md)",
            ["channel", "reason"],
        )
        self.certificate_expires = gauge(
            "weft_tls_certificate_expires_seconds", "When tls-certificate expires, as Unix time; NaN without TLS"
        )
        self.certificate_expires.set(math.nan)
        self.problems = counter("weft_problems", "Problems reported, by reason", ["reason"])
        self.connected = gauge("weft_switches_connected", "Switches with an OpenFlow session")
        self.flows = gauge("weft_flows", "Flows that a node's switch should hold", ["node"])
        self.tables = gauge("weft_table_flows", "Flows that all switches should hold, by table", ["table"])
        self.identities = gauge("weft_policy_identities", "Kinds of pods that no policy can tell apart")
        self.rules = gauge("weft_policy_rules", "Different rules in force; policies that say the same share one")
        self.policies = gauge("weft_policies", "NetworkPolicies known")
        self.denied = counter(
            "weft_policy_denied_packets",
            "Packets that policies denied, as of the last time that the switch was read",
            ["node", "direction"],
        )
        self._denied: dict[tuple[str, str], int] = {}
        self.nodes = gauge("weft_nodes", "Nodes known")
        self.pods = gauge("weft_pods", "Pods known")
        self.handling = histogram("weft_event_seconds", "Time to work out what one event changes", ["event"])
        self.programming = histogram("weft_program_seconds", "From sending a change to its barrier's answer")
        self.reading = histogram("weft_read_flows_seconds", "From asking a switch for its flows to having them")

    def count_denied(self, node: str, packets: Mapping[Disposition, int]) -> None:
        """Take in the counters of a node's switch; they begin again when the switch does."""
        for side, count in packets.items():
            labels = node, _DIRECTIONS[side]
            before = self._denied.get(labels, 0)
            self.denied.labels(*labels).inc(count - before if count >= before else count)
            self._denied[labels] = count

    def count_tls_refused(self, channel: str, reason: str) -> None:
        self.tls_refused.labels(channel, reason).inc()

    def forget(self, node: str) -> None:
        """A node is gone, and what was measured of it."""
        with suppress(KeyError):
            self.flows.remove(node)
        for direction in _DIRECTIONS.values():
            if self._denied.pop((node, direction), None) is not None:
                self.denied.remove(node, direction)
