"""The example node, alpha (`openflow.example`), as the rows of its database and as the traces of a real switch.

The traces in `traces/` are what Open vSwitch 3.1.0 printed for `ofproto/trace` on a bridge with the flows of
`openflow.example`: web (port 3, 10.10.0.5) and db (port 4, 10.10.0.6) on alpha, beta behind 192.0.2.2. They were
captured by tests/integration/capture_traces.py, with the flows of that day.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

from cli.flows import Seen
from cli.journey import Leg, index
from cli.packet import Packet, Service, Tunnel
from cli.trace_text import parse
from cli.view import NodeView, Place, read_node
from openflow import example
from openflow.codec import Encoded
from openflow.constants import ROUTER_MAC
from openflow.decode import decode
from openflow.features.pod import LocalPod
from openflow.flow import Flow
from ovsdb.rows import AttachmentKey, PodPort, external_ids

CONTAINER = "c0ffee"
PORTS = {"web": "web-1a2b3c", "db": "db-4d5e6f"}
TRACES = Path(__file__).parent / "traces"


def uuid(number: int) -> UUID:
    return UUID(int=number)


def pod_port(pod: LocalPod, **changes: Any) -> PodPort:
    """The port of one of the example's pods, programmed."""
    values: dict[str, Any] = {
        "name": PORTS[pod.name],
        "key": AttachmentKey("weft", CONTAINER, "eth0"),
        "namespace": pod.namespace,
        "pod": pod.name,
        "uid": "u",
        "mac": pod.mac,
        "ips": pod.ips,
        "netns": "/run/netns/x",
        "ofport": int(pod.port),
        "programmed": CONTAINER,
    }
    return PodPort(**(values | changes))


def tables(*ports: PodPort, foreign: str = "") -> dict[str, dict[UUID, dict[str, Any]]]:
    """The rows of alpha's database with these pods' ports beside the bridge's own, and maybe somebody else's."""
    rows: dict[str, dict[UUID, dict[str, Any]]] = {"Bridge": {}, "Port": {}, "Interface": {}, "Controller": {}}
    rows["Open_vSwitch"] = {uuid(1): {"ovs_version": None}}
    rows["Controller"][uuid(2)] = {"target": "unix:/run/weft/openflow.sock", "is_connected": True}
    own = {
        "br-int": (65534, {}, None),
        "weft-tun0": (1, {"local_ip": "192.0.2.1"}, None),
        "weft-gw0": (2, {}, 1450),
    }
    for name, (number, options, mtu) in own.items():
        _add(rows, name, {"ofport": number, "options": options, "mtu_request": mtu})
    for port in ports:
        values = {"ofport": port.ofport, "error": port.error, "external_ids": external_ids(port)}
        _add(rows, port.name, values, {"weft-programmed": port.programmed} if port.programmed else {})
    if foreign:
        _add(rows, foreign, {"ofport": 99})
    rows["Bridge"][uuid(3)] = {
        "name": "br-int", "ports": frozenset(rows["Port"]), "datapath_id": "00000000000000a1",
        "datapath_type": "netdev", "external_ids": {"weft-node": "alpha"}, "controller": frozenset({uuid(2)}),
    }  # fmt: skip
    return rows


def _add(
    rows: dict[str, dict[UUID, dict[str, Any]]], name: str, values: dict[str, Any], ids: dict[str, str] | None = None
) -> None:
    number = 100 + 2 * len(rows["Port"])
    empty = {"ofport": None, "ifindex": None, "error": None, "external_ids": {}, "options": {}, "mtu_request": None}
    rows["Interface"][uuid(number)] = {**empty, "name": name, **values}
    port = {"name": name, "interfaces": frozenset({uuid(number)}), "external_ids": ids or {}}
    rows["Port"][uuid(number + 1)] = port


def view(*ports: PodPort, node: str = "") -> NodeView:
    """Node alpha; with web and db unless other ports are given."""
    chosen = ports or (pod_port(example.WEB), pod_port(example.DB))
    return read_node(Place("unix:/x/db.sock", Path("/x/br-int.mgmt"), node=node), tables(*chosen))


def seen() -> tuple[Seen, ...]:
    """Alpha's flows as its switch would report them."""
    return tuple(Seen("alpha", flow, 7, 700, 65.0) for flow in example.flows())


def packet(source: str = "10.10.0.5", target: str = "10.10.0.6", **changes: Any) -> Packet:
    """A packet of web's."""
    values = {"eth_src": example.WEB.mac, "eth_dst": ROUTER_MAC, "service": Service()}
    return Packet(3, source=ip_address(source), target=ip_address(target), **(values | changes))


def from_tunnel() -> Packet:
    """A packet that beta sends to web."""
    outer = Tunnel(ip_address("192.0.2.2"), ip_address("192.0.2.1"))
    return packet("10.10.1.9", "10.10.0.5", eth_src=ROUTER_MAC, tunnel=outer)


def captured_flows() -> tuple[Flow, ...]:
    """The flows that the switch held when the traces were captured."""
    lines = (TRACES / "flows.hex").read_text().splitlines()
    return tuple(decode(Encoded(*map(bytes.fromhex, line.split()))) for line in lines)


def trace(name: str) -> str:
    return (TRACES / f"{name}.txt").read_text()


def leg(name: str, sent: Packet | None = None) -> Leg:
    """Alpha's part of a journey, by the name of its trace."""
    return Leg(view(), sent or packet(), parse(trace(name)), index(captured_flows()), example.NAMES)
