"""Actions: what they refuse, and the bytes that Open vSwitch keeps."""

from ipaddress import ip_address, ip_network

import pytest

from openflow import oxm
from openflow.actions import (
    DEC_TTL,
    DELIVER,
    IN_PORT,
    TRANSLATE,
    Action,
    Conjunction,
    Copy,
    Ct,
    CtClear,
    Group,
    Meter,
    Nat,
    NatRange,
    Output,
    SetField,
    load,
    out_port,
    set_eth,
    set_tunnel,
)
from openflow.errors import SpecError
from openflow.fields import Dst, OfPort, Origin, OutPort, SrcIdentity, Zone
from openflow.tables import Table

V4, V6 = ip_address("10.0.0.1"), ip_address("fd00::1")


def test_only_a_commit_turns_a_connection_round():
    with pytest.raises(SpecError, match="only a commit can turn"):
        Ct(Zone.IPV4, Table.CONNTRACK_STATE, force=True)


def test_only_a_commit_chooses_a_translation():
    with pytest.raises(SpecError, match="only a commit can say"):
        Ct(Zone.IPV4, Table.CONNTRACK_STATE, nat=Nat(src=NatRange(V4)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NatRange(V4, V4), "10.0.0.1 to 10.0.0.1 is not a range"),
        (lambda: NatRange(V4, ip_address("fd00::2")), "not a range of one family"),
        (lambda: NatRange(V4 + 1, V4), "not a range"),
        (lambda: NatRange(ip_address("0.0.0.0")), "0.0.0.0 is no address"),
        (lambda: NatRange(V4, ports=(0, 5)), "ports 0 to 5"),
        (lambda: NatRange(V4, ports=(9, 8)), "ports 9 to 8"),
        (lambda: NatRange(V4, ports=(9, 65536)), "ports 9 to 65536"),
        (lambda: Nat(src=NatRange(V4), dst=NatRange(V4)), "not both"),
    ],
)
def test_translations_that_mean_nothing_are_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_only_a_commit_sets_the_mark_of_a_connection():
    with pytest.raises(SpecError, match="only a commit"):
        Ct(Zone.IPV4, Table.CONNTRACK_STATE, sets=(load(Origin.GATEWAY),))
    assert Ct(Zone.IPV4, commit=True, sets=(load(Origin.GATEWAY),)).sets


def test_copying_between_widths_is_refused():
    with pytest.raises(SpecError, match="copy arp_spa to dl_src: the widths differ"):
        Copy(oxm.ARP_SPA, oxm.ETH_SRC)
    for bits in (0, 65):
        with pytest.raises(SpecError, match="bits of xreg3 to ct_label: one has fewer"):
            Copy(oxm.BY_NAME["xreg3"], oxm.CT_LABEL, bits)


@pytest.mark.parametrize(
    "make",
    [
        lambda: out_port(OfPort(1 << 32)),
        lambda: load(SrcIdentity(1 << 64)),
        lambda: load(OutPort(-1)),
        lambda: SetField(oxm.TUN_SRC, 5, 4),
        lambda: Output(1 << 32),
        lambda: Output(-1),
        lambda: Group(0xFFFFFF01),
        lambda: Group(-1),
        lambda: Meter(0),
        lambda: Meter(0xFFFF0001),
        lambda: Conjunction(1 << 32, 1, 2),
        lambda: Conjunction(1, 0, 2),
        lambda: Conjunction(1, 3, 2),
        lambda: Conjunction(1, 1, 1),
        lambda: Conjunction(1, 1, 65),
    ],
)
def test_values_that_do_not_fit_are_refused(make):
    with pytest.raises(SpecError):
        make()


def test_a_meaning_is_loaded_under_the_mask_of_its_bits():
    assert load(Dst.TUNNEL) == SetField(oxm.BY_NAME["reg0"], 0x20, 0xF0)
    assert load(SrcIdentity(77)) == SetField(oxm.BY_NAME["xreg1"], 77, 2**64 - 1)


@pytest.mark.parametrize(
    ("action", "wire"),
    [
        (DEC_TTL, "00180008 00000000"),
        (Output(3), "00000010 00000003 0000 000000000000"),
        (IN_PORT, "00000010 fffffff8 0000 000000000000"),
        (load(Dst.POD), "00190010 00010108 00000010 000000f0"),
        (out_port(OfPort(3)), "00190010 00010204 00000003 00000000"),
        (Copy(oxm.BY_NAME["xreg3"], oxm.CT_LABEL, 64), "001c0018 0040 0000 0000 0000 80010608 0001d810 00000000"),
        (Copy(oxm.ETH_SRC, oxm.ETH_DST), "001c0018 0030 0000 0000 0000 80000806 80000606 00000000"),
        (DELIVER, "ffff0018 00002320 000f 001f 00010204 ffff 000000000000"),
        (Ct(Zone.IPV4, Table.CONNTRACK_STATE), "ffff0018 00002320 0023 0000 00000000 ff04 04 000000 0000"),
        (Ct(Zone.IPV6, commit=True), "ffff0018 00002320 0023 0001 00000000 ff06 ff 000000 0000"),
        (
            Ct(Zone.IPV4, nat=TRANSLATE),
            "ffff0028 00002320 0023 0000 00000000 ff04 ff 000000 0000 ffff0010 00002320 0024 0000 0000 0000",
        ),
        (Ct(Zone.IPV4, commit=True, force=True), "ffff0018 00002320 0023 0003 00000000 ff04 ff 000000 0000"),
        (Nat(src=NatRange(V4)), "ffff0018 00002320 0024 0000 0001 0001 0a000001 00000000"),
        (
            Nat(dst=NatRange(V4, V4 + 4, (80, 99))),
            "ffff0020 00002320 0024 0000 0002 0033 0a000001 0a000005 0050 0063 00000000",
        ),
        (
            Nat(dst=NatRange(V6, ports=(80, 80))),
            "ffff0028 00002320 0024 0000 0002 0014 fd000000000000000000000000000001 0050 000000000000",
        ),
        (CtClear(), "ffff0010 00002320 002b 000000000000"),
        (Conjunction(7, 2, 3), "ffff0010 00002320 0022 01 03 00000007"),
        (Group(5), "00160008 00000005"),
        (Meter(5), "001d0008 00000005"),
    ],
)
def test_wire_form(action, wire):
    assert action.wire == bytes.fromhex(wire)


def test_every_action_is_a_multiple_of_eight_bytes():
    tunnel = set_tunnel(ip_network("2001:db8::1/128"), 1)
    nats = (TRANSLATE, Nat(src=NatRange(V4)), Nat(dst=NatRange(V6, V6 + 1, (1, 9))))
    for action in (*set_eth("0e:00:00:00:00:01", "0e:00:00:00:00:02"), *tunnel, *nats, DELIVER, IN_PORT, DEC_TTL):
        assert len(action.wire) % 8 == 0
        assert int.from_bytes(action.wire[2:4], "big") == len(action.wire)


def test_a_tunnel_is_set_in_the_family_of_its_far_end():
    assert [a.target.name for a in set_tunnel(ip_network("192.0.2.1/32"), 1)] == ["tun_id", "tun_dst"]
    assert [a.target.name for a in set_tunnel(ip_network("2001:db8::1/128"), 1)] == ["tun_id", "tun_ipv6_dst"]


def test_an_action_needs_a_wire_form():
    with pytest.raises(NotImplementedError):
        Action()
