"""`memory`: what the daemons hold in the demo, and what twenty nodes cost one machine.

`memory-controller` and `memory-agent` are peaks of resident memory (VmHWM, proc(5)), not less than what is resident
at any moment, after the demo's pods have come up and reached each other; for agents, the largest. `lab-20` is the
time until twenty nodes are Ready, and the proportional set size of all processes that make them (shared pages
counted once). MB are 10^6 bytes.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from bench.metric import Metric
from bench.stage import BenchError
from lab.bringup import CONTROLLER
from lab.cleanup import marked_processes
from lab.config import LabConfig
from lab.lab import Lab

DEMO, LARGE = "bench-memory", "bench-lab-20"
NODES = 20
_MANIFESTS = Path(__file__).resolve().parent.parent / "examples" / "demo.yaml"
_KIB_PER_MB = 1e6 / 1024


def run() -> Iterator[Metric]:
    """The two-node demo."""
    with Lab.up(LabConfig(name=DEMO), replace=True) as lab:
        lab.wait_ready()
        lab.apply(_MANIFESTS)
        lab.wait_pods()
        lost = [cell for cell in lab.reachability() if not cell.ok]
        if lost:
            raise BenchError(f"the demo's pods do not reach each other: {lost[0]}")
        agents = [each for each in lab.status().processes if each.name.endswith("/agent")]
        peaks = [_mb(each.pid, "status", "VmHWM") for each in agents]
        yield Metric("memory-controller", "peak_mb", _mb(lab.processes.pid(CONTROLLER), "status", "VmHWM"), 1)
        yield Metric("memory-agent", "peak_mb", max(peaks), len(peaks))


def run_lab_20(nodes: int = NODES) -> Iterator[Metric]:
    """`nodes` nodes from nothing to Ready."""
    started = time.monotonic()
    with Lab.up(LabConfig(name=LARGE, nodes=nodes), replace=True) as lab:
        lab.wait_ready(timeout=300.0)
        seconds = time.monotonic() - started
        sizes = [_mb(pid, "smaps_rollup", "Pss") for pid in marked_processes(LARGE)]
    yield Metric("lab-20", "seconds", seconds, 1)
    yield Metric("lab-20", "peak_mb", sum(sizes), len(sizes))


def _mb(pid: int, file: str, field: str) -> float:
    """A field of /proc/PID/FILE that is given in kB; 0 when the process has just ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / _KIB_PER_MB for line in lines if line.startswith(f"{field}:")), 0.0)
