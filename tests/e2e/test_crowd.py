"""Fifty pods at once on two nodes: how long from scheduled to network ready, and what of it is Weft's."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import pytest
from cluster import pki
from cluster.cluster import Cluster
from cluster.layout import NAMESPACE
from cluster.machine import wait
from figures import record
from pods import await_rollout, delete, deployment, pods_of
from weft_fixture import SPACE

from lab import netns

pytestmark = pytest.mark.timeout(300)

CROWD = 50
SECONDS = 120
NAME = "crowd"


def test_fifty_pods_at_once_get_ready(weft: Cluster) -> None:
    with watching(weft) as seen:
        weft.apply(deployment(NAME, CROWD))
        await_rollout(weft, NAME, SECONDS)
        wait(lambda: len(seen.network) == CROWD, "all pods were seen to have their network", SECONDS)
    assert len({ip for pod in pods_of(weft, NAME) for ip in pod.ips}) == 2 * CROWD
    ours = list(adds(weft))
    record(
        "fifty pods at once",
        scheduled_to_network_ready=percentiles([seen.network[pod] - seen.scheduled[pod] for pod in seen.network]),
        scheduled_to_ready=percentiles([seen.ready[pod] - seen.scheduled[pod] for pod in seen.ready]),
        cni_add=percentiles(ours),
    )
    delete(weft, NAME)


@dataclass
class Seen:
    """When the API told of it, by pod, in seconds of the monotonic clock."""

    scheduled: dict[str, float] = field(default_factory=dict)
    network: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)

    def take(self, pod: dict[str, Any], now: float) -> None:
        name = pod["metadata"]["name"]
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
        for kind, when in (
            ("PodScheduled", self.scheduled), ("PodReadyToStartContainers", self.network), ("Ready", self.ready),
        ):  # fmt: skip
            if conditions.get(kind) == "True":
                when.setdefault(name, now)


@contextmanager
def watching(cluster: Cluster) -> Iterator[Seen]:
    """What the API tells of the crowd while the block lasts."""
    seen = Seen()
    command = (
        "nsenter", f"--net={netns.path_of(NAMESPACE)}", "--", str(cluster.programs / "kubectl"),
        f"--kubeconfig={pki.kubeconfig('admin')}", "get", "pods", "-l", f"app={NAME}", "--watch", "-o", "json",
    )  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        reader = threading.Thread(target=_read, args=(watch, seen), daemon=True)
        reader.start()
        try:
            yield seen
        finally:
            watch.kill()
            reader.join()


def _read(watch: subprocess.Popen[str], seen: Seen) -> None:
    """`kubectl` prints one object after another, each over many lines."""
    decoder, text = json.JSONDecoder(), ""
    assert watch.stdout is not None
    for line in watch.stdout:
        text += line
        if line == "}\n":
            pod, _ = decoder.raw_decode(text.strip())
            seen.take(pod, time.monotonic())
            text = ""


def adds(cluster: Cluster) -> Iterator[float]:
    """How many seconds the agents took for each ADD, by their logs."""
    for pod in cluster.get("pods", "-n", SPACE, "-l", "app.kubernetes.io/component=agent")["items"]:
        log = cluster.kubectl("logs", "-n", SPACE, pod["metadata"]["name"], "-c", "weft-agent", "--tail=-1")
        lines = (json.loads(line) for line in log.splitlines() if line.startswith("{"))
        yield from (line["ms"] / 1000 for line in lines if line["event"] == "CNI" and line["verb"] == "ADD")


def percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3)}
