"""Random tables that random packets really travel: matches on what `openflow_packets` sends, registers, masks,
conjunctions that overlap, conntrack and groups.

OpenFlow leaves open which of two matching flows of one priority is taken, so no two flows that can be taken share
one, except parts of a conjunction, and what conjunctions of one priority lead to, which is one and the same.
"""

from dataclasses import dataclass
from itertools import count
from random import Random

from openflow_packets import MACS, STATES, V4, V6

from openflow import oxm
from openflow.actions import (
    CT_CLEAR,
    DEC_TTL,
    TRANSLATE,
    Action,
    Conjunction,
    Copy,
    Ct,
    Goto,
    Group,
    Output,
    OutputReg,
    SetField,
)
from openflow.fields import LABELS, RULE_BITS, RULES, Slice, Zone
from openflow.flow import Flow
from openflow.groups import Bucket, GroupEntry, GroupKind
from openflow.match import Match, Term, mac, match
from openflow.oxm import BY_NAME, Field
from openflow.tables import Table

TABLES = 7
_KINDS = {
    # what says it: fields to match, fields to write
    "any": ({}, (), ()),
    "arp": ({"dl_type": 0x806}, ("arp_op", "arp_spa", "arp_tpa", "arp_sha"), ("arp_spa", "arp_tpa", "arp_op")),
    "ip": ({"dl_type": 0x800}, ("nw_src", "nw_dst", "nw_ttl"), ("nw_src", "nw_dst", "nw_ttl")),
    "ipv6": ({"dl_type": 0x86DD}, ("ipv6_src", "ipv6_dst", "nw_ttl"), ("ipv6_src", "ipv6_dst", "nw_ttl")),
    "tcp": ({"dl_type": 0x800, "nw_proto": 6}, ("nw_src", "tcp_dst", "tcp_src"), ("nw_dst", "tcp_dst")),
    "udp6": ({"dl_type": 0x86DD, "nw_proto": 17}, ("ipv6_dst", "udp_dst"), ("ipv6_src", "udp_dst")),
    "sctp": ({"dl_type": 0x800, "nw_proto": 132}, ("nw_dst", "sctp_dst"), ("sctp_src",)),
    "icmp": ({"dl_type": 0x800, "nw_proto": 1}, ("icmp_type", "icmp_code"), ()),
    "icmp6": ({"dl_type": 0x86DD, "nw_proto": 58}, ("icmpv6_type",), ()),
}
_IP_KINDS = frozenset(_KINDS) - {"any", "arp"}
_METADATA = (
    "in_port",
    "dl_src",
    "dl_dst",
    "tun_id",
    "pkt_mark",
    "ct_state",
    "ct_mark",
    *(f"xreg{n}" for n in range(3)),
)
_WRITABLE = ("reg0", "reg1", "reg2", "reg3", "xreg1", "xreg2", "pkt_mark", "tun_id", "tun_dst", "dl_src", "dl_dst")
_SMALL = 3
_PORTS = (2, 3, 4, 77)


@dataclass(frozen=True, slots=True)
class RuleSet:
    flows: tuple[Flow, ...]
    groups: tuple[GroupEntry, ...]


def random_rules(random: Random, size: int) -> RuleSet:
    """About `size` flows for each of the first tables."""
    groups = tuple(_group(random, number) for number in range(1, 4))
    flows: list[Flow] = []
    cookies = count(1)
    for table in range(TABLES):
        priorities = count(10)
        for _ in range(size):
            flows.append(Flow(table, next(priorities), *_plain(random, table), next(cookies)))
            if random.random() < 0.12:
                flows += _conjunction_flows(random, table, next(priorities), cookies)
        flows.append(Flow(table, 1, (), (Goto(Table(table + 1)),), next(cookies)))
    return RuleSet(tuple({(flow.table, flow.priority, flow.match): flow for flow in flows}.values()), groups)


def _plain(random: Random, table: int) -> tuple[Match, tuple[Action, ...]]:
    kind = random.choice([*_KINDS])
    says, matched, written = _KINDS[kind]
    names = random.sample((*matched, *_METADATA), random.choice((0, 1, 1, 2, 2, 3)))
    terms = (*_says(says), *(_term(random, BY_NAME[name]) for name in names))
    return match(*terms), _actions(random, table, kind, (*written, *_WRITABLE))


def _conjunction_flows(random: Random, table: int, priority: int, cookies: "count[int]") -> list[Flow]:
    """One to three conjunctions of one priority that share clauses, and sometimes the same bits again below."""
    numbers = random.sample(range(1, 1000), random.randint(1, 3))
    clauses = random.choice((2, 2, 3))
    parts: dict[Match, set[Conjunction]] = {}
    for number in numbers:
        for clause in range(1, clauses + 1):
            for _ in range(random.randint(1, 4)):
                parts.setdefault(_clause(random, clause), set()).add(Conjunction(number, clause, clauses))
    flows = [Flow(table, priority, terms, tuple(sorted(p, key=repr)), next(cookies)) for terms, p in parts.items()]
    result, lower = (priority if random.random() < 0.5 else 8), next(cookies)
    actions = _actions(random, table, "any", _WRITABLE)
    if len(numbers) > 1 or random.random() < 0.8:
        flows += [Flow(table, result, match(Term(oxm.CONJ_ID, n, 0xFFFFFFFF)), actions, lower) for n in numbers]
    if random.random() < 0.4:
        again = random.choice([*parts])
        flows.append(Flow(table, 5, again, _actions(random, table, "any", _WRITABLE), next(cookies)))
    return flows


def _clause(random: Random, clause: int) -> Match:
    """The clauses ask different things; within one, flows overlap."""
    if clause == 1:
        return match(_term(random, BY_NAME[random.choice(("in_port", "dl_src", "xreg0", "xreg1"))]))
    kind, names = random.choice((("ip", ("nw_src", "nw_dst")), ("ipv6", ("ipv6_src", "ipv6_dst"))))
    if clause == 2:
        return match(*_says(_KINDS[kind][0]), _term(random, BY_NAME[random.choice(names)]))
    return match(*_says({"dl_type": random.choice((0x800, 0x86DD)), "nw_proto": random.choice((6, 17))}))


def _says(says: dict[str, int]) -> list[Term]:
    return [Term(BY_NAME[name], value, BY_NAME[name].full) for name, value in says.items()]


def _term(random: Random, field: Field) -> Term:
    value, mask = _value(random, field)
    return Term(field, value & mask, mask)


def _value(random: Random, field: Field) -> tuple[int, int]:
    """A value that packets have, and a mask under which it may also be that of others."""
    name, full = field.name, field.full
    if name in ("nw_src", "nw_dst", "arp_spa", "arp_tpa"):
        return int(random.choice(V4)), random.choice((full, full, 0xFFFFFF00, 0xFF000000, 0xF, 0xFF0000FF))
    if name in ("ipv6_src", "ipv6_dst"):
        return int(random.choice(V6)), random.choice((full, full, full ^ (1 << 64) - 1, full ^ (1 << 120) - 1))
    if name in ("dl_src", "dl_dst", "arp_sha", "arp_tha"):
        return mac(random.choice(MACS)), random.choice((full, full, 1 << 40, 0xFF))
    if name.endswith(("_src", "_dst")) and field.bits == 16:
        return random.choice((80, 53, 8080, 8081, 40000)), random.choice((full, full, 0xFFF0, 0xFFFE, 1))
    if name == "ct_state":
        return random.choice(STATES) & 0xEF, random.choice((0x20, 0x21, 0x22, 0x28, 0x2A, 0xEF))
    fixed = {"in_port": (1, 2, 3, 4, 77), "nw_ttl": (64, 63, 1, 2), "arp_op": (1, 2), "icmp_type": (0, 8, 3),
             "icmpv6_type": (128, 129, 135), "icmp_code": (0, 3), "tun_id": (1, 2)}.get(name)  # fmt: skip
    if fixed:
        return random.choice(fixed), full
    if name.startswith("tun_"):
        return 0xC0000202, full
    spread = random.randint(0, _SMALL) | random.randint(0, _SMALL) << field.bits // 2
    return spread, random.choice((full, 1, 3, 1 << field.bits // 2, 3 << field.bits // 2))


def _actions(random: Random, table: int, kind: str, writable: tuple[str, ...]) -> tuple[Action, ...]:
    made: list[Action] = []
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        made.append(_action(random, table, kind, writable))
    if table + 1 < TABLES and random.random() < 0.8:
        made.append(Goto(Table(random.randint(table + 1, min(table + 2, TABLES - 1)))))
    return tuple(made)


def _action(random: Random, table: int, kind: str, writable: tuple[str, ...]) -> Action:
    choice = random.random()
    if kind in _IP_KINDS and choice < 0.35:
        return random.choice((DEC_TTL, CT_CLEAR, Group(random.randint(1, 3)), *[_ct(random, table)] * 5))
    if choice < 0.5:
        return random.choice((Output(random.choice(_PORTS)), OutputReg(Slice(int, BY_NAME["reg1"], 0, 3))))
    field = BY_NAME[random.choice(writable)]
    if choice < 0.7:
        same = [BY_NAME[name] for name in writable if BY_NAME[name].bits == field.bits]
        return Copy(field, random.choice(same))
    value, mask = _value(random, field)
    whole = field.full if field.name in ("nw_ttl", "arp_op") else mask
    return SetField(field, value & whole, whole)


def _ct(random: Random, table: int) -> Ct:
    onward = Table(random.randint(table + 1, TABLES)) if table + 1 < TABLES and random.random() < 0.8 else None
    commit = random.random() < 0.4
    label = random.choice((SetField(oxm.CT_LABEL, 5 << 64, 0xFF << 64), Copy(RULES, LABELS, RULE_BITS)))
    sets = (SetField(oxm.CT_MARK, 1, 3), label)[: random.randint(0, 2)]
    nat = TRANSLATE if random.random() < 0.3 else None
    return Ct(random.choice([*Zone]), onward, commit=commit, nat=nat, sets=sets if commit else ())


def _group(random: Random, number: int) -> GroupEntry:
    """Copies only: a choice needs a hash from the datapath, for which a trace does not wait."""
    return GroupEntry(number, GroupKind.ALL, tuple(Bucket(n, _bucket(random)) for n in range(random.randint(0, 3))))


def _bucket(random: Random) -> tuple[Action, ...]:
    last = (Output(random.choice(_PORTS)), Ct(random.choice([*Zone]), Table(TABLES), commit=random.random() < 0.5))
    field = BY_NAME[random.choice(_WRITABLE)]
    value, mask = _value(random, field)
    return (SetField(field, value & mask, mask), random.choice(last))
