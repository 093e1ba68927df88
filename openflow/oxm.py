"""OXM fields: what OpenFlow and Open vSwitch can match and set, with their wire headers.

`FIELDS` stands in the order in which Open vSwitch writes a match (`nx_put_raw()` in its lib/nx-match.c). A match
encoded in that order comes back from the switch as the same bytes, which is what lets reconciliation compare
bytes instead of decoded objects.
"""

from dataclasses import dataclass, field
from enum import Enum

from openflow.errors import SpecError

NXM_1 = 0x0001
OPENFLOW_BASIC = 0x8000
PACKET_REGS = 0x8001

ETH_IPV4 = 0x0800
ETH_ARP = 0x0806
ETH_IPV6 = 0x86DD


class Form(Enum):
    """How a field's value is written for people."""

    DECIMAL = "decimal"
    HEX = "hex"
    MAC = "mac"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    CT_STATE = "ct_state"


@dataclass(frozen=True, slots=True)
class Field:
    """One OXM field (OpenFlow 1.5.1 section 7.2.3; ovs-fields(7)).

    `name` is ovs-ofctl's, `bits` the width, `rank` its place in a canonical match. `plain` and `masked` are the
    four header bytes without and with a mask.
    """

    name: str
    oxm_class: int
    number: int
    bits: int
    form: Form
    rank: int
    plain: bytes = field(init=False, repr=False, compare=False)
    masked: bytes = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)
    full: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = (self.bits + 7) // 8
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "full", (1 << self.bits) - 1)
        object.__setattr__(self, "plain", self._header(size, masked=False))
        object.__setattr__(self, "masked", self._header(2 * size, masked=True))

    def _header(self, length: int, *, masked: bool) -> bytes:
        return (self.oxm_class << 16 | self.number << 9 | masked << 8 | length).to_bytes(4, "big")

    def encode(self, value: int, mask: int) -> bytes:
        """The OXM TLV; an exact mask takes the short form, as Open vSwitch writes it. Raises SpecError."""
        if value & ~mask or mask & ~self.full:
            raise SpecError(f"{self.name}={value:#x}/{mask:#x}: the value has bits outside its mask or its field")
        if mask == self.full:
            return self.plain + value.to_bytes(self.size, "big")
        return self.masked + value.to_bytes(self.size, "big") + mask.to_bytes(self.size, "big")


_TABLE: tuple[tuple[str, int, int, int, Form], ...] = (
    ("conj_id", NXM_1, 37, 32, Form.DECIMAL),
    ("in_port", OPENFLOW_BASIC, 0, 32, Form.DECIMAL),
    ("dl_src", OPENFLOW_BASIC, 4, 48, Form.MAC),
    ("dl_dst", OPENFLOW_BASIC, 3, 48, Form.MAC),
    ("dl_type", OPENFLOW_BASIC, 5, 16, Form.HEX),
    ("nw_src", OPENFLOW_BASIC, 11, 32, Form.IPV4),
    ("nw_dst", OPENFLOW_BASIC, 12, 32, Form.IPV4),
    ("ipv6_src", OPENFLOW_BASIC, 26, 128, Form.IPV6),
    ("ipv6_dst", OPENFLOW_BASIC, 27, 128, Form.IPV6),
    ("nw_ttl", NXM_1, 29, 8, Form.DECIMAL),
    ("nw_proto", OPENFLOW_BASIC, 10, 8, Form.DECIMAL),
    ("tcp_src", OPENFLOW_BASIC, 13, 16, Form.DECIMAL),
    ("tcp_dst", OPENFLOW_BASIC, 14, 16, Form.DECIMAL),
    ("udp_src", OPENFLOW_BASIC, 15, 16, Form.DECIMAL),
    ("udp_dst", OPENFLOW_BASIC, 16, 16, Form.DECIMAL),
    ("sctp_src", OPENFLOW_BASIC, 17, 16, Form.DECIMAL),
    ("sctp_dst", OPENFLOW_BASIC, 18, 16, Form.DECIMAL),
    ("icmp_type", OPENFLOW_BASIC, 19, 8, Form.DECIMAL),
    ("icmp_code", OPENFLOW_BASIC, 20, 8, Form.DECIMAL),
    ("icmpv6_type", OPENFLOW_BASIC, 29, 8, Form.DECIMAL),
    ("icmpv6_code", OPENFLOW_BASIC, 30, 8, Form.DECIMAL),
    ("arp_op", OPENFLOW_BASIC, 21, 16, Form.DECIMAL),
    ("arp_spa", OPENFLOW_BASIC, 22, 32, Form.IPV4),
    ("arp_tpa", OPENFLOW_BASIC, 23, 32, Form.IPV4),
    ("arp_sha", OPENFLOW_BASIC, 24, 48, Form.MAC),
    ("arp_tha", OPENFLOW_BASIC, 25, 48, Form.MAC),
    ("tun_id", OPENFLOW_BASIC, 38, 64, Form.HEX),
    ("tun_src", NXM_1, 31, 32, Form.IPV4),
    ("tun_dst", NXM_1, 32, 32, Form.IPV4),
    ("tun_ipv6_src", NXM_1, 109, 128, Form.IPV6),
    ("tun_ipv6_dst", NXM_1, 110, 128, Form.IPV6),
    *((f"xreg{n}", PACKET_REGS, n, 64, Form.HEX) for n in range(8)),
    ("pkt_mark", NXM_1, 33, 32, Form.HEX),
    ("ct_state", NXM_1, 105, 32, Form.CT_STATE),
    ("ct_zone", NXM_1, 106, 16, Form.DECIMAL),
    ("ct_mark", NXM_1, 107, 32, Form.HEX),
    ("ct_label", NXM_1, 108, 128, Form.HEX),
    # Below: set by actions only. Open vSwitch reports a match on reg0..15 as one on xreg0..7.
    *((f"reg{n}", NXM_1, n, 32, Form.HEX) for n in range(16)),
)

FIELDS: tuple[Field, ...] = tuple(Field(*row, rank) for rank, row in enumerate(_TABLE))
BY_NAME: dict[str, Field] = {f.name: f for f in FIELDS}
BY_HEADER: dict[bytes, Field] = {h: f for f in FIELDS for h in (f.plain, f.masked)}

CONJ_ID = BY_NAME["conj_id"]
IN_PORT = BY_NAME["in_port"]
ETH_SRC = BY_NAME["dl_src"]
ETH_DST = BY_NAME["dl_dst"]
ETH_TYPE = BY_NAME["dl_type"]
IPV4_SRC = BY_NAME["nw_src"]
IPV4_DST = BY_NAME["nw_dst"]
IPV6_SRC = BY_NAME["ipv6_src"]
IPV6_DST = BY_NAME["ipv6_dst"]
IP_PROTO = BY_NAME["nw_proto"]
ICMPV6_TYPE = BY_NAME["icmpv6_type"]
ARP_OP = BY_NAME["arp_op"]
ARP_SPA = BY_NAME["arp_spa"]
ARP_TPA = BY_NAME["arp_tpa"]
ARP_SHA = BY_NAME["arp_sha"]
ARP_THA = BY_NAME["arp_tha"]
TUN_ID = BY_NAME["tun_id"]
TUN_SRC = BY_NAME["tun_src"]
TUN_DST = BY_NAME["tun_dst"]
TUN_IPV6_SRC = BY_NAME["tun_ipv6_src"]
TUN_IPV6_DST = BY_NAME["tun_ipv6_dst"]
CT_STATE = BY_NAME["ct_state"]
CT_ZONE = BY_NAME["ct_zone"]
CT_MARK = BY_NAME["ct_mark"]
CT_LABEL = BY_NAME["ct_label"]

REQUIRES: dict[str, tuple[tuple[str, frozenset[int]], ...]] = {
    "nw_src": (("dl_type", frozenset({ETH_IPV4})),),
    "nw_dst": (("dl_type", frozenset({ETH_IPV4})),),
    "ipv6_src": (("dl_type", frozenset({ETH_IPV6})),),
    "ipv6_dst": (("dl_type", frozenset({ETH_IPV6})),),
    "nw_proto": (("dl_type", frozenset({ETH_IPV4, ETH_IPV6})),),
    "nw_ttl": (("dl_type", frozenset({ETH_IPV4, ETH_IPV6})),),
    "tcp_src": (("nw_proto", frozenset({6})),),
    "tcp_dst": (("nw_proto", frozenset({6})),),
    "udp_src": (("nw_proto", frozenset({17})),),
    "udp_dst": (("nw_proto", frozenset({17})),),
    "sctp_src": (("nw_proto", frozenset({132})),),
    "sctp_dst": (("nw_proto", frozenset({132})),),
    "icmp_type": (("dl_type", frozenset({ETH_IPV4})), ("nw_proto", frozenset({1}))),
    "icmp_code": (("dl_type", frozenset({ETH_IPV4})), ("nw_proto", frozenset({1}))),
    "icmpv6_type": (("dl_type", frozenset({ETH_IPV6})), ("nw_proto", frozenset({58}))),
    "icmpv6_code": (("dl_type", frozenset({ETH_IPV6})), ("nw_proto", frozenset({58}))),
    **{f"arp_{part}": (("dl_type", frozenset({ETH_ARP})),) for part in ("op", "spa", "tpa", "sha", "tha")},
}
"""Prerequisites (OpenFlow 1.5.1 section 7.2.3.6): a switch refuses a match that lacks them."""
