"""The OVSDB contract between agent and controller: key names, values, and the border where rows become values.

The agent writes a pod's Port and Interface rows with `external_ids`, the controller reads them with `parse_port`;
`parse_port(external_ids(port)) == port` is held by a property test. Everything here is pure: rows come in as plain
dicts (see `Row`), never as objects of the OVSDB library. Design, section 4.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final
from uuid import UUID

from ovsdb.errors import RowError

# Interface.external_ids, written by the agent. The first two are Open vSwitch's own conventions.
IFACE_ID: Final = "iface-id"
ATTACHED_MAC: Final = "attached-mac"
IPS: Final = "weft-ips"
CONTAINER: Final = "weft-container"
IFNAME: Final = "weft-ifname"
NETNS: Final = "weft-netns"
NETWORK: Final = "weft-network"
POD_UID: Final = "weft-pod-uid"
# Port.external_ids, written by the controller: the container id whose flows are in place.
PROGRAMMED: Final = "weft-programmed"
# Port.external_ids, written by the agent: the container id that a DEL is removing.
LEAVING: Final = "weft-leaving"
# Bridge.external_ids, written by the agent.
NODE: Final = "weft-node"
VERSION: Final = "weft-version"
TRANSPORT_ADDRESSES: Final = "weft-transport-addresses"
NEEDS_PURGE: Final = "weft-needs-purge"
PURGED: Final = "weft-purged"
# QoS.external_ids, written by the agent: it is the row of the pods' ports.
POD_QOS: Final = "weft-pods"
# Bridge.external_ids, written by the controller.
PURGE: Final = "weft-purge"

TUNNEL_PORT: Final = "weft-tun0"
GATEWAY_PORT: Final = "weft-gw0"
OUR_PREFIX: Final = "weft-"

IpAddress = IPv4Address | IPv6Address
Row = Mapping[str, Any]
"""One row as plain values: a map column is a dict, a set a frozenset, an optional scalar the value or None."""
Tables = Mapping[str, Mapping[UUID, Row]]
"""Rows by table and row id."""

_NAME_BYTES = 15  # IFNAMSIZ less the NUL
_HASH_DIGITS = 6
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_CNI_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")  # CNI SPEC 1.1.0, CNI_CONTAINERID and `name`
_IFNAME = re.compile(r"[^\s/:]{1,15}")  # SPEC: CNI_IFNAME
_NUMBER = re.compile(r"[0-9]{1,18}")
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?")  # RFC 1123 label or subdomain


@dataclass(frozen=True, slots=True, order=True)
class AttachmentKey:
    """One attachment of a container to a network: the key of CNI's state (SPEC, "Container ID")."""

    network: str
    container: str
    ifname: str


@dataclass(frozen=True, slots=True)
class PodPort:
    """A pod's port: one Port row and its one Interface row.

    `netns` is CNI_NETNS as the runtime gave it; `uid` is "" when the runtime named none. `ofport` is None until
    ovs-vswitchd has opened the device, and again when it cannot (`error` says why). `requested` is the number that
    the agent asked for (Interface.ofport_request). `programmed` is the container id whose flows are in place;
    `leaving` that a DEL is removing the port, so that it is to have no flows any more.
    """

    name: str
    key: AttachmentKey
    namespace: str
    pod: str
    uid: str
    mac: str
    ips: tuple[IpAddress, ...]
    netns: str
    ofport: int | None = None
    error: str | None = None
    programmed: str | None = None
    requested: int | None = None
    leaving: bool = False

    @property
    def number(self) -> int | None:
        """The OpenFlow port number that flows name: the port's, or before it is opened, the one it will get."""
        return self.ofport if self.ofport is not None or self.error else self.requested

    @property
    def ready(self) -> bool:
        """Whether the flows of just this container are in place."""
        return self.programmed == self.key.container


@dataclass(frozen=True, slots=True)
class SystemPort:
    """One of the bridge's own ports: tunnel, gateway or local. `ifindex` changes when its device is made again."""

    name: str
    ofport: int | None
    ifindex: int | None


@dataclass(frozen=True, slots=True)
class ForeignPort:
    """A port that is not Weft's: left alone and reported."""

    name: str


@dataclass(frozen=True, slots=True)
class PortRefused:
    """A port with Weft's keys that breaks the contract, and what is wrong with it."""

    name: str
    why: str


PortReading = PodPort | SystemPort | ForeignPort | PortRefused


@dataclass(frozen=True, slots=True)
class Purging:
    """How far the purging of datapath flows is, which some releases of Open vSwitch need (`ovsdb.setup.needs_purge`).

    `asked` grows when a change of OpenFlow flows is in place; `served` is what `asked` was before the last purge, so
    no datapath flow is older than the OpenFlow flows when they are equal. Each is 0 before the first time.
    """

    needed: bool = False
    asked: int = 0
    served: int = 0


@dataclass(frozen=True, slots=True)
class Bridge:
    """A node's bridge with everything on it.

    `node` is "" on a bridge that the agent has not claimed. `system` has the OpenFlow port of the bridge's own
    ports (tunnel, gateway, local). `refused` says, by port, what is wrong with one of ours; `foreign` are others'.
    """

    name: str
    node: str
    version: str
    datapath_id: int | None
    datapath_type: str
    ports: Mapping[str, PodPort] = field(default_factory=dict)
    system: Mapping[str, int | None] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    purging: Purging = Purging()


def port_name(namespace: str, pod: str, key: AttachmentKey) -> str:
    """Name of a pod's host device and port: `<start of the pod's name>-<6 hex>`, at most 15 bytes.

    The same for the same namespace, pod and attachment. The digest is over all of them, so a pod that is made
    again under its old name gets another port name, because its container is another.
    """
    identity = "\0".join((namespace, pod, key.network, key.container, key.ifname))
    digest = blake2b(identity.encode(), digest_size=_HASH_DIGITS // 2).hexdigest()
    prefix = re.sub(r"[^a-z0-9.\-]", "", pod)[: _NAME_BYTES - _HASH_DIGITS - 1].strip(".-")
    return f"{prefix or 'pod'}-{digest}"


def datapath_id(node: str) -> int:
    """The 64-bit OpenFlow datapath id of a node's bridge: a digest of the node's name, so it never changes."""
    # Never 0: Open vSwitch refuses that id.
    return int.from_bytes(blake2b(node.encode(), digest_size=8).digest(), "big") or 1


def external_ids(port: PodPort) -> dict[str, str]:
    """Interface.external_ids of a pod's port: the writer's side of `parse_port`."""
    values = {
        IFACE_ID: f"{port.namespace}/{port.pod}",
        ATTACHED_MAC: port.mac,
        IPS: ",".join(map(str, port.ips)),
        CONTAINER: port.key.container,
        IFNAME: port.key.ifname,
        NETNS: port.netns,
        NETWORK: port.key.network,
    }
    return values | ({POD_UID: port.uid} if port.uid else {})


def is_pod_port(interface: Row) -> bool:
    """Whether an Interface row claims to be a pod's: it has any of our keys."""
    return any(key.startswith(OUR_PREFIX) for key in interface["external_ids"])


def parse_port(port: Row, interface: Row) -> PodPort:
    """The value of a pod's rows. RowError: a key is missing or its value is not what the contract says."""
    keys = _Keys(port["name"], interface["external_ids"])
    namespace, pod = keys.pod()
    return PodPort(
        name=port["name"],
        key=AttachmentKey(keys.text(NETWORK, _CNI_ID), keys.text(CONTAINER, _CNI_ID), keys.text(IFNAME, _IFNAME)),
        namespace=namespace,
        pod=pod,
        uid=interface["external_ids"].get(POD_UID, ""),
        mac=keys.mac(),
        ips=keys.ips(),
        netns=keys.text(NETNS),
        ofport=_ofport(interface),
        requested=interface.get("ofport_request"),
        error=interface["error"] or None,
        programmed=port["external_ids"].get(PROGRAMMED),
        leaving=port["external_ids"].get(LEAVING) == interface["external_ids"].get(CONTAINER),
    )


def read_port(bridge: str, port: Row, interfaces: Sequence[Row]) -> PortReading:
    """What a port of the bridge is: a pod's, our own, somebody else's, or one of ours that cannot be read."""
    name = port["name"]
    if name in (bridge, TUNNEL_PORT, GATEWAY_PORT):
        return SystemPort(name, _ofport(interfaces[0]), interfaces[0]["ifindex"] or None)
    if not any(map(is_pod_port, interfaces)):
        return ForeignPort(name)
    try:
        if len(interfaces) != 1:
            raise RowError(f"port {name}: a pod's port has one interface, not {len(interfaces)}; delete the port")
        return parse_port(port, interfaces[0])
    except RowError as e:
        return PortRefused(name, str(e))


def parse_bridge(name: str, tables: Tables) -> Bridge | None:
    """The bridge of that name with all its ports, from rows of Bridge, Port and Interface; None: no such bridge.

    A port that breaks the contract is listed in `refused`; it never hides the others.
    """
    found = find_bridge(name, tables)
    if found is None:
        return None
    row = tables["Bridge"][found]
    ports = (tables["Port"][key] for key in row["ports"])
    return bridge_of(
        row, [read_port(name, port, [tables["Interface"][key] for key in port["interfaces"]]) for port in ports]
    )


def find_bridge(name: str, tables: Tables) -> UUID | None:
    """Row id of the bridge of that name."""
    return next((key for key, row in tables["Bridge"].items() if row["name"] == name), None)


def bridge_of(row: Row, ports: Iterable[PortReading]) -> Bridge:
    """The bridge of that row, with ports that were read already."""
    ids, dpid = row["external_ids"], row["datapath_id"]
    return Bridge(
        name=row["name"],
        node=ids.get(NODE, ""),
        version=ids.get(VERSION, ""),
        datapath_id=int(dpid, 16) if dpid else None,
        datapath_type=row["datapath_type"] or "system",
        purging=parse_purging(ids),
        **by_kind(ports),
    )


def parse_purging(ids: Mapping[str, str]) -> Purging:
    """From Bridge.external_ids. What is no number counts as none: the next one is written over it."""
    asked, served = (int(ids[key]) if _NUMBER.fullmatch(ids.get(key, "")) else 0 for key in (PURGE, PURGED))
    return Purging(ids.get(NEEDS_PURGE) == "true", asked, served)


def by_kind(ports: Iterable[PortReading]) -> dict[str, Any]:
    """Ports as the fields of `Bridge` that list them, in the order of their names."""
    read = sorted(ports, key=lambda port: port.name)
    return {
        "ports": {port.name: port for port in read if isinstance(port, PodPort)},
        "system": {port.name: port.ofport for port in read if isinstance(port, SystemPort)},
        "foreign": frozenset(port.name for port in read if isinstance(port, ForeignPort)),
        "refused": {port.name: port.why for port in read if isinstance(port, PortRefused)},
    }


def _ofport(interface: Row) -> int | None:
    # Open vSwitch writes -1 for a device that it could not open.
    ofport = interface["ofport"]
    return ofport if ofport is not None and ofport > 0 else None


@dataclass(frozen=True, slots=True)
class _Keys:
    """Interface.external_ids of one port, read strictly."""

    port: str
    values: Mapping[str, str]

    def refuse(self, key: str, why: str) -> RowError:
        value = self.values.get(key)
        shown = "is missing" if value is None else f"= {value!r}: {why}"
        return RowError(f"port {self.port}: Interface.external_ids:{key} {shown}; delete the port to free it")

    def text(self, key: str, pattern: re.Pattern[str] = re.compile(r".+")) -> str:
        value = self.values.get(key)
        if value is None or not pattern.fullmatch(value):
            raise self.refuse(key, f"does not match {pattern.pattern}")
        return value

    def pod(self) -> tuple[str, str]:
        namespace, slash, pod = self.values.get(IFACE_ID, "").partition("/")
        if not slash or not _KUBERNETES_NAME.fullmatch(namespace) or not _KUBERNETES_NAME.fullmatch(pod):
            raise self.refuse(IFACE_ID, "not <namespace>/<pod>")
        return namespace, pod

    def mac(self) -> str:
        mac = self.values.get(ATTACHED_MAC, "").lower()
        if not _MAC.fullmatch(mac):
            raise self.refuse(ATTACHED_MAC, "not a MAC address (six colon-separated bytes)")
        if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
            raise self.refuse(ATTACHED_MAC, "not a unicast MAC address")
        return mac

    def ips(self) -> tuple[IpAddress, ...]:
        try:
            ips = tuple(ip_address(text) for text in self.values.get(IPS, "").split(","))
        except ValueError as e:
            raise self.refuse(IPS, "not a comma-separated list of IP addresses") from e
        if len({ip.version for ip in ips}) != len(ips):
            raise self.refuse(IPS, "more than one address of a family")
        return ips
