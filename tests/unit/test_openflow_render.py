"""Flows in words: meanings, names of tables, ports and owners."""

from ipaddress import ip_address

import pytest

from openflow import oxm
from openflow.actions import (
    CT_CLEAR,
    DEC_TTL,
    DELIVER,
    IN_PORT,
    TRANSLATE,
    Conjunction,
    Copy,
    Ct,
    Goto,
    Group,
    Meter,
    Nat,
    NatRange,
    Output,
    OutputReg,
    RawAction,
    SetField,
    load,
)
from openflow.codec import EXPIRES, Encoded
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.decode import RawInstruction, decode
from openflow.fields import (
    SCRATCH,
    Direction,
    Dst,
    IdentityId,
    OfPort,
    Origin,
    OutPort,
    Slice,
    Src,
    SrcIdentity,
    Verdict,
    Zone,
)
from openflow.flow import MAGIC, Feature, Flow, cookie
from openflow.match import (
    ARP,
    IPV4,
    IPV6,
    Term,
    arp,
    ct_state,
    eth_src,
    exact,
    icmpv6_type,
    in_port,
    ip_dst,
    ip_src,
    mac,
    match,
    tun_src,
    where,
)
from openflow.net import network
from openflow.oxm import BY_NAME
from openflow.render import Columns, Names, named
from openflow.tables import Table

NAMES = Names.of({1: "weft-tun0", 3: "web-1a2b3c"}, [("shop", "web")], ["alpha"])
WHOLE = 2**32 - 1


def words(*terms):
    return named(Flow(1, 7, match(*terms), (), 0), NAMES).match


def deeds(*actions):
    return named(Flow(1, 7, (), actions, 0), NAMES).actions


def owner(value):
    return named(Flow(1, 7, (), (), value), NAMES).owner


def test_a_flow_in_columns():
    flow = Flow(
        Table.CLASSIFY,
        40000,
        match(in_port(OfPort(3))),
        (load(Src.POD), load(SrcIdentity(0x4D)), Goto(Table.SPOOF_GUARD)),
        cookie(Feature.POD, "pod/shop/web"),
    )
    assert named(flow, NAMES) == Columns(
        "Classify", "40000", "in_port=web-1a2b3c", "Src:=POD, SrcIdentity:=0x4d, →SpoofGuard", "pod/shop/web"
    )
    assert str(named(flow, NAMES)) == (
        "Classify 40000 [in_port=web-1a2b3c] Src:=POD, SrcIdentity:=0x4d, →SpoofGuard (pod/shop/web)"
    )


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ((), "any"),
        ((where(Src.POD),), "Src=POD"),
        ((where(OutPort(3)),), "OutPort=web-1a2b3c"),
        ((where(OutPort(9)),), "OutPort=9"),
        ((where(SrcIdentity(IdentityId(0x4D))),), "SrcIdentity=0x4d"),
        ((ct_state(rpl=True, trk=True), where(Origin.GATEWAY)), "Origin=GATEWAY, ct=+rpl+trk"),
        ((where(Verdict.ALLOWED), where(Origin.ELSEWHERE)), "Verdict=ALLOWED, Origin=ELSEWHERE"),
        ((where(Zone.IPV4),), "Zone=IPV4"),
        ((IPV4,), "ip"),
        ((ARP,), "arp"),
        ((ip_dst(network("10.0.0.0/8")),), "ip_dst=10.0.0.0/8"),
        ((ip_dst(network("fd00::5/128")),), "ip_dst=fd00::5"),
        ((IPV4, exact(oxm.IP_PROTO, 6), exact(BY_NAME["tcp_dst"], 80)), "tcp, tcp_dst=80"),
        ((IPV6, exact(oxm.IP_PROTO, 17)), "udp6"),
        ((IPV6, exact(oxm.IP_PROTO, 89)), "ipv6, ip_proto=89"),
        ((icmpv6_type(135),), "icmp6, icmpv6_type=135"),
        ((arp(op=1, spa=0x0A000001),), "arp_op=request, arp_spa=10.0.0.1"),
        ((arp(op=3),), "arp_op=3"),
        ((eth_src(ROUTER_MAC),), "eth_src=router"),
        ((where(Src.GATEWAY), eth_src(GATEWAY_MAC), IPV6), "Src=GATEWAY, eth_src=gateway, ipv6"),
        (
            (where(Src.TUNNEL), tun_src(network("192.0.2.1/32")), ip_src(network("10.1.0.0/24"))),
            "Src=TUNNEL, ip_src=10.1.0.0/24, tun_src=192.0.2.1",
        ),
        ((in_port(OfPort(0xFFFFFFFE)),), "in_port=LOCAL"),
    ],
)
def test_matches_by_meaning(terms, text):
    assert words(*terms) == text


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (Term(BY_NAME["xreg0"], 0xF << 32, 0xF << 32), "Src=0xf"),
        (Term(BY_NAME["xreg0"], 1 << 32, 3 << 32), "Src=0x1/0x3"),
        (Term(BY_NAME["xreg0"], 1 << 63, 1 << 63), "reg0=0x80000000/0x80000000"),
        (Term(BY_NAME["xreg0"], 1 << 63 | 1 << 32, 1 << 63 | 0xF << 32), "Src=POD, reg0=0x80000000/0x80000000"),
        (Term(BY_NAME["xreg4"], 5, 0xFF), "reg9=0x5/0xff"),
        (Term(BY_NAME["ct_mark"], 0x12, 0x13), "Verdict=ALLOWED, Origin=GATEWAY, ct_mark=0x10/0x10"),
    ],
)
def test_bits_without_a_meaning_are_shown_as_they_are(term, text):
    assert words(term) == text


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (load(Direction.REPLY), "Direction:=REPLY"),
        (load(OutPort(3)), "OutPort:=web-1a2b3c"),
        (SetField(BY_NAME["reg0"], 0x21, 0xFF), "Src:=POD, Dst:=TUNNEL"),
        (SetField(BY_NAME["reg0"], 0x8001, 0x800F), "Src:=POD, reg0:=0x8000/0x8000"),
        (SetField(BY_NAME["reg9"], 5, WHOLE), "reg9:=0x5"),
        (SetField(oxm.ETH_DST, mac(ROUTER_MAC), oxm.ETH_DST.full), "eth_dst:=router"),
        (SetField(oxm.ETH_DST, mac(GATEWAY_MAC), oxm.ETH_DST.full), "eth_dst:=gateway"),
        (SetField(oxm.ARP_OP, 2, 0xFFFF), "arp_op:=reply"),
        (SetField(oxm.TUN_DST, 0xC0000201, WHOLE), "tun_dst:=192.0.2.1"),
        (Copy(oxm.ARP_SPA, SCRATCH), "scratch:=arp_spa"),
        (Copy(BY_NAME["xreg3"], BY_NAME["ct_label"], 64), "AllowedEgress:=EgressRule, AllowedIngress:=IngressRule"),
        (Copy(BY_NAME["xreg3"], BY_NAME["ct_label"], 40), "ct_label[0..39]:=xreg3[0..39]"),
        (DEC_TTL, "dec_ttl"),
        (Output(3), "output(web-1a2b3c)"),
        (IN_PORT, "output(IN_PORT)"),
        (DELIVER, "output(OutPort)"),
        (OutputReg(Slice(int, BY_NAME["reg5"], 3, 16)), "output(reg5[3..18])"),
        (Goto(Table.SPOOF_GUARD), "→SpoofGuard"),
        (Ct(Zone.IPV4, Table.CONNTRACK_STATE, nat=TRANSLATE), "ct(zone=IPV4, →ConntrackState, nat)"),
        (Ct(Zone.IPV6, commit=True, sets=(load(Origin.GATEWAY),)), "ct(commit, zone=IPV6, Origin:=GATEWAY)"),
        (
            Ct(Zone.IPV4, commit=True, force=True, nat=Nat(src=NatRange(ip_address("10.0.0.1")))),
            "ct(commit, force, zone=IPV4, nat(src=10.0.0.1))",
        ),
        (CT_CLEAR, "ct_clear"),
        (TRANSLATE, "nat"),
        (Conjunction(7, 1, 2), "conjunction(7, 1/2)"),
        (Group(5), "group(5)"),
        (Meter(5), "meter(5)"),
        (RawAction(bytes.fromhex("0011000881000000")), "raw(0x0011000881000000)"),
        (RawInstruction(EXPIRES), "expires"),
    ],
)
def test_actions_by_meaning(action, text):
    assert deeds(action) == text


def test_no_actions_is_drop():
    assert deeds() == "drop"
    assert deeds(DEC_TTL, load(Dst.POD)) == "dec_ttl, Dst:=POD"


def test_owners():
    assert owner(cookie(Feature.POD, "pod/shop/web")) == "pod/shop/web"
    assert owner(cookie(Feature.NODE, "node/alpha")) == "node/alpha"
    assert owner(cookie(Feature.BASE, "pipeline")) == "pipeline"


def test_a_cookie_of_ours_that_nobody_is_known_for_shows_feature_and_digest():
    assert owner(cookie(Feature.NODE, "node/beta")) == "node 0x09d4e9584a5f"
    assert owner(MAGIC << 56 | 200 << 48 | 5) == "feature 200 0x000000000005"


def test_foreign_cookies_are_called_so():
    assert owner(0) == "foreign 0x0"
    assert owner(0xDEADBEEF) == "foreign 0xdeadbeef"


def test_a_table_that_we_do_not_have_shows_its_number():
    assert named(Flow(200, 1, (), (), 0)).table == "200"


def test_an_unknown_field_shows_header_value_and_mask():
    flow = decode(Encoded(bytes.fromhex("000001 80000402 0000 80000504 0001 00ff".replace(" ", "")), bytes(8)))
    assert named(flow).match == "0x80000402=0000, 0x80000504=0001/00ff"


def test_names_are_not_needed():
    assert named(Flow(0, 1, match(in_port(OfPort(3))), (), 5)) == Columns(
        "Classify", "1", "in_port=3", "drop", "foreign 0x5"
    )
