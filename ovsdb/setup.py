"""The rows of a node's bridge, brought about in one idempotent transaction.

What is there already and right is not written again; what belongs to others is left alone and reported; what would
take pods off the network to change is refused with an error that says how to go on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ovsdb.errors import OvsdbError
from ovsdb.rows import (
    GATEWAY_PORT,
    NEEDS_PURGE,
    NODE,
    POD_QOS,
    TRANSPORT_ADDRESSES,
    TUNNEL_PORT,
    VERSION,
    IpAddress,
)
from ovsdb.txn import Handle, Txn

MINIMUM_OVS: Final = (2, 17)
RIGHT_MEGAFLOWS: Final = (3, 3)
"""First release all of whose versions are without the defect that `needs_purge` is about."""
# 1.5 is what Weft speaks; the others let plain `ovs-ofctl` look at a node without being told a version.
PROTOCOLS: Final = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")
# Milliseconds. The least that Open vSwitch allows: a controller that comes back is found within a second.
CONTROLLER_BACKOFF_MS: Final = 1000
CONTROLLER_PROBE_MS: Final = 5000


class BridgeError(OvsdbError):
    """The switch cannot be what the settings ask for; nothing was changed."""


@dataclass(frozen=True, slots=True)
class TunnelConfig:
    """The overlay: encapsulation, UDP port, and the node's own address (None: Open vSwitch picks it by route)."""

    kind: Literal["geneve", "vxlan"] = "geneve"
    dst_port: int = 6081
    local_ip: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """The bridge that the userspace datapath sends tunnels through, with the node's uplink as its port.

    The host's addresses and routes move from `interface` to the bridge's own device; `addressing` (the agent's own
    text) is remembered in the database first, so that a crash loses none. Give "", and what was remembered is kept.
    """

    interface: str
    mac: str
    addressing: str = ""
    bridge: str = "br-phy"


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """What a node's bridge shall be. `mtu` is the pods', in bytes; `controllers` are OpenFlow targets, None leaves
    those that there are.

    A `unix:` target must lie in Open vSwitch's own run directory: it ignores others.
    """

    name: str
    node: str
    version: str
    datapath_id: int
    datapath_type: Literal["netdev", "system"]
    controllers: tuple[str, ...] | None
    tunnel: TunnelConfig
    gateway_mac: str
    mtu: int
    transport: TransportConfig | None = None


def ensure_bridge(txn: Txn, config: BridgeConfig, version: str = "") -> str:
    """Compose the rows; the addressing that the transport bridge remembers, "" when there is none.

    `version`: of the ovs-vswitchd that runs, "" when it cannot be asked. Then what start-up scripts have noted in
    the database counts, which may be that of a binary since upgraded, or nothing.

    BridgeError: Open vSwitch is too old or lacks what is asked for, or the bridge is another node's or of another
    datapath type, or a port of ours sits on another bridge.
    """
    version = version or txn.get(txn.root(), "ovs_version") or ""
    _check_switch(txn, config, version)
    bridge = _bridge(txn, config)
    if needs_purge(config.datapath_type, version):
        txn.set_keys(bridge, "external_ids", {NEEDS_PURGE: "true"})
    else:
        txn.remove_keys(bridge, "external_ids", [NEEDS_PURGE])
    if config.controllers is not None:
        _set_controllers(txn, bridge, config.controllers)
    tunnel = {"type": config.tunnel.kind, "options": tunnel_options(config.tunnel)}
    gateway = {"type": "internal", "mac": config.gateway_mac, "mtu_request": config.mtu}
    _ensure_port(txn, bridge, TUNNEL_PORT, tunnel)
    _ensure_port(txn, bridge, GATEWAY_PORT, gateway)
    _transport(txn, config)
    return remembered_addressing(txn, config.transport.bridge) if config.transport else ""


def remembered_addressing(txn: Txn, bridge: str) -> str:
    """The text that `TransportConfig.addressing` was last given; "" when there is none."""
    row = txn.find("Bridge", bridge)
    return "" if row is None else str(txn.get(row, "external_ids").get(TRANSPORT_ADDRESSES, ""))


def tunnel_options(tunnel: TunnelConfig) -> dict[str, str]:
    """Interface.options of the tunnel port: destination and key come from each flow."""
    options = {"remote_ip": "flow", "key": "flow", "csum": "true", "dst_port": str(tunnel.dst_port)}
    return options | ({"local_ip": str(tunnel.local_ip)} if tunnel.local_ip else {})


def bridge_mac(datapath_id: int) -> str:
    """The bridge's own MAC (other_config:hwaddr), so that it does not follow the ports that come and go.

    Locally administered, from the node's digest; the first two bytes differ from those of the router's MAC.
    """
    return ":".join(f"{byte:02x}" for byte in (0x0E, 0x62, *(datapath_id & 0xFFFFFFFF).to_bytes(4, "big")))


def check_version(version: str) -> None:
    """BridgeError when `version` ("3.1.0") is older than Weft can work with. An unknown version ("") passes."""
    release = _release(version)
    if version and release is None:
        raise BridgeError(f"Open vSwitch's version {version!r} is no version number")
    if release and release < MINIMUM_OVS:
        least = ".".join(map(str, MINIMUM_OVS))
        raise BridgeError(f"Open vSwitch {version} is too old: Weft needs {least} or newer; upgrade it on this node")


def needs_purge(datapath_type: str, version: str) -> bool:
    """Whether this Open vSwitch may keep on forwarding by OpenFlow flows that it no longer has.

    Open vSwitch works out what to do with a packet, and keeps that as a datapath flow (megaflow) for all packets that
    it would do the same with. When OpenFlow flows change, it works the megaflows out anew and changes their actions.
    The userspace datapath finds the megaflow to change by the headers of a packet and not by its id
    (dpif_netdev_flow_put in lib/dpif-netdev.c). Megaflows may overlap while they do the same: of two that do, one is
    changed twice then, and the other not at all. As long as packets meet it, it lets through what is denied since,
    or drops what is allowed. The kernel's datapath finds megaflows by id. So does the userspace datapath of 3.3; of
    2.17, 3.0, 3.1 and 3.2 some later versions, which are not told from the others here. A version that is not known
    ("") may have the defect.

    What helps is to have the datapath forget all megaflows once a change of OpenFlow flows is in place.
    """
    release = _release(version)
    return datapath_type == "netdev" and (release is None or release < RIGHT_MEGAFLOWS)


def _release(version: str) -> tuple[int, int] | None:
    """(3, 1) for "3.1.0"; None when it does not begin like that."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _check_switch(txn: Txn, config: BridgeConfig, version: str) -> None:
    check_version(version)
    # Both lists are ovs-vswitchd's; they are empty when it has never run on this database.
    for column, wanted in (("datapath_types", config.datapath_type), ("iface_types", config.tunnel.kind)):
        offered = txn.get(txn.root(), column)
        if offered and wanted not in offered:
            raise BridgeError(
                f"this Open vSwitch has no {wanted!r} (Open_vSwitch.{column} = {', '.join(sorted(offered))})"
            )


def _bridge(txn: Txn, config: BridgeConfig) -> Handle:
    columns = {"fail_mode": "secure", "protocols": list(PROTOCOLS)}
    other_config = {
        "datapath-id": f"{config.datapath_id:016x}",
        "hwaddr": bridge_mac(config.datapath_id),
        # In-band control would add hidden flows that let controller traffic pass every table.
        "disable-in-band": "true",
    }
    external_ids = {NODE: config.node, VERSION: config.version}
    bridge = txn.find("Bridge", config.name)
    if bridge is None:
        bridge = _new_bridge(txn, config.name, config.datapath_type)
    else:
        _check_same(txn, bridge, config.datapath_type, config.node)
    txn.update(bridge, columns)
    txn.set_keys(bridge, "other_config", other_config)
    txn.set_keys(bridge, "external_ids", external_ids)
    return bridge


def _check_same(txn: Txn, bridge: Handle, datapath_type: str, node: str) -> None:
    name = txn.get(bridge, "name")
    has = txn.get(bridge, "datapath_type") or "system"
    if has != datapath_type:
        raise BridgeError(
            f"bridge {name} has datapath_type={has}, the settings say {datapath_type}: changing it would cut off"
            f" every pod; drain the node and `ovs-vsctl del-br {name}`, or set it back"
        )
    owner = txn.get(bridge, "external_ids").get(NODE, node)
    if owner != node:
        raise BridgeError(
            f"bridge {name} belongs to node {owner!r}, this is {node!r}: if the node was renamed, drain it and"
            f" `ovs-vsctl del-br {name}`; if not, two agents share one Open vSwitch"
        )


def _new_bridge(txn: Txn, name: str, datapath_type: str) -> Handle:
    if txn.find("Port", name) is not None:
        raise BridgeError(f"bridge {name} cannot be made: another bridge has a port of that name; delete the port")
    local = _new_port(txn, name, {"type": "internal"})
    bridge = txn.insert("Bridge", {"name": name, "datapath_type": datapath_type, "ports": [local]})
    txn.link(txn.root(), "bridges", bridge)
    return bridge


def _new_port(txn: Txn, name: str, interface: Mapping[str, Any], port: Mapping[str, Any] | None = None) -> Handle:
    row = txn.insert("Interface", {"name": name, **interface})
    return txn.insert("Port", {"name": name, "interfaces": [row], **(port or {})})


def add_port(
    txn: Txn, bridge: Handle, name: str, interface: Mapping[str, Any], port: Mapping[str, Any] | None = None
) -> None:
    """A new port with one interface, of these columns. BridgeError: the name is taken."""
    if txn.find("Port", name) is not None or txn.find("Interface", name) is not None:
        raise BridgeError(f"port {name} is there already, and is something else; delete it or rename")
    txn.link(bridge, "ports", _new_port(txn, name, interface, port))


def pod_qos(txn: Txn) -> Handle:
    """Port.qos of pods: one row for all, of the type by which Open vSwitch has no part in a device's qdiscs.

    Without it, it removes them whenever it is configured anew, those of chained plugins too (netdev_linux_set_qos in
    lib/netdev-linux.c).
    """
    for row in txn.rows("QoS"):
        if POD_QOS in txn.get(row, "external_ids"):
            return row
    return txn.insert("QoS", {"type": "linux-noop", "external_ids": {POD_QOS: "true"}})


def _ensure_port(txn: Txn, bridge: Handle, name: str, interface: Mapping[str, Any]) -> None:
    port = txn.find("Port", name)
    if port is None:
        add_port(txn, bridge, name, interface)
        return
    if port not in txn.get(bridge, "ports"):
        on = txn.get(bridge, "name")
        raise BridgeError(f"port {name} is on another bridge than {on}: `ovs-vsctl del-port {name}` and start again")
    txn.update(txn.get(port, "interfaces")[0], interface)


def _set_controllers(txn: Txn, bridge: Handle, targets: Iterable[str]) -> None:
    """Rows of targets that stay are kept: making one anew would drop its connection."""
    settings = {
        "connection_mode": "out-of-band",
        "max_backoff": CONTROLLER_BACKOFF_MS,
        "inactivity_probe": CONTROLLER_PROBE_MS,
    }
    present = {txn.get(row, "target"): row for row in txn.get(bridge, "controller")}
    for target in dict.fromkeys(targets):
        row = present.pop(target, None)
        if row is None:
            txn.link(bridge, "controller", txn.insert("Controller", {"target": target, **settings}))
        else:
            txn.update(row, settings)
    for row in present.values():
        txn.unlink(bridge, "controller", row)


def _transport(txn: Txn, config: BridgeConfig) -> None:
    """The transport bridge, with what it is to remember."""
    transport = config.transport
    if transport is None:
        return
    bridge = txn.find("Bridge", transport.bridge)
    if bridge is None:
        bridge = _new_bridge(txn, transport.bridge, config.datapath_type)
    else:
        _check_same(txn, bridge, config.datapath_type, config.node)
    # An ordinary learning switch, with the uplink's MAC so that neighbours and switches see no change.
    txn.update(bridge, {"fail_mode": "standalone"})
    txn.set_keys(bridge, "other_config", {"hwaddr": transport.mac})
    remembered = {TRANSPORT_ADDRESSES: transport.addressing} if transport.addressing else {}
    txn.set_keys(bridge, "external_ids", {NODE: config.node, **remembered})
    _ensure_port(txn, bridge, transport.interface, {"type": ""})
