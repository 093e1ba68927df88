"""What the flows that are in the switches now would do with a connection's first packet; no packet is sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from cli.errors import CliError
from cli.flows import seen
from cli.packet import Service
from cli.survey import Survey
from cli.switch import records
from cli.tracer import End
from cli.view import NodeView
from openflow.errors import DecodeError
from openflow.net import IPAddress
from openflow.simulate import Fabric, Guest, Host, SimulationError, Switch, Trace, Tunnel
from openflow.simulate.fabric import Traffic
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT


@dataclass(frozen=True, slots=True)
class Path:
    """A connection's ends and addresses, and the nodes whose switches its first packet comes to first and last; None
    for one that this command cannot look into."""

    source: End
    target: End
    source_ip: IPAddress
    target_ip: IPAddress
    first: NodeView | None
    last: NodeView | None


@dataclass(frozen=True, slots=True)
class Installed:
    """Whether the packet is delivered, None where that cannot be known; and why, in words."""

    delivered: bool | None
    why: str


def ask(found: Survey, path: Path, service: Service) -> Installed:
    """Follow the packet through the flows of the nodes of both ends."""
    if path.first is None or path.last is None:
        unseen = path.source if path.first is None else path.target
        return Installed(None, f"the node of {unseen.label} is not one that this command can look into")
    try:
        trace = _follow(found, path, (path.first, path.last), service)
    except (CliError, DecodeError, SimulationError) as e:
        return Installed(None, str(e))
    wanted = path.target.pod or "node/"
    return Installed(any(name.startswith(wanted) for name in trace.to), trace.why)


def _follow(found: Survey, path: Path, ends: tuple[NodeView, NodeView], service: Service) -> Trace:
    views = {view.node: view for view in ends}
    fabric = Fabric.of(_switch(found, view, path) for view in views.values())
    traffic = Traffic(from_ip=path.source_ip)
    if service.protocol == "tcp":
        traffic["tcp"] = service.port
    elif service.protocol == "udp":
        traffic["udp"] = service.port
    elif service.protocol == "sctp":
        traffic["sctp"] = service.port
    return fabric.send(path.source.pod or _host(ends[0]), str(path.target_ip), **traffic)


def _switch(found: Survey, view: NodeView, path: Path) -> Switch:
    flows = [each.flow for each in seen(view.node, records(view.place.management))]
    return Switch(view.node, flows, dict(_ports(view, path)), found.names(view))


def _ports(view: NodeView, path: Path) -> Iterator[tuple[int, Guest | Host | Tunnel]]:
    """What is behind the ports that matter: the bridge's own, and those of the ends."""
    yield view.number_of(GATEWAY_PORT), Host(_host(view), (path.source_ip,))
    tunnel = view.bridge.system.get(TUNNEL_PORT)
    if tunnel is not None and view.tunnel_ip:
        yield tunnel, Tunnel((ip_address(view.tunnel_ip),))
    for end in (path.source, path.target):
        port = end.port
        if port is not None and port.ofport is not None and end.view is view:
            yield port.ofport, Guest(end.pod, port.mac, port.ips)


def _host(view: NodeView) -> str:
    return f"node/{view.node}"
