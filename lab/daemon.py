"""The process that plays Kubernetes for a lab: API server, scheduler, and a kubelet for every node.

    python -m lab.daemon --name NAME

`Lab.up` starts it. Its state is in memory: started again it takes over a lab without pods, and over running
pods it refuses and says so. Its sockets are in two places, because nodes must reach the API as on a real
network while nothing of a lab but a port on 127.0.0.1 may show on the machine.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import msgspec
import yaml

from lab import names, netns, status
from lab.api.app import make_app
from lab.api.builtin import NODES
from lab.api.handle import LabApi
from lab.api.kubeconfig import kubeconfig
from lab.api.server import local_socket, serve
from lab.cleanup import namespaces
from lab.config import ApiReady, LabConfig, read_state
from lab.kubelet import Kubelet
from lab.netexec import NetexecServers
from lab.readiness import Readiness

log = logging.getLogger(__name__)


class DaemonError(RuntimeError):
    """The daemon cannot serve this lab; the message says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="lab.daemon", description=__doc__)
    parser.add_argument("--name", required=True, help="the lab to serve; it must have been prepared by `lab up`")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stopped = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopped.set())
    try:
        _run(_prepared(arguments.name), stopped)
    except DaemonError as e:
        log.error("%s", e)
        return 1
    return 0


def _prepared(lab: str) -> LabConfig:
    state = read_state(lab)
    if state is None:
        raise DaemonError(f"there is no lab {lab!r}: create it with `weftctl lab up`")
    pods = [name for name in namespaces(lab) if "--" in name]
    if pods:
        raise DaemonError(
            f"lab {lab}: {len(pods)} pods of an earlier daemon are still there ({pods[0]}, ...), and what it knew "
            "of them is lost: `weftctl lab down`, then `weftctl lab up`"
        )
    return state.config


def _run(config: LabConfig, stopped: threading.Event) -> None:
    with ExitStack() as stack:
        api = LabApi()
        _register_nodes(api, config)
        listeners = [local_socket(_earlier_port(config)), *_underlay_listeners(config)]
        server = serve(make_app(api), listeners)
        stack.callback(server.stop)
        pods = NetexecServers()
        stack.callback(pods.close)
        for node in config.node_configs():
            keeper = Kubelet(api, node, pods) if config.kubelets else Readiness(api, node, lambda: None)
            stack.callback(keeper.close)
            keeper.start()
        _announce(config, server.urls[0])
        log.info("lab %s: the API answers on %s", config.name, ", ".join(server.urls))
        stopped.wait()


def _earlier_port(config: LabConfig) -> int:
    """Where an earlier daemon of this lab listened, so that its clients find the next one; 0 is any port."""
    try:
        return msgspec.json.decode(config.paths.daemon_ready.read_bytes(), type=ApiReady).port
    except FileNotFoundError:
        return 0


def _register_nodes(api: LabApi, config: LabConfig) -> None:
    for node in config.node_configs():
        api.create(NODES, status.node_object(node.number, config.family, config.name))
        first = status.node_status(node.number, config.family, datetime.now(UTC))
        api.edit(NODES, ("", node.name), partial(_with_status, first), "status")


def _with_status(first: status.Obj, node: status.Obj) -> status.Obj:
    return node | {"status": first}


def _underlay_listeners(config: LabConfig) -> list[socket.socket]:
    """The API's sockets in the underlay's namespace: where a socket lives is settled when it is made."""
    space = netns.path_of(names.underlay_namespace(config.name))
    return netns.run_in(space, lambda: [_listener(i) for i in names.gateway_interfaces(config.family)])


def _listener(interface: names.Interface) -> socket.socket:
    family = socket.AF_INET6 if interface.address.version == 6 else socket.AF_INET
    return socket.create_server((str(interface.address), names.API_PORT), family=family, backlog=128)


def _announce(config: LabConfig, url: str) -> None:
    """Write the kubeconfig, then the file that says where the API is: its presence is the sign to go on."""
    paths = config.paths
    paths.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    paths.kubeconfig.write_text(yaml.safe_dump(kubeconfig(url, f"weft-{config.name}"), sort_keys=False))
    temporary = paths.daemon_ready.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(ApiReady(port=int(url.rpartition(":")[2]))))
    temporary.rename(paths.daemon_ready)


if __name__ == "__main__":
    sys.exit(main())
