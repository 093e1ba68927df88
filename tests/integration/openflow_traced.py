"""One packet asked of two: of the simulator, and of `ofproto/trace` on a real Open vSwitch, in one form.

`ofproto/trace` knows no connections: it is told what conntrack finds, and keeps mark and label as they are in the
packet. So does the simulator here; this compares matching and actions, and connections have their own tests.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import ovs.unixctl.client
from openflow_bridge import BRIDGE, Switch

from openflow import oxm
from openflow.actions import Ct
from openflow.match import CT_BITS
from openflow.net import IPAddress
from openflow.ofctl import value_text
from openflow.oxm import BY_NAME
from openflow.simulate import Packet, Tables, slots
from openflow.simulate.conntrack import NEW, TRK, Memory, assigned
from openflow.simulate.packet import ICMP, ICMP6, SCTP, TCP, UDP
from openflow.simulate.walk import Walk

PORTS = frozenset((1, 2, 3, 4))
"""The ports of the test bridge; outputs to others go nowhere."""

_COMPARED = (
    *(f"reg{n}" for n in range(16)), "in_port", "dl_src", "dl_dst", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst",
    "nw_ttl", "nw_proto", "tp_src", "tp_dst", "icmp_type", "icmp_code", "arp_spa", "arp_tpa", "arp_op", "arp_sha",
    "arp_tha", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "pkt_mark", "ct_state", "ct_zone", "ct_mark",
    "ct_label",
)  # fmt: skip
"""Fields that a trace shows at its end; `tun_id` it does not."""


@dataclass(frozen=True, slots=True)
class Way:
    """What became of a packet: flows met (table, priority, cookie), ports it left by, and its fields at the end of
    each of its branches. Branches run at once, so order says nothing."""

    flows: Counter[tuple[int, int, int]]
    ports: Counter[int]
    ends: Counter[tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Question:
    """A packet, the port it enters by, and what conntrack finds in its passes: states, and one connection mark."""

    packet: Packet
    port: int
    states: tuple[int, ...] = ()
    mark: int = 0

    def __str__(self) -> str:
        """As `ofproto/trace` takes it."""
        return f"ct_mark={self.mark},{written(self.packet, self.port)}"


class Tracer:
    """`ofproto/trace` over one connection to the switch's control socket."""

    def __init__(self, switch: Switch) -> None:
        path = switch.ovs.root / f"ovs-vswitchd.{switch.ovs.pid()}.ctl"
        error, self._client = ovs.unixctl.client.UnixctlClient.create(str(path))
        assert not error

    def close(self) -> None:
        self._client.close()

    def ask(self, question: "Question") -> str:
        told = [word for state in question.states for word in ("--ct-next", _flags(state, ","))]
        error, refused, text = self._client.transact("ofproto/trace", [BRIDGE, str(question), *told])
        assert not error
        assert not refused, refused
        return str(text)

    def way(self, question: "Question") -> Way:
        return read(self.ask(question))


_TABLE = re.compile(r" *(\d+)\. (.*)")
_MATCHED = re.compile(r"(?:.*, )?priority (\d+)(?:, cookie 0x([0-9a-f]+))?")
_OUT = re.compile(r" +(?:output:| -> output port is )(\d+)$")
_NOTED = re.compile(r" +>> (?:skipping output|Nonexistent output)")


def read(text: str) -> Way:
    """Take a trace apart. Only the first bridge counts: behind a tunnel there is another."""
    flows: Counter[tuple[int, int, int]] = Counter()
    ports: Counter[int] = Counter()
    ends: Counter[tuple[tuple[str, str], ...]] = Counter()
    began, here = "", True
    lines = [*text.splitlines(), ""]
    for line, following in pairwise(lines):
        if line.startswith("Flow: "):
            began = line
        elif line.startswith("bridge("):
            here = line == f'bridge("{BRIDGE}")'
        elif line.startswith("Final flow: "):
            ends[_fields(began if line.endswith("unchanged") else line)] += 1
        elif here and (table := _TABLE.fullmatch(line)):
            found = _MATCHED.fullmatch(table[2])
            flows[int(table[1]), *((int(found[1]), int(found[2] or "0", 16)) if found else (-1, 0))] += 1
        elif here and not _NOTED.match(following):
            if out := _OUT.fullmatch(line):
                ports[int(out[1])] += 1
            elif line.strip() == "IN_PORT":
                ports[int(dict(_pairs(began))["in_port"])] += 1
    return Way(flows, ports, ends)


def _pairs(line: str) -> list[tuple[str, str]]:
    return [(name, value) for name, eq, value in (p.partition("=") for p in line.split(": ", 1)[1].split(",")) if eq]


def _fields(line: str) -> tuple[tuple[str, str], ...]:
    found = {name: value for name, value in _pairs(line) if name in _COMPARED}
    nothing = {"0", "0.0.0.0", "::", "0x0", "00:00:00:00:00:00"}
    return tuple(sorted((name, value) for name, value in found.items() if value not in nothing))


class Recording(Walk):
    """A walk that keeps how each branch ended."""

    __slots__ = ("ends",)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ends = []

    def branch(self):
        made = super().branch()
        if made is not None:
            made.ends = self.ends
        return made

    def run(self, fields, table=0):
        super().run(fields, table)
        self.ends.append(fields)


class _Repeated:
    """Conntrack as `ofproto/trace` has it: the states it is told, then new connections."""

    def __init__(self, states: Sequence[int]) -> None:
        self._states = [*states]

    def track(self, fields: slots.Fields, memory: Memory, action: Ct) -> None:
        if action.table is not None:
            memory.state = self._states.pop(0) if self._states else NEW | TRK
            memory.zone, memory.mark, memory.label = action.zone, fields[slots.CT_MARK], fields[slots.CT_LABEL]
            for each in action.sets:
                value, mask = assigned(each, fields)
                if each.target is oxm.CT_MARK:
                    memory.mark = memory.mark & ~mask | value
                else:
                    memory.label = memory.label & ~mask | value


def simulated(tables: Tables, question: Question) -> Way:
    steps = []
    packet = question.packet
    memory = Memory(packet.flags, packet.icmp_id, packet.about)
    walk = Recording("alpha", tables, _Repeated(question.states), memory, steps)
    fields = packet.fields(question.port)
    fields[slots.CT_MARK] = question.mark
    walk.run(fields)
    flows = Counter(
        (step.table, -1, 0) if step.flow is None else (step.table, step.flow.priority, step.flow.cookie)
        for step in steps
    )
    ports = Counter(out for out, _, _ in walk.outputs if out in PORTS)
    return Way(flows, ports, Counter(map(_shown, walk.ends)))


def _shown(fields: slots.Fields) -> tuple[tuple[str, str], ...]:
    """Fields as `ofproto/trace` writes them; what is zero is left out."""
    kind, proto = fields[slots.ETH_TYPE], fields[slots.PROTO]
    names = {"dl_src", "dl_dst", "pkt_mark"}
    if fields[slots.TUN_DST] or fields[slots.TUN6_DST]:
        names |= {"tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"}
    names |= {f"reg{n}" for n in range(16)} | {"in_port", "ct_zone", "ct_mark", "ct_label"}
    names |= {
        oxm.ETH_IPV4: {"nw_src", "nw_dst", "nw_ttl"},
        oxm.ETH_IPV6: {"ipv6_src", "ipv6_dst", "nw_ttl"},
        oxm.ETH_ARP: {"arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha"},
    }.get(kind, set())
    shown = {name: value_text(BY_NAME[name], value, BY_NAME[name].full) for name, value in _taken(fields, names)}
    if fields[slots.CT_STATE]:
        shown["ct_state"] = _flags(fields[slots.CT_STATE], "|")
    if kind in (oxm.ETH_IPV4, oxm.ETH_IPV6):
        shown |= _transport(kind, proto, fields[slots.TP_SRC], fields[slots.TP_DST])
    return tuple(sorted((name, value) for name, value in shown.items() if value not in ("0", "")))


def _taken(fields: slots.Fields, names: set[str]) -> list[tuple[str, int]]:
    places = ((name, slots.place_of(BY_NAME[name]), BY_NAME[name].full) for name in names)
    taken = ((name, fields[place.slot] >> place.shift & full) for name, place, full in places)
    return [(name, value) for name, value in taken if value]


def _transport(kind: int, proto: int, sport: int, dport: int) -> dict[str, str]:
    if proto in (TCP, UDP, SCTP):
        return {"tp_src": str(sport), "tp_dst": str(dport)}
    if (kind, proto) in ((oxm.ETH_IPV4, ICMP), (oxm.ETH_IPV6, ICMP6)):
        return {"icmp_type": str(sport), "icmp_code": str(dport)}
    return {"nw_proto": str(proto)}


def _flags(state: int, between: str) -> str:
    return between.join(name for name, bit in CT_BITS.items() if state & bit)


_PROTOCOLS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMP6: "icmp6", SCTP: "sctp"}


def written(packet: Packet, port: int) -> str:
    """A packet as `ofproto/trace` takes it."""
    parts = [f"in_port={port}", f"dl_src={packet.eth_src}", f"dl_dst={packet.eth_dst}"]
    if packet.outer is not None:
        tun = "tun" if packet.outer.src.version == 4 else "tun_ipv6"
        parts += [f"tun_id={packet.outer.vni}", f"{tun}_src={packet.outer.src}", f"{tun}_dst={packet.outer.dst}"]
    if packet.eth_type == oxm.ETH_ARP:
        parts += ["arp", f"arp_op={packet.proto}", f"arp_spa={packet.src}", f"arp_tpa={packet.dst}"]
        parts += [f"arp_sha={packet.arp_sha}", f"arp_tha={packet.arp_tha}"]
    elif packet.src is None or packet.dst is None:
        parts.append(f"dl_type={packet.eth_type:#x}")
    else:
        parts += _ip(packet, packet.src, packet.dst)
    return ",".join(parts)


def _ip(packet: Packet, source: IPAddress, destination: IPAddress) -> list[str]:
    four = source.version == 4
    addresses = (
        [f"nw_src={source}", f"nw_dst={destination}"] if four else [f"ipv6_src={source}", f"ipv6_dst={destination}"]
    )
    if packet.proto in (TCP, UDP, SCTP):
        name = _PROTOCOLS[packet.proto]
        says = [name if four else f"{name}6", f"{name}_src={packet.sport}", f"{name}_dst={packet.dport}"]
    elif packet.proto == (ICMP if four else ICMP6):
        kind = "icmp" if four else "icmpv6"
        says = ["icmp" if four else "icmp6", f"{kind}_type={packet.sport}", f"{kind}_code={packet.dport}"]
    else:
        says = ["ip" if four else "ipv6", f"nw_proto={packet.proto}"]
    return [*says, *addresses, f"nw_ttl={packet.ttl}"]
