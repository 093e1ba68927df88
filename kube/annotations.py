"""What Weft's parts tell each other by the annotations `weft.dev/*` of Kubernetes objects.

An agent tells about its node on the Node object; it formats them, the controller and other agents parse them; both
use one type, so they cannot disagree. Each is optional: a node that joins has none until its agent has run. The
active controller tells on its Lease where it listens for switches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from kube.errors import ParseError
from kube.objects import IPAddress, Meta

TUNNEL_IP = "weft.dev/tunnel-ip"
OVSDB = "weft.dev/ovsdb"
DATAPATH_ID = "weft.dev/datapath-id"
MTU = "weft.dev/mtu"
OPENFLOW = "weft.dev/openflow"

T = TypeVar("T")

MTU_MIN, MTU_MAX = 576, 65535  # RFC 791: every host takes 576; 65535 is the largest IP packet
_HEX16 = re.compile(r"[0-9a-f]{16}")
_DECIMAL = re.compile(r"[0-9]{1,5}")
_UNIX_PATH_MAX = 107  # sockaddr_un.sun_path less its terminating zero


@dataclass(frozen=True, slots=True)
class NodeAnnotations:
    """A node as its agent describes it; None where the agent has said nothing yet.

    `tunnel_ip` is the outer address of packets to this node; `ovsdb` the connection to its switch database in
    Open vSwitch's words (`unix:/path`, `tcp:IP:PORT`, `ssl:IP:PORT`); `datapath_id` the bridge's 64-bit
    OpenFlow id; `mtu` that of its pods, in bytes.
    """

    tunnel_ip: IPAddress | None = None
    ovsdb: str | None = None
    datapath_id: int | None = None
    mtu: int | None = None

    @classmethod
    def parse(cls, node: str, annotations: Mapping[str, str]) -> NodeAnnotations:
        """Read the annotations of Node `node`; others than `weft.dev/*` are skipped. Raises ParseError."""
        return cls(
            tunnel_ip=_read(("Node", node), annotations, TUNNEL_IP, tunnel_ip),
            ovsdb=_read(("Node", node), annotations, OVSDB, ovsdb_remote),
            datapath_id=_read(("Node", node), annotations, DATAPATH_ID, datapath_id),
            mtu=_read(("Node", node), annotations, MTU, mtu),
        )

    def format(self) -> dict[str, str]:
        """The annotations that say this, only those that are known. `parse` of it gives this value again."""
        texts = {
            TUNNEL_IP: None if self.tunnel_ip is None else str(self.tunnel_ip),
            OVSDB: self.ovsdb,
            DATAPATH_ID: None if self.datapath_id is None else f"{self.datapath_id:016x}",
            MTU: None if self.mtu is None else str(self.mtu),
        }
        return {name: text for name, text in texts.items() if text is not None}


def openflow_of(lease: Meta) -> str | None:
    """Where the controller that holds the Lease listens for switches; None: nobody has said. Raises ParseError."""
    return _read(("Lease", lease.key), lease.annotations, OPENFLOW, openflow_target)


def openflow_target(text: str) -> str:
    """Where a switch may be told to connect to: `ssl:IP:PORT`, `unix:/abs/path`, or `tcp:IP:PORT` on a loopback
    address, because nothing but TLS leaves a machine. Raises ValueError."""
    method, _, rest = text.partition(":")
    if method == "unix":
        _check_path(rest)
        return text
    if method not in ("tcp", "ssl"):
        raise ValueError("give ssl:IP:PORT, unix:/absolute/path, or tcp:IP:PORT on a loopback address")
    address = _check_endpoint(rest)
    if address.is_unspecified or address.is_multicast:
        raise ValueError("nobody can connect to it; give an address of the controller's node")
    if method == "tcp" and not address.is_loopback:
        raise ValueError("without TLS only loopback addresses are allowed; give ssl:IP:PORT")
    return text


def tunnel_ip(text: str) -> IPAddress:
    """An address that another node can send a tunnel packet to. Raises ValueError that says what is wrong."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("not an IPv4 or IPv6 address") from None
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise ValueError("other nodes cannot send to it; give a unicast address of the uplink")
    if isinstance(address, IPv6Address) and (address.is_link_local or address.scope_id):
        raise ValueError("a link-local address needs a zone; give a global or unique local address")
    return address


def ovsdb_remote(text: str) -> str:
    """A connection method, ovsdb(7): `unix:/abs/path`, `tcp:IP:PORT` or `ssl:IP:PORT`. Raises ValueError."""
    method, _, rest = text.partition(":")
    if method == "unix":
        _check_path(rest)
    elif method in ("tcp", "ssl"):
        _check_endpoint(rest)
    else:
        raise ValueError("give unix:/absolute/path, tcp:IP:PORT or ssl:IP:PORT")
    return text


def datapath_id(text: str) -> int:
    """The bridge's OpenFlow datapath id from 16 lower-case hex digits, as Open vSwitch prints it."""
    if not _HEX16.fullmatch(text):
        raise ValueError("give 16 lower-case hex digits, as in Bridge.datapath_id")
    if int(text, 16) == 0:
        raise ValueError("0 is not a datapath id")
    return int(text, 16)


def mtu(text: str) -> int:
    """The MTU of pods, in bytes."""
    if not _DECIMAL.fullmatch(text) or not MTU_MIN <= int(text) <= MTU_MAX:
        raise ValueError(f"give a whole number of bytes, {MTU_MIN} to {MTU_MAX}")
    return int(text)


def _read(on: tuple[str, str], annotations: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T | None:
    """An annotation of the object `on`, its kind and key."""
    text = annotations.get(name)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise ParseError(*on, f"annotation {name}", text, str(error)) from None


def _check_path(path: str) -> None:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("after unix: give an absolute path")
    if len(path.encode()) > _UNIX_PATH_MAX:
        raise ValueError(f"a socket's path has at most {_UNIX_PATH_MAX} bytes")


def _check_endpoint(text: str) -> IPAddress:
    """The address of IP:PORT, with an IPv6 address in brackets."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError("after the method give IP:PORT; an IPv6 address goes in brackets") from None
    if (address.version == 6) != bracketed:
        raise ValueError("an IPv6 address goes in brackets, an IPv4 address does not")
    if not _DECIMAL.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise ValueError("a port is 1 to 65535")
    return address
