"""iperf3 between two pods of a lab."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.stage import BenchError
from lab import netns
from lab.lab import Lab
from lab.names import MARKER

PORT = 5201
_OMIT_SECONDS = 1  # slow start, and the first packets' way through the slow path


def mbps(lab: Lab, pods: tuple[str, str], server: str, seconds: int) -> float:
    """One TCP stream from the first pod to the second, which listens on address `server`; goodput in Mbit/s."""
    client, target = pods
    with _listening(lab, target, server):
        words = ("iperf3", "-J", "-c", server, "-p", str(PORT), "-t", str(seconds), "-O", str(_OMIT_SECONDS))
        done = lab.capture(client, (*words, "--connect-timeout", "5000"), timeout=seconds + 30)
    return received(done.stdout)


def received(report: str) -> float:
    """What arrived, in Mbit/s, from iperf3's JSON. BenchError with iperf3's own words when it failed."""
    found = json.loads(report)
    if "error" in found:
        raise BenchError(f"iperf3: {found['error']}")
    return float(found["end"]["sum_received"]["bits_per_second"]) / 1e6


@contextmanager
def _listening(lab: Lab, pod: str, address: str) -> Iterator[None]:
    """A server for one test, from when it says that it listens."""
    words = ("iperf3", "-s", "-1", "-B", address, "-p", str(PORT), "--forceflush")
    env = {**os.environ, MARKER: lab.config.name}
    server = netns.run_in(
        lab.pod_namespace(pod), lambda: subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)
    )
    with server:
        try:
            if not any("listening" in line for line in server.stdout or ()):
                raise BenchError(f"iperf3 -s in {pod} ended before it listened")
            yield
        finally:
            server.kill()
