"""The tables in order: what each is for, what it may match, and what happens to a packet that no flow matches."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum

from openflow import oxm
from openflow.errors import SpecError
from openflow.fields import (
    Direction,
    Disposition,
    Dst,
    DstIdentity,
    Origin,
    Src,
    SrcIdentity,
    Verdict,
    slice_of,
)
from openflow.oxm import Field


class Table(IntEnum):
    """OpenFlow table numbers. The order is the packet's path: a goto only ever leads to a higher number."""

    CLASSIFY = 0
    SPOOF_GUARD = 1
    NEIGHBOR = 2
    CONNTRACK = 3
    CONNTRACK_STATE = 4
    SERVICE = 5
    SERVICE_ENDPOINT = 6
    SOURCE_IDENTITY = 7
    EGRESS_IDENTITY = 8
    EGRESS_ADMIN = 9
    EGRESS_POLICY = 10
    EGRESS_BASELINE = 11
    ROUTE = 12
    SOURCE_NAT = 13
    INGRESS_IDENTITY = 14
    INGRESS_ADMIN = 15
    INGRESS_POLICY = 16
    INGRESS_BASELINE = 17
    COMMIT = 18
    OUTPUT = 19

    @property
    def title(self) -> str:
        """The name in documents and commands, e.g. `SpoofGuard`."""
        return "".join(word.capitalize() for word in self.name.split("_"))


class Miss(Enum):
    """What a table does with a packet that none of its flows match."""

    DROP = "drop"
    NEXT = "next"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of the pipeline. `matches` are the only fields its flows may name."""

    table: Table
    miss: Miss
    matches: frozenset[Field]
    job: str


_SRC_IP = (oxm.ETH_TYPE, oxm.IPV4_SRC, oxm.IPV6_SRC)
_DST_IP = (oxm.ETH_TYPE, oxm.IPV4_DST, oxm.IPV6_DST)
_TUNNEL = (oxm.TUN_SRC, oxm.TUN_IPV6_SRC)
_PORTS = tuple(oxm.BY_NAME[f"{proto}_dst"] for proto in ("tcp", "udp", "sctp"))
_ARP = (oxm.ARP_OP, oxm.ARP_SPA, oxm.ARP_TPA, oxm.ARP_SHA, oxm.ARP_THA)


def _bits(*meanings: type[int]) -> tuple[Field, ...]:
    return tuple(slice_of(m).matched for m in meanings)


_POLICY = (*_SRC_IP, *_DST_IP, oxm.IP_PROTO, *_PORTS, oxm.CONJ_ID, oxm.CT_STATE)
_PEERS = _bits(SrcIdentity, DstIdentity, Src, Direction, Verdict)


def _spec(table: Table, miss: Miss, job: str, *matches: Field) -> TableSpec:
    return TableSpec(table, miss, frozenset(matches), job)


PIPELINE: tuple[TableSpec, ...] = (
    _spec(Table.CLASSIFY, Miss.DROP, "where from: a pod port, tunnel, gateway",
          oxm.IN_PORT, oxm.TUN_ID),
    _spec(Table.SPOOF_GUARD, Miss.DROP, "a sender uses only its own MAC and IPs, in ARP too",
          oxm.IN_PORT, oxm.ETH_SRC, *_SRC_IP, *_ARP, *_TUNNEL, *_bits(Src)),
    _spec(Table.NEIGHBOR, Miss.NEXT, "answer ARP with the router MAC; drop neighbour discovery",
          oxm.ETH_TYPE, oxm.IP_PROTO, oxm.ICMPV6_TYPE, *_ARP),
    _spec(Table.CONNTRACK, Miss.DROP, "look the connection up, one zone a family",
          oxm.ETH_TYPE),
    _spec(Table.CONNTRACK_STATE, Miss.NEXT, "invalid: drop; replies skip services and policy unless blocked",
          oxm.CT_STATE, oxm.CT_MARK),
    _spec(Table.SERVICE, Miss.NEXT, "service address → group of endpoints",
          *_DST_IP, oxm.IP_PROTO, *_PORTS, *_bits(Src)),
    _spec(Table.SERVICE_ENDPOINT, Miss.NEXT, "chosen endpoint → commit with DNAT",
          oxm.ETH_TYPE, oxm.IP_PROTO, *_bits(Dst)),
    _spec(Table.SOURCE_IDENTITY, Miss.DROP, "a pod port → source identity; who else sends is not judged here",
          oxm.IN_PORT, *_bits(Src)),
    _spec(Table.EGRESS_IDENTITY, Miss.NEXT, "destination IP → destination identity, of what pods here send",
          *_DST_IP),
    _spec(Table.EGRESS_ADMIN, Miss.NEXT, "ClusterNetworkPolicy, Admin tier, source side", *_POLICY, *_PEERS),
    _spec(Table.EGRESS_POLICY, Miss.NEXT, "NetworkPolicy, source side", *_POLICY, *_PEERS),
    _spec(Table.EGRESS_BASELINE, Miss.NEXT, "ClusterNetworkPolicy, Baseline tier, source side",
          *_POLICY, *_PEERS),
    _spec(Table.ROUTE, Miss.GATEWAY, "destination IP → local pod, remote node or gateway; TTL",
          *_DST_IP, oxm.CT_STATE, *_bits(Src, Origin)),
    _spec(Table.SOURCE_NAT, Miss.NEXT, "hairpin, masquerade, egress IP", *_SRC_IP, *_bits(Src, Dst)),
    _spec(Table.INGRESS_IDENTITY, Miss.NEXT, "source IP → source identity, where Classify did not know it",
          *_SRC_IP, *_bits(Src, Dst, Direction)),
    _spec(Table.INGRESS_ADMIN, Miss.NEXT, "ClusterNetworkPolicy, Admin tier, destination side",
          *_POLICY, *_PEERS),
    _spec(Table.INGRESS_POLICY, Miss.NEXT, "NetworkPolicy, destination side", *_POLICY, *_PEERS),
    _spec(Table.INGRESS_BASELINE, Miss.NEXT, "ClusterNetworkPolicy, Baseline tier, destination side",
          *_POLICY, *_PEERS),
    _spec(Table.COMMIT, Miss.NEXT, "commit new connections; cut those that a policy denies now",
          oxm.ETH_TYPE, oxm.CT_STATE, *_bits(Src, Disposition, Verdict)),
    _spec(Table.OUTPUT, Miss.DROP, "deliver to OutPort", *_bits(Dst)),
)  # fmt: skip


def check_pipeline(pipeline: Iterable[TableSpec]) -> None:
    """Every table once and in order; the last one does not fall off the end. Raises SpecError."""
    specs = tuple(pipeline)
    if [spec.table for spec in specs] != list(Table):
        raise SpecError("PIPELINE must list every Table once, in its order")
    if specs[-1].miss is Miss.NEXT:
        raise SpecError(f"{specs[-1].table.title} is the last table: its miss cannot be `next`")


check_pipeline(PIPELINE)


def spec_of(table: Table) -> TableSpec:
    return PIPELINE[table]
