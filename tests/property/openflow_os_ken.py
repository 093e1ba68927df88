"""os-ken as the oracle: our flows and messages written with its classes, and its parser on bytes of ours.

os-ken names fields its own way and takes addresses as text. It knows every field that Weft has in its OpenFlow 1.5
tables, xreg, conntrack and tunnel fields among them, so nothing here needs raw OXM numbers. Three things do need
care: `OFPMatch` must be given `_ordered_fields`, as otherwise it sorts by OXM number; `OFPActionCopyField` has
`oxm_ids` for its two fields; and the zone of `NXActionCT` is the immediate one when `zone_src` is empty.
"""

from ipaddress import IPv4Address, IPv6Address

from os_ken.ofproto import ofproto_parser, ofproto_protocol
from os_ken.ofproto import ofproto_v1_5 as ofp
from os_ken.ofproto import ofproto_v1_5_parser as parser

from openflow.actions import (
    Conjunction,
    Copy,
    Ct,
    CtClear,
    DecTtl,
    Goto,
    Group,
    Meter,
    Nat,
    Output,
    OutputReg,
    SetField,
)
from openflow.groups import GroupKind
from openflow.oxm import Form

DATAPATH = ofproto_protocol.ProtocolDesc(version=ofp.OFP_VERSION)

_NAMES = {
    "dl_src": "eth_src", "dl_dst": "eth_dst", "dl_type": "eth_type", "nw_src": "ipv4_src", "nw_dst": "ipv4_dst",
    "nw_proto": "ip_proto", "icmp_type": "icmpv4_type", "icmp_code": "icmpv4_code", "tun_id": "tunnel_id",
    "tun_src": "tun_ipv4_src", "tun_dst": "tun_ipv4_dst",
}  # fmt: skip


def name(field):
    return _NAMES.get(field.name, field.name)


def user(field, value, mask):
    """A value as os-ken's users write it: a pair with its mask, unless it is exact."""
    write = {
        Form.MAC: lambda v: v.to_bytes(6, "big").hex(":"),
        Form.IPV4: lambda v: str(IPv4Address(v)),
        Form.IPV6: lambda v: str(IPv6Address(v)),
    }.get(field.form, int)
    return write(value) if mask == field.full else (write(value), write(mask))


def match(terms):
    return parser.OFPMatch(_ordered_fields=[(name(t.field), user(t.field, t.value, t.mask)) for t in terms])


def action(ours):
    match ours:
        case SetField(target, value, mask):
            return parser.OFPActionSetField(**{name(target): user(target, value, mask)})
        case Copy(source, target):
            return parser.OFPActionCopyField(n_bits=ours.width, oxm_ids=[name(source), name(target)])
        case DecTtl():
            return parser.OFPActionDecNwTtl()
        case Output(port):
            return parser.OFPActionOutput(port, 0)
        case OutputReg(part):
            bits = part.low << 6 | (part.width - 1)
            return parser.NXActionOutputReg(ofs_nbits=bits, src=name(part.stored), max_len=0xFFFF)
        case Ct():
            return _ct(ours)
        case Nat():
            return _nat(ours)
        case CtClear():
            return parser.NXActionCTClear()
        case Conjunction(conjunction, clause, clauses):
            return parser.NXActionConjunction(clause=clause - 1, n_clauses=clauses, id_=conjunction)
        case Group(number):
            return parser.OFPActionGroup(number)
        case Meter(number):
            return parser.OFPActionMeter(number)


def _ct(ours):
    nested = [*map(action, ours.sets), *([action(ours.nat)] if ours.nat else [])]
    table = 0xFF if ours.table is None else int(ours.table)
    return parser.NXActionCT(
        flags=int(ours.commit) | int(ours.force) << 1,
        zone_src="", zone_ofs_nbits=int(ours.zone), recirc_table=table, alg=0, actions=nested,
    )  # fmt: skip


def _nat(ours):
    if ours.to is None:
        return parser.NXActionNAT(flags=0)
    family, (low, *high) = f"range_ipv{ours.to.first.version}", ours.to.ports or (None,)
    bounds = {
        f"{family}_min": str(ours.to.first),
        f"{family}_max": str(ours.to.last or ""),
        "range_proto_min": low,
        "range_proto_max": high[0] if high and high[0] != low else None,
    }
    return parser.NXActionNAT(flags=1 if ours.src else 2, **bounds)


def instructions(actions):
    applied = [action(a) for a in actions if not isinstance(a, Goto)]
    gotos = [a for a in actions if isinstance(a, Goto)]
    return [
        *([parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, applied)] if applied else []),
        *(parser.OFPInstructionGotoTable(int(goto.table)) for goto in gotos),
    ]


def flow_mod(flow, command):
    """An OFPFlowMod; a strict delete carries no cookie and no instructions."""
    adding = command == ofp.OFPFC_ADD
    return parser.OFPFlowMod(
        DATAPATH,
        cookie=flow.cookie if adding else 0,
        table_id=flow.table,
        command=command,
        priority=flow.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=match(flow.match),
        instructions=instructions(flow.actions) if adding else [],
    )


def group_mod(group, command):
    """An OFPGroupMod; a delete carries only the number."""
    if command == ofp.OFPGC_DELETE:
        return parser.OFPGroupMod(DATAPATH, command, 0, group.number)
    return parser.OFPGroupMod(
        DATAPATH, command, int(group.kind), group.number, buckets=[*map(_bucket_of(group), group.buckets)]
    )


def _bucket_of(group):
    def made(bucket):
        weight = parser.OFPGroupBucketPropWeight(type_=ofp.OFPGBPT_WEIGHT, weight=bucket.weight)
        properties = [weight] if group.kind is GroupKind.SELECT else []
        return parser.OFPBucket(bucket.number, [*map(action, bucket.actions)], properties)

    return made


def message(msg, xid):
    """The bytes of a message with this transaction id."""
    msg.set_xid(xid)
    msg.serialize()
    return bytes(msg.buf)


def parse(data):
    """The message that os-ken reads from bytes."""
    version, kind, size, xid = ofproto_parser.header(data)
    return ofproto_parser.msg(DATAPATH, version, kind, size, xid, data)
