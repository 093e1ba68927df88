"""A cluster's nodes as places that commands look at like local ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cli import nodeside
from cli.access import ask, side_by_side
from cli.cluster import pods
from cli.cluster.execute import Executor
from cli.cluster.mirror import Mirror, Mirrors
from cli.cluster.pods import Host, Obj
from cli.errors import CliError
from cli.home import Home, HomeWanted
from cli.view import AgentPlace, ControllerPlace, Place, Silent, Sources
from cli.where import DEFAULT_BRIDGE, Where, default_kubeconfig
from daemon.health import parse_address
from kube.client import ApiClient
from kube.endpoint import Endpoint, from_kubeconfig
from kube.errors import KubeError

_PYTHON = ("python3", "-m")
_RELAY, _NODESIDE = (*_PYTHON, "cli.relay"), (*_PYTHON, "cli.nodeside")
_PAGE = "500"


@dataclass(frozen=True, slots=True)
class InPod:
    """A node that is asked in a container on it (`access.Access`)."""

    executor: Executor
    host: Host

    def ask(self, question: str, argument: bytes) -> bytes:
        return self.executor.run(self.host.container, (*_NODESIDE, question), argument)

    def relay(self, target: str) -> Any:
        return self.executor.start(self.host.container, (*_RELAY, target))


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was found: places to ask, nodes that have none, controllers, and which cluster it is, in words."""

    title: str
    kubeconfig: str
    places: tuple[Place, ...]
    silent: tuple[Silent, ...]
    controllers: tuple[ControllerPlace, ...]


def find(where: Where) -> Cluster:
    """The cluster that is meant, with a look at every node. CliError: it cannot be asked, or Weft is not there."""
    kubeconfig = where.kubeconfig or default_kubeconfig()
    try:
        endpoint = from_kubeconfig(kubeconfig, where.context or None)
        listed = [*_listed(endpoint, where.weft_namespace)]
    except KubeError as e:
        raise CliError(f"cannot look for Weft's pods in namespace {where.weft_namespace}: {e}") from e
    hosts, silent = pods.hosts(listed)
    title = f"the cluster at {endpoint.server}"
    if not hosts and not silent:
        raise CliError(
            f"{title} has no agents of Weft in namespace {where.weft_namespace}: give the one that Weft is installed "
            "in with --weft-namespace, or look whether it is, with `helm list -A`"
        )
    executor = Executor(kubeconfig, where.context)
    found = side_by_side(partial(_home, executor, where), {host.node: host for host in hosts})
    mirrors = Mirrors()
    places, dumb = [], list(silent)
    for number, host in enumerate(hosts):
        home = found[host.node]
        if isinstance(home, str):
            dumb.append(Silent(host.node, home))
        else:
            places.append(_place(InPod(executor, host), home, mirrors.of(host.node, number)))
    reached = tuple(_controller(each, listed, executor, hosts, mirrors) for each in pods.controllers(listed))
    return Cluster(title, kubeconfig, tuple(places), tuple(dumb), reached)


def _listed(endpoint: Endpoint, namespace: str) -> Iterator[dict[str, Any]]:
    """Weft's pods."""
    api = ApiClient(endpoint)
    token: str | None = ""
    try:
        while token is not None:
            query = {"labelSelector": pods.LABEL, "limit": _PAGE, "continue": token}
            page = msgspec.json.decode(api.read(f"/api/v1/namespaces/{namespace}/pods", **query))
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or None
    finally:
        api.close()


def _home(executor: Executor, where: Where, host: Host) -> Home:
    bridge = "" if where.bridge == DEFAULT_BRIDGE else where.bridge
    return ask(InPod(executor, host), nodeside.HOME, HomeWanted(host.settings, bridge), Home)


def _place(access: InPod, home: Home, mirror: Mirror) -> Place:
    """The node with its sockets here. One that it does not have is not here either, which says so by itself."""
    sockets = {"db.sock": home.database, f"{home.bridge}.mgmt": home.management}
    if home.control:
        sockets[f"ovs-vswitchd.{int(home.pid)}.ctl"] = home.control
        mirror.put("ovs-vswitchd.pid", home.pid)
    for name, target in sockets.items():
        if target:
            mirror.socket(name, f"unix:{target}", access.relay)
    agent = AgentPlace(home.health, socket=mirror.socket("agent.sock", f"tcp:{_reached(home.health)}", access.relay))
    settings = Path(access.host.settings) if access.host.settings else None
    return Place(
        ovsdb=f"unix:{mirror.directory / 'db.sock'}", management=mirror.directory / f"{home.bridge}.mgmt",
        bridge=home.bridge, node=access.host.node, agent=agent, access=access,
        sources=Sources(settings=settings, rundir=Path(home.rundir)),
    )  # fmt: skip


def _controller(
    place: ControllerPlace, listed: list[Obj], executor: Executor, hosts: Iterable[Host], mirrors: Mirrors
) -> ControllerPlace:
    """The controller with a way to ask it: from the agent of its node, whose network it is on."""
    host = next((each for each in hosts if each.node == place.node), None)
    port = pods.health_port(listed, place.name)
    if host is None or not port:
        return place
    address = f"127.0.0.1:{port}"
    mirror = mirrors.of(f"controller-{place.name}", port)
    socket = mirror.socket("health.sock", f"tcp:{address}", InPod(executor, host).relay)
    return replace(place, health=AgentPlace(address, socket=socket, daemon="weft-controller"))


def _reached(address: str) -> str:
    """Where the node itself reaches a health-address; one that is all addresses by the loopback's."""
    host, port = parse_address(address)
    if host in ("", "0.0.0.0", "::"):
        host = "::1" if host == "::" else "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
