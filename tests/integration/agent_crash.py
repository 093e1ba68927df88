"""An agent that dies at one step of one request: the real attacher on the real switch, and then SIGKILL.

    python agent_crash.py OVSDB STEP < (environment and configuration, as JSON)

`STEP` is the name that the attacher gives to the end of the step when its time is measured. Exits by SIGKILL; with
status 3 when the request ended without the step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from ipaddress import ip_network

from cni.netconf import Add, Del, parse
from node_agent.attach import Attacher, NodeNetwork, Surroundings
from node_agent.bridge import NodeBridge
from node_agent.connections import Connections
from node_agent.ipam import Pools
from ovsdb import appctl
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import OWN

READY_SECONDS = 10.0
NETWORK = NodeNetwork(Pools((ip_network("10.244.1.0/24"), ip_network("fd57:244:0:1::/64"))), 1450, True)


def main(remote: str, step: str) -> int:
    def die_at(ended: str) -> None:
        if ended == step:
            os.kill(os.getpid(), signal.SIGKILL)

    asked = json.load(sys.stdin)
    command = parse(asked["env"], json.dumps(asked["conf"]).encode())
    with OvsdbLoop() as loop:
        bridge = NodeBridge(loop.session(remote, OWN), "br-int")
        bridge.start()
        bridge.wait_ready(READY_SECONDS)
        claim = Connections(appctl.rundir_of(remote)).claim
        around = Surroundings(lambda: NETWORK, claim, lambda _: (), lambda _: False, lambda _: {})
        attacher = Attacher(bridge, around, seed=int.from_bytes(os.urandom(2), "big"))
        if isinstance(command, Add):
            attacher.add(command, die_at)
        elif isinstance(command, Del):
            attacher.delete(command, die_at)
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
