"""What an agent tells of CNI requests, through its real metrics and its real list of failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
from prometheus_client import generate_latest

from cli.measured import Told, read_metrics
from cni.errors import CniError, ErrorCode
from cni.frame import Request
from daemon.health import Health, HealthServer
from node_agent.failures import PATH, Failures, Report
from node_agent.metrics import Metrics

START = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


class Agent:
    """An agent of a node, started `later` seconds after START; failures are ten seconds apart."""

    def __init__(self, node: str, later: int = 0) -> None:
        self.metrics = Metrics()
        times = (START + timedelta(seconds=later + 10 * n) for n in range(1000))
        self.failures = Failures(node, self.metrics.failures, lambda: next(times))

    def served(self, verb: str, seconds: float, **steps: float) -> Agent:
        """A request of this verb, with its steps in their order."""
        for step, took in steps.items():
            self.metrics.steps.labels(verb, step).observe(took)
        self.metrics.requests.labels(verb).observe(seconds)
        return self

    def refused(self, verb: str, code: ErrorCode, why: str = "why", pod: str = "") -> Agent:
        args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod}" if pod else ""
        env = {"CNI_COMMAND": verb, "CNI_ARGS": args, "CNI_CONTAINERID": "c1"}
        self.failures.record(Request(env, b""), CniError(code, why), 0.5)
        return self

    def told(self) -> Told:
        report = msgspec.json.decode(self.failures.report(), type=Report)
        text = generate_latest(self.metrics.registry).decode()
        return Told(report.node, report.since, read_metrics(text), report.failures)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The address where it tells all that."""
        health = Health(self.metrics.registry, list, list, {PATH: self.failures.report})
        with HealthServer("127.0.0.1:0", health) as server:
            yield f"127.0.0.1:{server.port}"
