"""Takes Weft off a node for good: what is left when neither agent nor controller will run here again.

Pods that run lose their network. What was moved or changed goes back where it came from; what others may rely on by
now stays, which is forwarding (`net.ipv4.ip_forward`). Everything is found by what only Weft has (the group of pods'
interfaces, the protocol of its routes, its nftables table, keys in the switch's database), may be gone already, and
may be removed twice.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cni import conflist
from node_agent import host, nft, rtnl, rtnl_read, transport, wiring
from node_agent.netlink import Netlink
from node_agent.nlmsg import NetlinkError
from node_agent.transport import Addressing, AddressingError, Transport
from ovsdb.rows import GATEWAY_PORT, NODE, TRANSPORT_ADDRESSES

_SECONDS = 30.0
_KERNEL_DATAPATH, _USER_DATAPATH = "ovs-system", "ovs-netdev"
_ACCESS = {"manager_options": 2, "ssl": 3}
"""Columns of the table Open_vSwitch, and where `_QUERY` asks for the rows that they name."""
_QUERY = json.dumps([
    "Open_vSwitch",
    {"op": "select", "table": "Bridge", "where": [], "columns": ["name", "external_ids", "ports"]},
    {"op": "select", "table": "Port", "where": [], "columns": ["_uuid", "name"]},
    {"op": "select", "table": "Manager", "where": [], "columns": ["_uuid", "external_ids"]},
    {"op": "select", "table": "SSL", "where": [], "columns": ["_uuid", "external_ids"]},
])  # fmt: skip


class RemovalError(RuntimeError):
    """Weft cannot be taken off this node now; the message says what to do first."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are. `root` is where the node's files are seen, which in a container is not /."""

    root: Path = Path("/")
    bin_dir: Path = Path("/opt/cni/bin")
    conf_dir: Path = Path("/etc/cni/net.d")
    run_dir: Path = Path("/run/weft")
    data_dir: Path = Path("/var/lib/weft")
    host_ovs: Path = Path("/run/openvswitch/db.sock")

    def on_node(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    @property
    def cni_socket(self) -> Path:
        return self.on_node(self.run_dir / "cni.sock")

    @property
    def database(self) -> Path:
        """Of an Open vSwitch that ran in a pod."""
        return self.on_node(self.data_dir / "openvswitch" / "conf.db")


@dataclass(frozen=True, slots=True)
class Switch:
    """What a switch's database says of Weft: its bridges, the interface that one of them took over, if any, and rows
    by which the database is reached over TLS, as (column of Open_vSwitch, UUID)."""

    bridges: tuple[str, ...] = ()
    transport: Transport | None = None
    access: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Bridge:
    name: str
    keys: Mapping[str, str]
    ports: tuple[str, ...] = field(default=())


def remove(places: Places) -> Iterator[str]:
    """Remove everything; yields what was removed, as it goes.

    Raises RemovalError, NetlinkError, NftError or OSError.
    """
    _refuse_while_served(places)
    # No pod comes any more before those that are there go.
    for path in (places.conf_dir / conflist.CONFLIST_NAME, places.bin_dir / conflist.PLUGIN_NAME):
        if places.on_node(path).exists():
            places.on_node(path).unlink()
            yield f"file {path}"
    for name in wiring.host_interfaces():
        if wiring.delete(name):
            yield f"pod interface {name}"
    running, switch = _find_switch(places)
    yield from _give_back(switch)
    yield from _remove_switch(running, switch)
    if nft.listing():
        nft.remove()
        yield f"nftables table {nft.TABLE}"
    for directory in (places.run_dir, places.data_dir):
        if _emptied(places.on_node(directory)):
            yield f"directory {directory}"


def read_switch(answer: str) -> Switch:
    """From what `ovsdb-client query` or `ovsdb-tool query` answer to `_QUERY` (RFC 7047, 4.1.3).

    Raises RemovalError.
    """
    try:
        results = json.loads(answer)
        bridges = _bridges(results)
        ours = tuple(each.name for each in bridges if NODE in each.keys or TRANSPORT_ADDRESSES in each.keys)
        moved = next((each for each in bridges if TRANSPORT_ADDRESSES in each.keys), None)
        access = [(column, uuid) for column, place in _ACCESS.items() for uuid in _ours(results[place]["rows"])]
        return Switch(ours, _transport(moved) if moved else None, tuple(access))
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise RemovalError(f"the switch's database says what cannot be read: {e}") from e


def _bridges(results: list[Any]) -> list[_Bridge]:
    names = {row["_uuid"][1]: row["name"] for row in results[1]["rows"]}
    return [
        _Bridge(row["name"], dict(row["external_ids"][1]), tuple(names[uuid] for uuid in _uuids(row["ports"])))
        for row in results[0]["rows"]
    ]


def _ours(rows: list[Any]) -> list[str]:
    return [row["_uuid"][1] for row in rows if NODE in dict(row["external_ids"][1])]


def _uuids(value: list[Any]) -> list[str]:
    """A set of one is written as its member (RFC 7047, 5.1)."""
    members = value[1] if value[0] == "set" else [value]
    return [uuid for _, uuid in members]


def _transport(bridge: _Bridge) -> Transport | None:
    interface = next((name for name in bridge.ports if name != bridge.name), None)
    try:
        addressing = Addressing.parse(bridge.keys[TRANSPORT_ADDRESSES])
    except AddressingError as e:
        raise RemovalError(str(e)) from e
    return Transport(interface, bridge.name, addressing) if interface else None


def _refuse_while_served(places: Places) -> None:
    if _answers(places.cni_socket):
        raise RemovalError(
            f"weft-agent serves {places.cni_socket}, so Weft is still installed here: uninstall it first"
            " (helm uninstall)"
        )


def _find_switch(places: Places) -> tuple[bool, Switch]:
    """Whether Open vSwitch is a running service of the node, and what its database, or that of a pod's, says."""
    server = places.on_node(places.host_ovs)
    if _answers(server):
        return True, read_switch(_output("ovsdb-client", "query", f"unix:{server}", _QUERY))
    if places.database.exists():
        return False, read_switch(_output("ovsdb-tool", "query", str(places.database), _QUERY))
    return False, Switch()


def _give_back(switch: Switch) -> Iterator[str]:
    """Addresses and routes back to the transport interface, before the bridge's device that has them goes."""
    if switch.transport is not None:
        try:
            done = transport.detach_transport(switch.transport)
        except NetlinkError as e:
            raise RemovalError(f"{switch.transport.interface} cannot be given its addresses back: {e}") from e
        if done:
            yield f"bridge port {switch.transport.interface}, which has its addresses back"


def _remove_switch(running: bool, switch: Switch) -> Iterator[str]:
    with Netlink() as netlink:
        routes = rtnl_read.routes(netlink, host.ROUTE_PROTOCOL)
        netlink.execute([rtnl.delete_route(route, GATEWAY_PORT) for route in routes])
    yield from (f"route {route}" for route in routes)
    if running:
        for bridge in switch.bridges:
            _output("ovs-vsctl", "--timeout=10", "--if-exists", "del-br", bridge)
            yield f"bridge {bridge}"
        for column, uuid in switch.access:
            _output("ovs-vsctl", "--timeout=10", "remove", "Open_vSwitch", ".", column, uuid)
            yield f"what {column} says of TLS"
        return
    # Its devices outlive a switch: TAP devices are made to, and a kernel datapath is the kernel's.
    for name in (GATEWAY_PORT, *switch.bridges, _USER_DATAPATH):
        yield from _deleted(name)
    if _exists(_KERNEL_DATAPATH):
        _output("ovs-dpctl", "del-dp", f"system@{_KERNEL_DATAPATH}")
        yield f"datapath {_KERNEL_DATAPATH}"


def _deleted(name: str) -> Iterator[str]:
    with Netlink() as netlink:
        if rtnl_read.link(netlink, name) is not None:
            netlink.execute([rtnl.delete_link(name)])
            yield f"interface {name}"


def _exists(name: str) -> bool:
    with Netlink() as netlink:
        return rtnl_read.link(netlink, name) is not None


def _emptied(directory: Path) -> bool:
    """Remove the directory with all that is in it; only the latter where it is a mount. False: it was not there."""
    if not directory.is_dir():
        return False
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not directory.is_mount():
        directory.rmdir()
    return True


def _answers(server: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(server))
        except OSError:
            return False
    return True


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError as e:
        raise RemovalError(f"{command[0]} is not installed here; it comes with Open vSwitch") from e
    if done.returncode != 0:
        raise RemovalError(f"{' '.join(command[:2])}: {done.stderr.strip()}")
    return done.stdout
