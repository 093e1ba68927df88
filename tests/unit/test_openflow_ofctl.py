"""Flows as ovs-ofctl writes them. That ovs-ofctl reads them back to the same bytes is tests/integration's part."""

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
from openflow.decode import RawInstruction
from openflow.fields import (
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
from openflow.flow import Flow
from openflow.match import Term, arp, ct_state, eth_src, exact, in_port, ip_src, match, tun_src, where
from openflow.net import network
from openflow.ofctl import ofctl
from openflow.oxm import BY_NAME
from openflow.tables import Table

V4, V6 = ip_address("10.0.0.1"), ip_address("fd00::1")


def terms(*chosen):
    return (
        ofctl(Flow(1, 7, match(*chosen), (), 0)).removeprefix("cookie=0x0,table=1,priority=7,").split(",actions")[0]
    )


def actions(*chosen):
    return ofctl(Flow(1, 7, (), chosen, 0)).removeprefix("cookie=0x0,table=1,priority=7,actions=")


def test_a_whole_flow():
    flow = Flow(0, 40000, match(in_port(OfPort(3))), (load(Src.POD), Goto(Table.SPOOF_GUARD)), 0x5F02000000000001)
    assert ofctl(flow) == (
        "cookie=0x5f02000000000001,table=0,priority=40000,in_port=3,actions=set_field:0x1/0xf->reg0,goto_table:1"
    )


def test_a_flow_that_matches_everything_and_drops_it():
    assert ofctl(Flow(11, 0, (), (), 0)) == "cookie=0x0,table=11,priority=0,actions=drop"


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (where(Src.POD), "reg0=0x1/0xf"),
        (where(OutPort(5)), "reg1=0x5"),
        (where(SrcIdentity(IdentityId(0x4D))), "xreg1=0x4d"),
        (Term(BY_NAME["xreg3"], 1 << 40 | 1, 1 << 40 | 1), "xreg3=0x10000000001/0x10000000001"),
        (where(Verdict.BLOCKED), "ct_mark=0x1/0x1"),
        (where(Zone.IPV6), "ct_zone=65286"),
        (ct_state(rpl=True, trk=True, new=False), "ct_state=-new+rpl+trk"),
        (Term(BY_NAME["ct_state"], 1 << 9, 1 << 9), "ct_state=0x200/0x200"),
        (eth_src("0e:00:00:00:00:05"), "dl_src=0e:00:00:00:00:05"),
        (ip_src(network("10.0.0.0/8")), "ip,nw_src=10.0.0.0/8"),
        (ip_src(network("fd00::/48")), "ipv6,ipv6_src=fd00::/48"),
        ((exact(oxm.ETH_TYPE, 0x800), Term(oxm.IPV4_SRC, 1, 0xFF)), "ip,nw_src=0.0.0.1/0.0.0.255"),
        (tun_src(network("192.0.2.1/32")), "tun_src=192.0.2.1"),
        (arp(op=1, spa=0x0A000001, sha=5), "arp,arp_op=1,arp_spa=10.0.0.1,arp_sha=00:00:00:00:00:05"),
        (in_port(OfPort(0xFFFFFFFE)), "in_port=LOCAL"),
        (exact(oxm.ETH_TYPE, 0x8847), "dl_type=0x8847"),
        (Term(BY_NAME["pkt_mark"], 2, 6), "pkt_mark=0x2/0x6"),
        (Term(oxm.ETH_DST, 1 << 40, 1 << 40), "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"),
    ],
)
def test_matches(term, text):
    assert terms(term) == text


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (load(Direction.REPLY), "set_field:0x100/0x100->reg0"),
        (SetField(oxm.ETH_SRC, 5, oxm.ETH_SRC.full), "set_field:00:00:00:00:00:05->dl_src"),
        (SetField(BY_NAME["nw_ttl"], 64, 255), "set_field:64->nw_ttl"),
        (SetField(oxm.CT_STATE, 1, 1), "set_field:0x1/0x1->ct_state"),
        (Copy(oxm.ARP_SPA, BY_NAME["reg15"]), "move:arp_spa[]->reg15[]"),
        (Copy(BY_NAME["xreg3"], oxm.CT_LABEL, 64), "move:xreg3[0..63]->ct_label[0..63]"),
        (DEC_TTL, "dec_ttl"),
        (IN_PORT, "IN_PORT"),
        (Output(3), "output:3"),
        (Output(0xFFFFFFFA), "NORMAL"),
        (Output(0xFFFFFFFD), "CONTROLLER:0"),
        (DELIVER, "output:reg1[]"),
        (OutputReg(Slice(int, BY_NAME["reg5"], 3, 16)), "output:reg5[3..18]"),
        (OutputReg(Slice(int, BY_NAME["reg5"], 3, 1)), "output:reg5[3]"),
        (Ct(Zone.IPV4, Table.CONNTRACK_STATE, nat=TRANSLATE), "ct(zone=65284,table=4,nat)"),
        (
            Ct(Zone.IPV6, commit=True, nat=TRANSLATE, sets=(load(Origin.GATEWAY),)),
            "ct(commit,zone=65286,exec(set_field:0x2/0x2->ct_mark),nat)",
        ),
        (Ct(Zone.IPV6, commit=True, force=True), "ct(commit,force,zone=65286)"),
        (Ct(Zone.IPV4, commit=True, nat=Nat(src=NatRange(V4))), "ct(commit,zone=65284,nat(src=10.0.0.1))"),
        (Nat(dst=NatRange(V4, V4 + 4, (80, 99))), "nat(dst=10.0.0.1-10.0.0.5:80-99)"),
        (Nat(src=NatRange(V6, V6 + 1)), "nat(src=fd00::1-fd00::2)"),
        (Nat(src=NatRange(V6, V6 + 1, (80, 80))), "nat(src=[fd00::1]-[fd00::2]:80)"),
        (CT_CLEAR, "ct_clear"),
        (Conjunction(7, 1, 2), "conjunction(7,1/2)"),
        (Group(5), "group:5"),
        (Meter(5), "meter:5"),
        (Goto(Table.OUTPUT), "goto_table:19"),
        (RawAction(bytes.fromhex("0011000881000000")), "action(0x0011000881000000)"),
        (RawInstruction(bytes.fromhex("00010008c8000000")), "instruction(0x00010008c8000000)"),
    ],
)
def test_actions(action, text):
    assert actions(action) == text


def test_actions_keep_their_order():
    assert (
        actions(DEC_TTL, load(Dst.POD), Goto(Table.SOURCE_NAT)) == "dec_ttl,set_field:0x10/0xf0->reg0,goto_table:13"
    )
