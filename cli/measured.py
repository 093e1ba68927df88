"""What agents have measured of CNI requests: how long each step takes, what fails, and the last failures. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

from cli.histogram import Histogram
from cni.netconf import VERBS
from node_agent.failures import Failure
from node_agent.metrics import FAILURES, REQUEST_SECONDS, STEP_SECONDS

WHOLE = ""
"""Stands for a step: the request from its beginning to its end."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one agent, or of several together: latencies in seconds by verb and step, and failures by verb and code.
    Verbs are in the specification's order, each with WHOLE first and then its steps as they occur."""

    latencies: Mapping[tuple[str, str], Histogram]
    failures: Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Told:
    """What one agent says: since when it counts, and its last failures, the newest first."""

    node: str
    since: datetime
    measured: Measured
    failures: Sequence[Failure]


def read_metrics(text: str) -> Measured:
    """What an agent's /metrics says of CNI requests. Raises ValueError for text that is not Prometheus' format."""
    buckets: defaultdict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    failures = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if name in (f"{REQUEST_SECONDS}_bucket", f"{STEP_SECONDS}_bucket"):
                buckets[labels["verb"], labels.get("step", WHOLE)][float(labels["le"])] = value
            elif name == f"{FAILURES}_total":
                failures[labels["verb"], int(labels["code"])] = int(value)
    return _ordered({key: Histogram.of(each) for key, each in buckets.items()}, failures)


def together(several: Iterable[Measured]) -> Measured:
    """As if one agent had served all of it."""
    latencies: dict[tuple[str, str], Histogram] = {}
    failures: defaultdict[tuple[str, int], int] = defaultdict(int)
    for each in several:
        for step, histogram in each.latencies.items():
            latencies[step] = latencies[step] + histogram if step in latencies else histogram
        for reason, count in each.failures.items():
            failures[reason] += count
    return _ordered(latencies, failures)


def _ordered(latencies: Mapping[tuple[str, str], Histogram], failures: Mapping[tuple[str, int], int]) -> Measured:
    def place(key: tuple[str, str]) -> tuple[int, str, bool]:
        return (*_verb_place(key[0]), key[1] != WHOLE)

    by_code = sorted(failures, key=lambda key: (*_verb_place(key[0]), key[1]))
    return Measured(
        {key: latencies[key] for key in sorted(latencies, key=place)}, {key: failures[key] for key in by_code}
    )


def _verb_place(verb: str) -> tuple[int, str]:
    return (VERBS.index(verb) if verb in VERBS else len(VERBS)), verb


def last_failures(told: Iterable[Told]) -> list[tuple[str, Failure]]:
    """With the node of each, the newest first."""
    found = [(each.node, failure) for each in told for failure in each.failures]
    return sorted(found, key=lambda entry: (entry[1].time, entry[0]), reverse=True)
