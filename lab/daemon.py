"""The process that plays Kubernetes for a lab: API server, scheduler, and a kubelet for every node.

    python -m lab.daemon --name NAME

`Lab.up` starts it. Its state is in memory: started again it takes over a lab without pods, and over running
pods it refuses and says so. Its sockets are in two places, because nodes must reach the API as on a real
network while nothing of a lab but a port on 127.0.0.1 may show on the machine.

For a lab that has joined a cluster it is the kubelets alone, and the nodes' way to the cluster's API server.
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

import msgspec
import yaml

from kube.endpoint import from_kubeconfig
from kube.errors import KubeError
from lab import access, names, netns, status
from lab.api.app import make_app
from lab.api.errors import ApiError
from lab.api.handle import LabApi
from lab.api.kubeconfig import kubeconfig
from lab.api.server import local_socket, serve
from lab.cleanup import namespaces
from lab.config import ApiReady, ClusterReady, LabConfig, LabState, read_state
from lab.forward import Forwarder
from lab.kubelet import Kubelet
from lab.names import LabPaths
from lab.netexec import NetexecServers
from lab.node import NodeConfig
from lab.nodeapi import NodeApi, OwnNodeApi
from lab.readiness import Readiness
from lab.remote import RemoteNodeApi

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
    except (DaemonError, ApiError, KubeError) as e:
        log.error("%s", e)
        return 1
    return 0


def _prepared(lab: str) -> LabState:
    state = read_state(lab)
    if state is None:
        raise DaemonError(f"there is no lab {lab!r}: create it with `weftctl lab up`")
    pods = [name for name in namespaces(lab) if "--" in name]
    if pods:
        raise DaemonError(
            f"lab {lab}: {len(pods)} pods of an earlier daemon are still there ({pods[0]}, ...), and what it knew "
            "of them is lost: `weftctl lab down`, then `weftctl lab up`"
        )
    return state


def _run(state: LabState, stopped: threading.Event) -> None:
    config = state.config
    with ExitStack() as stack:
        kubernetes = _Joined(state) if config.kubeconfig else _Played(config)
        apis = [(node, kubernetes.node_api(node)) for node in config.node_configs()]
        for node, api in apis:
            first = status.node_status(node.number, config.family, datetime.now(UTC))
            api.register(status.node_object(node.number, config.family, config.name), first)
        # Only now: whoever finds an API started again must find the nodes in it.
        ready = kubernetes.serve(stack)
        pods = NetexecServers()
        stack.callback(pods.close)
        for node, api in apis:
            keeper = Kubelet(api, node, pods) if config.kubelets else Readiness(api, node, lambda: None)
            stack.callback(keeper.close)
            keeper.start()
        _announce(config.paths, ready)
        stopped.wait()


class _Played:
    """Kubernetes as far as the lab plays it itself."""

    def __init__(self, config: LabConfig) -> None:
        self._config = config
        self._api = LabApi()

    def node_api(self, node: NodeConfig) -> NodeApi:
        return OwnNodeApi(self._api, node.name)

    def serve(self, stack: ExitStack) -> ApiReady:
        """Answer on 127.0.0.1 and inside the nodes, until the stack ends, and write a kubeconfig for the former."""
        listeners = [local_socket(_earlier_port(self._config)), *_underlay_listeners(self._config)]
        server = serve(make_app(self._api), listeners)
        stack.callback(server.stop)
        url = server.urls[0]
        path = self._config.paths.kubeconfig
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(kubeconfig(url, f"weft-{self._config.name}"), sort_keys=False))
        log.info("lab %s: the API answers on %s", self._config.name, ", ".join(server.urls))
        return ApiReady(port=int(url.rpartition(":")[2]))


class _Joined:
    """The cluster that the lab has joined."""

    def __init__(self, state: LabState) -> None:
        self._state = state
        self._kubeconfig = state.config.paths.kubeconfig

    def node_api(self, node: NodeConfig) -> NodeApi:
        return RemoteNodeApi(from_kubeconfig(str(self._kubeconfig)), node.name, self._state.owner)

    def serve(self, stack: ExitStack) -> ClusterReady:
        """Let the nodes reach the cluster's API server, until the stack ends."""
        found = access.read(self._kubeconfig)
        forwarder = Forwarder(_underlay_listeners(self._state.config), found.target)
        forwarder.start()
        stack.callback(forwarder.stop)
        log.info("lab %s: nodes reach the API of %s", self._state.config.name, found.server)
        return ClusterReady(server=found.server)


def _earlier_port(config: LabConfig) -> int:
    """Where an earlier daemon of this lab listened, so that its clients find the next one; 0 is any port."""
    try:
        return msgspec.json.decode(config.paths.daemon_ready.read_bytes(), type=ApiReady).port
    except FileNotFoundError:
        return 0


def _underlay_listeners(config: LabConfig) -> list[socket.socket]:
    """The API's sockets in the underlay's namespace: where a socket lives is settled when it is made."""
    space = netns.path_of(names.underlay_namespace(config.name))
    return netns.run_in(space, lambda: [_listener(i) for i in names.gateway_interfaces(config.family)])


def _listener(interface: names.Interface) -> socket.socket:
    family = socket.AF_INET6 if interface.address.version == 6 else socket.AF_INET
    return socket.create_server((str(interface.address), names.API_PORT), family=family, backlog=128)


def _announce(paths: LabPaths, ready: ApiReady | ClusterReady) -> None:
    """Write the file that says where the API is: its presence is the sign to go on."""
    temporary = paths.daemon_ready.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(ready))
    temporary.rename(paths.daemon_ready)


if __name__ == "__main__":
    sys.exit(main())
