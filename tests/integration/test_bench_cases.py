"""Every case, small: it runs against the real things on either side, prints what was promised, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.metric import Metric, from_json
from lab import netns

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = Path("/usr/lib/cni/bridge")
PROCESS_SECONDS = 100


def _run(case: str, arguments: str, function: str = "run") -> dict[tuple[str, str], Metric]:
    """A case in a process of its own, since os-ken allows one listener in a process; its metrics."""
    code = f"""if True:
        import os
        from bench import {case}
        from bench.__main__ import alone
        with alone():
            print(*(metric.to_json() for metric in {case}.{function}({arguments})), sep="\\n", flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {(metric.case, metric.metric): metric for metric in map(from_json, done.stdout.splitlines())}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = _there()
    yield
    assert _there() <= before


def _there() -> set[str]:
    """Namespaces and directories of benchmarks; somebody else's may be running."""
    directories = (path.name for path in Path("/run").glob("weft-bench-*"))
    return {*directories, *(name for name in netns.names() if name.startswith("weft-bench-"))}


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs containernetworking-plugins")
def test_cni_add_and_del_beside_the_reference_plugins() -> None:
    found = _run("cni_add", "pods=2")
    assert {case for case, _ in found} == {"cni-add", "cni-del", "cni-add-crowded", "cni-add-ipv4"}
    assert all(metric.peer is not None and metric.ratio for metric in found.values())
    assert found["cni-add", "p50_ms"].n == 2


def test_a_check_beside_the_executables_own_time() -> None:
    found = _run("cni_check", "pods=2, rounds=2")
    assert found["cni-check", "p50_ms"].n == 4
    assert found["cni-check", "p50_ms"].peer is not None


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs containernetworking-plugins")
def test_a_storm_gives_no_address_twice() -> None:
    found = _run("cni_add_storm", "pods=6, rounds=1")
    assert found["cni-add-storm", "count"].ours == 0
    assert found["cni-add-storm", "per_second"].ours > 0
    for case in ("cni-add-50", "cni-add-50-reference"):
        assert found[case, "p50_ms"].peer is not None


@pytest.mark.skipif(shutil.which("ovn-controller") is None, reason="needs ovn-central and ovn-host")
def test_a_port_is_ready_on_either_side() -> None:
    found = _run("port_ready", "ports=2")
    assert found["port-ready", "p50_ms"].n == 2


@pytest.mark.skipif(shutil.which("ovn-controller") is None, reason="needs ovn-central and ovn-host")
def test_a_policy_ends_a_stream_on_either_side() -> None:
    found = _run("policy_ovn", "pods=8, policies=3, rounds=1, warm_up=0")
    assert found.keys() == {
        ("policy-ovn", "count"), ("policy-ovn", "p50_ms"), ("policy-ovn", "p99_ms"), ("policy-ovn-stale", "count"),
    }  # fmt: skip
    assert all(metric.peer is not None for metric in found.values())
    assert found["policy-ovn", "p50_ms"].ours > 0


def test_the_same_flows_by_either_way() -> None:
    found = _run("program", "flows=700, rounds=2")
    assert found.keys() == {("program", "seconds"), ("program-values", "seconds")}


def test_a_controller_that_starts_again_sends_nothing() -> None:
    found = _run("reconcile", "flows=5000, rounds=2")
    assert found["reconcile", "count"].ours == 0


def test_each_policy_changes_flows_on_the_switch() -> None:
    found = _run("policy_switch", "namespaces=5, policies=4, nodes=5, rounds=3")
    assert found["policy-except-switch", "count"].ours > 0
    assert found["policy-except-switch", "p99_ms"].n == 3


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs iperf3")
def test_traffic_flows_through_either_pipeline_and_across_nodes() -> None:
    found = _run("throughput", "rounds=1, seconds=1")
    assert found["throughput", "mbps"].peer is not None
    assert found["throughput-cross-node", "mbps"].ours > 0


def test_the_daemons_of_the_demo_have_a_size() -> None:
    found = _run("memory", "")
    assert all(1 < metric.ours < 1000 for metric in found.values())


def test_a_lab_of_some_nodes_comes_up_and_has_a_size() -> None:
    found = _run("memory", "nodes=2", function="run_lab_20")
    assert found.keys() == {("lab-20", "seconds"), ("lab-20", "peak_mb")}
    assert found["lab-20", "seconds"].ours > 0
    size = found["lab-20", "peak_mb"]
    assert size.n >= 2 + 2 * 3, "the daemon, the controller, and for each node its agent and two of Open vSwitch's"
    assert size.ours > size.n
