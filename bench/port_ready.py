"""`port-ready`: from writing a port's rows to hearing that its flows are in place.

Weft answers with `weft-programmed`, OVN with `ovn-installed`; one client asks both, in turns, on two switches of one
version. Both know the pod (the logical port) beforehand, and the device is there: Weft's as its agent makes it, OVN's
a plain veth pair that is up. The ports before it stay.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address

from pyroute2 import IPRoute

from bench.metric import Metric, Samples
from bench.ovn import BRIDGE, NAME, ovn
from bench.plugin import Pod
from bench.ports import Mark, PortClient
from bench.stage import Obj, Stage, stage
from lab import netns
from lab.names import Datapath
from lab.node import NodeConfig
from node_agent import wiring
from node_agent.attach import interface_addresses, pod_mac
from node_agent.netns import NetNs
from openflow.constants import ROUTER_MAC
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import PROGRAMMED, AttachmentKey, PodPort, external_ids, port_name

OURS, PEER = "bench-port-weft", "bench-port-ovn"
PORTS = 50
PAUSE_SECONDS = 0.1
_WARM_UP = 3
_FIRST_NUMBER = 16
_MTU = 1450
_GATEWAYS = (IPv4Address("10.244.1.1"), IPv6Address("fd57:244:0:1::1"))


def run(ports: int = PORTS) -> Iterator[Metric]:
    """Add `ports` ports on either side, one after the other."""
    with ExitStack() as stack:
        weft = stack.enter_context(stage(OURS))
        peer = stack.enter_context(stage(PEER, weft=False))
        loop = stack.enter_context(OvsdbLoop("bench"))
        rows = _weft_ports(weft, stack, ports + _WARM_UP)
        logical = _ovn_ports(peer, stack, ports + _WARM_UP)
        clients = [PortClient(loop, f"unix:{each.node.paths.ovsdb_socket}", BRIDGE) for each in (weft, peer)]
        ours, theirs = [], []
        for number, (port, name) in enumerate(zip(rows, logical, strict=True), start=_FIRST_NUMBER):
            columns = {"external_ids": external_ids(port), "ofport_request": number}  # as the agent writes them
            ours.append(_settled(clients[0], port.name, columns, Mark("Port", PROGRAMMED, port.key.container)))
            installed = Mark("Interface", "ovn-installed", "true")
            theirs.append(_settled(clients[1], name, {"external_ids": {"iface-id": name}}, installed))
    yield from Samples(ours[_WARM_UP:], theirs[_WARM_UP:], NAME).metrics("port-ready")


def _settled(client: PortClient, name: str, columns: Mapping[str, object], mark: Mark) -> float:
    """One port, then a pause: what a switch still does for the one before must not be charged to the next."""
    found = client.ready_ms(name, columns, mark)
    time.sleep(PAUSE_SECONDS)
    return found


def _weft_ports(weft: Stage, stack: ExitStack, count: int) -> list[PodPort]:
    pods = weft.pods(count, "p")
    boxes = weft.sandboxes(pods, stack)
    ports = [_pod_port(pod, number) for number, pod in enumerate(pods, start=2)]
    netns.run_in(weft.node.namespace, lambda: _wire(weft.node, zip(ports, boxes, strict=True)))
    return ports


def _wire(node: NodeConfig, ports: Iterable[tuple[PodPort, Pod]]) -> None:
    userspace = node.datapath is Datapath.USERSPACE
    for port, pod in ports:
        attachment = wiring.Attachment(
            port.name, "eth0", port.mac, interface_addresses(port), _GATEWAYS, ROUTER_MAC, _MTU, userspace
        )
        with NetNs.open(str(pod.netns)) as inside:
            wiring.create(attachment, inside)
            wiring.configure(attachment, inside)


def _pod_port(pod: Obj, number: int) -> PodPort:
    meta = pod["metadata"]
    key = AttachmentKey("weft", f"bench{number}", "eth0")
    ips = (IPv4Address("10.244.1.0") + number, IPv6Address("fd57:244:0:1::") + number)
    name = port_name(meta["namespace"], meta["name"], key)
    return PodPort(name, key, meta["namespace"], meta["name"], meta["uid"], pod_mac(key), ips, "/run/netns/none")


def _ovn_ports(peer: Stage, stack: ExitStack, count: int) -> list[str]:
    logical = [f"lp{number}" for number in range(2, count + 2)]
    system = stack.enter_context(ovn(peer))
    system.add_logical_ports(
        [(name, f"{_mac(i)} 10.244.1.{i} fd57:244:0:1::{i:x}") for i, name in enumerate(logical, start=2)]
    )
    netns.run_in(peer.node.namespace, lambda: _veths(logical))
    return logical


def _mac(number: int) -> str:
    return f"0a:00:00:00:00:{number:02x}"


def _veths(ports: Sequence[str]) -> None:
    with IPRoute() as ip:
        for number, name in enumerate(ports):
            ip.link("add", ifname=name, kind="veth", peer={"ifname": f"peer{number}"})
            for end in (name, f"peer{number}"):
                ip.link("set", ifname=end, state="up")
