"""`python -m cluster up | down`: what `make cluster-up` and `make cluster-down` run."""

from __future__ import annotations

import argparse
import sys
import time

from cluster import cluster
from cluster.layout import ROOT
from cluster.machine import MachineError
from cluster.tools import ToolsError
from lab import interrupts


def main() -> int:
    parser = argparse.ArgumentParser(prog="cluster", description="A real Kubernetes cluster on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start it, in place of one that is there")
    up.add_argument("--nodes", type=int, default=2, help="how many nodes (default: 2)")
    commands.add_parser("down", help="take it away")
    arguments = parser.parse_args()
    interrupts.interrupt_once()
    if arguments.command == "down":
        cluster.down()
        return 0
    return _up(arguments.nodes)


def _up(nodes: int) -> int:
    began = time.monotonic()
    try:
        cluster.up(nodes)
    except (ToolsError, MachineError, cluster.ClusterError) as e:
        print(f"cluster: {e}\nlogs: {ROOT}/build/e2e/logs", file=sys.stderr)
        return 1
    took = time.monotonic() - began
    print(f"{nodes} nodes after {took:.0f} s. Look at them: build/e2e/kubectl get nodes\nEnd it: make cluster-down")
    return 0


sys.exit(main())
