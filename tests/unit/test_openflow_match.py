"""What can be matched together, and what cannot."""

from ipaddress import ip_network

import pytest

from openflow.errors import SpecError
from openflow.fields import DstIdentity, Origin, OutPort, Src, SrcIdentity, Verdict
from openflow.match import IPV4, IPV6, Term, arp, ct_state, exact, icmpv6_type, ip_dst, ip_src, match, tun_src, where
from openflow.oxm import BY_NAME, IP_PROTO


def names(terms):
    return [term.field.name for term in terms]


def test_terms_stand_in_the_order_of_open_vswitch():
    one = match(where(Src.TUNNEL), ip_src(ip_network("10.0.0.0/8")), tun_src(ip_network("192.0.2.1/32")))
    assert names(one) == ["dl_type", "nw_src", "tun_src", "xreg0"]


def test_meanings_on_one_register_become_one_term():
    (term,) = match(where(Src.POD), where(OutPort(7)))
    assert (term.field.name, term.value, term.mask) == ("xreg0", 1 << 32 | 7, 0xF << 32 | 0xFFFFFFFF)


def test_conntrack_flags_become_one_term():
    (term,) = match(ct_state(rpl=True), ct_state(trk=True, new=False))
    assert (term.value, term.mask) == (0b101000, 0b101001)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ((where(Src.POD), where(Src.TUNNEL)), "xreg0"),
        ((where(Verdict.ALLOWED), where(Verdict.BLOCKED)), "ct_mark"),
        ((IPV4, IPV6), "dl_type"),
        ((ip_src(ip_network("10.0.0.0/8")), ip_src(ip_network("11.0.0.0/8"))), "nw_src"),
        ((ct_state(rpl=True), ct_state(rpl=False)), "ct_state"),
    ],
)
def test_contradicting_terms_are_refused(terms, field):
    with pytest.raises(SpecError, match=f"{field}: .* cannot both match"):
        match(*terms)


def test_terms_that_agree_are_narrowed():
    wide, narrow = ip_src(ip_network("10.0.0.0/8")), ip_src(ip_network("10.1.0.0/16"))
    assert match(wide, narrow) == match(narrow)


@pytest.mark.parametrize(
    ("name", "with_terms", "needs"),
    [
        ("nw_dst", (), "dl_type"),
        ("nw_src", (IPV6,), "dl_type"),
        ("ipv6_dst", (IPV4,), "dl_type"),
        ("nw_proto", (), "dl_type"),
        ("tcp_dst", (IPV4,), "nw_proto"),
        ("udp_dst", (IPV4, exact(IP_PROTO, 6)), "nw_proto"),
        ("arp_spa", (IPV4,), "dl_type"),
        ("icmp_type", (IPV6, exact(IP_PROTO, 1)), "dl_type"),
        ("icmpv6_type", (IPV4, exact(IP_PROTO, 58)), "dl_type"),
    ],
)
def test_a_missing_prerequisite_is_refused(name, with_terms, needs):
    with pytest.raises(SpecError, match=f"{name} needs {needs}"):
        match(*with_terms, exact(BY_NAME[name], 1))


def test_helpers_bring_their_prerequisites():
    assert names(match(arp(op=1, spa=5))) == ["dl_type", "arp_op", "arp_spa"]
    assert names(match(icmpv6_type(135))) == ["dl_type", "nw_proto", "icmpv6_type"]
    assert names(match(ip_dst(ip_network("fd00::/64")))) == ["dl_type", "ipv6_dst"]


def test_a_network_of_everything_matches_only_the_family():
    assert match(ip_dst(ip_network("0.0.0.0/0"))) == match(IPV4)


@pytest.mark.parametrize(("value", "mask"), [(1 << 32, (1 << 32) - 1), (0, 1 << 32), (0b11, 0b01), (-1, 1)])
def test_values_that_do_not_fit_field_or_mask_are_refused(value, mask):
    with pytest.raises(SpecError, match="outside its mask or its field"):
        Term(BY_NAME["pkt_mark"], value, mask)


def test_a_meaning_beyond_its_bits_is_refused():
    with pytest.raises(SpecError):
        where(OutPort(1 << 32))
    with pytest.raises(SpecError):
        where(DstIdentity(1 << 64))


def test_meanings_are_found_where_the_layout_puts_them():
    assert where(Origin.GATEWAY) == Term(BY_NAME["ct_mark"], 0b10, 0b10)
    assert where(SrcIdentity(77)) == exact(BY_NAME["xreg1"], 77)
