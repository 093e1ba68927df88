"""The packet that a trace sends: what `weftctl trace` was asked, as fields of ovs-fields(7). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from openflow.constants import VNI
from openflow.net import IPAddress

CLIENT_PORT = 40000
"""The port that a client is given in a trace: any from the ephemeral range will do."""
START_TTL = 64

_WORDS = {
    ("tcp", 4): "tcp", ("tcp", 6): "tcp6", ("udp", 4): "udp", ("udp", 6): "udp6",
    ("sctp", 4): "sctp", ("sctp", 6): "sctp6", ("icmp", 4): "icmp", ("icmp", 6): "icmp6",
}  # fmt: skip
_ECHO = {4: (8, 0), 6: (128, 129)}
"""ICMP types of echo request and reply by IP version (RFC 792, RFC 4443)."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the client asks for: `tcp`, `udp` or `sctp` and the server's port, or `icmp` (an echo)."""

    protocol: str = "icmp"
    port: int = 0

    def __str__(self) -> str:
        return "ICMP echo" if self.protocol == "icmp" else f"{self.protocol.upper()} port {self.port}"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The outer addresses of a packet that comes out of a tunnel."""

    source: IPAddress
    target: IPAddress


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it enters a bridge by `in_port`. `reply`: it is the server's answer."""

    in_port: int
    eth_src: str
    eth_dst: str
    source: IPAddress
    target: IPAddress
    service: Service
    reply: bool = False
    ttl: int = START_TTL
    tunnel: Tunnel | None = None

    def __str__(self) -> str:
        what = f"reply to {self.service}" if self.reply else str(self.service)
        return f"{what} over IPv{self.source.version}: {self.source} → {self.target}"

    @property
    def flow(self) -> str:
        """The packet as a flow in the syntax that ofproto/trace takes (ovs-vswitchd(8), "br_flow")."""
        version = self.source.version
        names = ("nw_src", "nw_dst") if version == 4 else ("ipv6_src", "ipv6_dst")
        fields: dict[str, object] = {"in_port": self.in_port}
        if self.tunnel is not None:
            outer = ("tun_src", "tun_dst") if self.tunnel.source.version == 4 else ("tun_ipv6_src", "tun_ipv6_dst")
            fields |= {"tun_id": VNI, outer[0]: self.tunnel.source, outer[1]: self.tunnel.target}
        fields |= {"dl_src": self.eth_src, "dl_dst": self.eth_dst, names[0]: self.source, names[1]: self.target}
        fields |= {"nw_ttl": self.ttl, **self._layer4()}
        words = [_WORDS[self.service.protocol, version], *(f"{name}={value}" for name, value in fields.items())]
        return ",".join(words)

    def _layer4(self) -> Mapping[str, object]:
        if self.service.protocol == "icmp":
            kind = _ECHO[self.source.version][self.reply]
            name = "icmp" if self.source.version == 4 else "icmpv6"
            return {f"{name}_type": kind, f"{name}_code": 0}
        ports = (CLIENT_PORT, self.service.port)
        source, target = reversed(ports) if self.reply else ports
        return {f"{self.service.protocol}_src": source, f"{self.service.protocol}_dst": target}

    def changed(self, final: Mapping[str, str]) -> "Packet":
        """The packet with the headers that a bridge has given it: addresses and TTL of a trace's final flow."""
        source, target = ("nw_src", "nw_dst") if self.source.version == 4 else ("ipv6_src", "ipv6_dst")
        return replace(
            self,
            eth_src=final.get("dl_src", self.eth_src),
            eth_dst=final.get("dl_dst", self.eth_dst),
            source=ip_address(final.get(source, str(self.source))),
            target=ip_address(final.get(target, str(self.target))),
            ttl=int(final.get("nw_ttl", self.ttl)),
        )


def tunnel_target(final: Mapping[str, str]) -> IPAddress | None:
    """Where a packet that leaves by the tunnel port is sent; None when no flow has said."""
    for name in ("tun_dst", "tun_ipv6_dst"):
        address = ip_address(final[name]) if name in final else None
        if address is not None and not address.is_unspecified:
            return address
    return None
