"""Random flows that a real switch accepts: prerequisites met, only writable fields set, no reserved numbers."""

from ipaddress import IPv4Address, IPv6Address
from random import Random

from openflow import oxm
from openflow.actions import (
    CT_CLEAR,
    DEC_TTL,
    DELIVER,
    TRANSLATE,
    Action,
    Conjunction,
    Copy,
    Ct,
    Goto,
    Nat,
    NatRange,
    Output,
    OutputReg,
    SetField,
)
from openflow.fields import Slice, Zone
from openflow.flow import Flow
from openflow.match import Term, exact, match
from openflow.oxm import BY_NAME, Field
from openflow.tables import Table

_SHAPES: dict[str, tuple[dict[str, int], tuple[str, ...], tuple[str, ...]]] = {
    # what a packet is: terms that say so, fields to match, fields to match and to write
    "any": ({}, (), ()),
    "arp": ({"dl_type": 0x806}, (), ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha")),
    "ip": ({"dl_type": 0x800}, (), ("nw_src", "nw_dst", "nw_ttl")),
    "ipv6": ({"dl_type": 0x86DD}, (), ("ipv6_src", "ipv6_dst", "nw_ttl")),
    "tcp": ({"dl_type": 0x800, "nw_proto": 6}, (), ("nw_src", "nw_dst", "tcp_src", "tcp_dst")),
    "udp6": ({"dl_type": 0x86DD, "nw_proto": 17}, (), ("ipv6_src", "udp_src", "udp_dst")),
    "sctp": ({"dl_type": 0x800, "nw_proto": 132}, (), ("nw_dst", "sctp_src", "sctp_dst")),
    "icmp": ({"dl_type": 0x800, "nw_proto": 1}, ("icmp_type", "icmp_code"), ("nw_src",)),
    "icmp6": ({"dl_type": 0x86DD, "nw_proto": 58}, ("icmpv6_type", "icmpv6_code"), ("ipv6_dst",)),
}
_MATCHED = ("in_port", "conj_id", "ct_state", "ct_zone", "ct_mark", "ct_label", *(f"xreg{n}" for n in range(8)))
_BOTH = ("dl_src", "dl_dst", "tun_id", "pkt_mark")
_TUNNELS = (("tun_src", "tun_dst"), ("tun_ipv6_src", "tun_ipv6_dst"))
_REGISTERS = (*(f"reg{n}" for n in range(16)), *(f"xreg{n}" for n in range(8)))
_NO_MASK = frozenset(
    {"in_port", "conj_id", "ct_zone", "nw_ttl", "arp_op", "icmp_type", "icmp_code", "icmpv6_type", "icmpv6_code"}
)
_PORTS = (1, 77, 0xFEFF, 0xFFFFFFF8, 0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE)
# What can be matched at all. Not `inv`: Open vSwitch refuses a match on it together with a commit.
_BITS = {oxm.CT_STATE: 0xEF, oxm.ARP_OP: 0xFF}


def random_flows(random: Random, count: int) -> list[Flow]:
    """Flows with distinct keys."""
    return [_flow(random, priority) for priority in range(1, count + 1)]


def _flow(random: Random, priority: int) -> Flow:
    says, matched, both = _SHAPES[random.choice([*_SHAPES])]
    tunnel = random.choice(_TUNNELS)
    names = random.sample((*matched, *both, *_MATCHED, *_BOTH, *tunnel), random.randint(0, 6))
    terms = [exact(BY_NAME[name], value) for name, value in says.items()]
    terms += [Term(field, *_value(random, field)) for field in map(BY_NAME.__getitem__, names)]
    table = random.randrange(len(Table) - 1)
    cookie = random.getrandbits(64) & ~1
    if random.random() < 0.1:
        return Flow(table, priority, match(*terms), _conjunctions(random), cookie)
    writable = (*both, *_BOTH, *tunnel, *_REGISTERS)
    actions = _actions(random, writable, says.get("dl_type"))
    goto = [Goto(Table(random.randrange(table + 1, len(Table))))] if random.random() < 0.5 else []
    return Flow(table, priority, match(*terms), (*actions, *goto), cookie)


def _conjunctions(random: Random) -> tuple[Conjunction, ...]:
    clauses = [random.randint(2, 64) for _ in range(random.randint(1, 3))]
    return tuple(Conjunction(random.getrandbits(32), random.randint(1, count), count) for count in clauses)


def _value(random: Random, field: Field) -> tuple[int, int]:
    full = _BITS.get(field, field.full)
    if field.name == "in_port":
        return random.choice((1, 9, 0xFEFF, 0xFFFFFFFE)), field.full
    if field.name in _NO_MASK or (random.random() < 0.5 and field is not oxm.CT_STATE):
        return random.getrandbits(field.bits) & full, field.full
    mask = random.choice((random.getrandbits(field.bits) & full | 1, full ^ (full >> random.randint(1, field.bits))))
    if field.form is oxm.Form.IPV6:
        # ovs-ofctl takes an IPv6 mask that begins with a decimal digit for the length of a prefix.
        mask |= 0xF << field.bits - 4
    mask &= full
    return random.getrandbits(field.bits) & mask, mask


def _actions(random: Random, writable: tuple[str, ...], kind: int | None) -> list[Action]:
    makers = [_set, _copy, _output, _output_reg]
    if kind in (oxm.ETH_IPV4, oxm.ETH_IPV6):
        makers += [lambda *_: DEC_TTL, lambda *_: CT_CLEAR, lambda random, _: _ct(random, kind)]
    return [random.choice(makers)(random, writable) for _ in range(random.randint(0, 5))]


def _set(random: Random, writable: tuple[str, ...]) -> Action:
    field = BY_NAME[random.choice(writable)]
    return SetField(field, *_value(random, field))


def _copy(random: Random, writable: tuple[str, ...]) -> Action:
    source = BY_NAME[random.choice(writable)]
    return Copy(source, BY_NAME[random.choice([name for name in writable if BY_NAME[name].bits == source.bits])])


def _output(random: Random, _: tuple[str, ...]) -> Action:
    return Output(random.choice(_PORTS))


def _output_reg(random: Random, _: tuple[str, ...]) -> Action:
    low = random.randrange(16)
    return random.choice((DELIVER, OutputReg(Slice(int, BY_NAME["reg7"], low, random.randint(1, 32 - low)))))


def _assignment(random: Random, field: Field) -> SetField | Copy:
    if random.random() < 0.3:
        return Copy(BY_NAME[random.choice(("reg6", "xreg3"))], field, random.randint(1, 32))
    return SetField(field, *_value(random, field))


def _ct(random: Random, kind: int) -> Action:
    commit = random.random() < 0.5
    targets = random.sample(("ct_mark", "ct_label"), random.randint(0, 2)) if commit else []
    sets = tuple(_assignment(random, field) for field in map(BY_NAME.__getitem__, targets))
    return Ct(
        random.choice([*Zone]),
        random.choice((None, *Table)),
        commit=commit,
        nat=random.choice((None, TRANSLATE, _nat(random, kind) if commit else TRANSLATE)),
        sets=sets,
        force=commit and random.random() < 0.3,
    )


def _nat(random: Random, kind: int) -> Nat:
    # Open vSwitch takes only addresses of the family that the flow matches.
    address, bits = (IPv4Address, 32) if kind == oxm.ETH_IPV4 else (IPv6Address, 128)
    first = random.getrandbits(bits - 1) | 1
    last = random.choice((None, address(first + random.randint(1, 99))))
    low = random.randint(1, 60000)
    to = NatRange(address(first), last, random.choice((None, (low, low + random.randint(0, 99)))))
    return Nat(src=to) if random.random() < 0.5 else Nat(dst=to)
