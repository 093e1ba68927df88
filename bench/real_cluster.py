"""`real-cluster`: what the end-to-end tests measure on real Kubernetes, two nodes on this machine (docs/e2e.md).

Nothing is measured here: the tests are run, and what they have written down is taken over.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.metric import Metric
from bench.stage import BenchError

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "build" / "e2e" / "figures.json"
TESTS = ("tests/e2e/test_crowd.py", "tests/e2e/test_upgrade.py")
SECONDS = 3000
"""Compiling Kubernetes, the first time, included."""
PODS = 50


def run() -> Iterator[Metric]:
    """Raises BenchError where the tests cannot run, or fail."""
    if shutil.which("go") is None:
        raise BenchError("the cluster's programs are compiled from their Go modules, and Go is not installed")
    FIGURES.unlink(missing_ok=True)
    command = (sys.executable, "-m", "pytest", "-q", *TESTS)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise BenchError(f"the end-to-end tests fail: {done.stdout.strip().splitlines()[-1:]}; see build/e2e/logs")
    yield from metrics(json.loads(FIGURES.read_text()))


def metrics(figures: Mapping[str, Any]) -> Iterator[Metric]:
    """From what the tests have written down. KeyError: they have not."""
    yield Metric("real-cluster", "seconds", figures["from helm install to all nodes Ready"]["seconds"], 1)
    crowd = figures["fifty pods at once"]
    for case, what in (("real-cluster-pods", "scheduled_to_network_ready"), ("real-cluster-cni-add", "cni_add")):
        yield Metric(case, "p50_ms", crowd[what]["p50"] * 1000, PODS)
        yield Metric(case, "p99_ms", crowd[what]["p99"] * 1000, PODS)
    rolled = [figures[f"{what} of controllers and agents"] for what in ("upgrade", "rollback")]
    yield Metric(
        "real-cluster-upgrade", "count", sum(each["lost"] for each in rolled), sum(each["sent"] for each in rolled)
    )
