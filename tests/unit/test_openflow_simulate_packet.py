"""Packets: how they are made, answered and quoted, and that a switch sees all of them."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from openflow import oxm
from openflow.constants import ROUTER_MAC
from openflow.oxm import BY_NAME, FIELDS
from openflow.simulate import Outer, Packet, slots
from openflow.simulate import packet as packets
from openflow.simulate.packet import ACK, ICMP, ICMP6, SCTP, SYN, TCP, UDP

A, B = "10.10.0.5", "10.10.0.6"
A6, B6 = "fd10::5", "fd10::6"
V4 = Outer(1, ip_address("192.0.2.1"), ip_address("192.0.2.2"))
V6 = Outer(1, ip_address("2001:db8::1"), ip_address("2001:db8::2"))
EVERY = [
    packets.tcp(A, B, 80),
    packets.udp(A6, B6, 53),
    packets.sctp(A, B, 99, sport=7),
    packets.echo(A6, B6, 3),
    packets.ip(A, B, 89),
    packets.arp_request("0e:00:00:00:00:05", A, B),
    replace(packets.tcp(A, B, 80), outer=V4, ttl=3, eth_src="0e:00:00:00:00:05"),
    replace(packets.tcp(A, B, 80), outer=V6),
    Packet(None, None, 0, eth_type=0x88CC),
]


@pytest.mark.parametrize("packet", EVERY, ids=lambda packet: f"{packet.eth_type:x}-{packet.proto}-{packet.dport}")
def test_a_packet_goes_into_fields_and_out_again(packet):
    assert packet.after(packet.fields(3), packet.about) == packet


def test_what_a_switch_sees_of_it():
    def field(packet, name):
        slot, shift = slots.place_of(BY_NAME[name])
        return packet.fields(3)[slot] >> shift & BY_NAME[name].full

    tcp, arp = EVERY[0], EVERY[5]
    assert field(tcp, "in_port") == 3
    assert (field(tcp, "nw_src"), field(tcp, "nw_dst")) == (0x0A0A0005, 0x0A0A0006)
    assert (field(tcp, "tcp_src"), field(tcp, "tcp_dst"), field(tcp, "nw_ttl")) == (40000, 80, 64)
    assert field(tcp, "dl_dst") == int(ROUTER_MAC.replace(":", ""), 16)
    assert (field(arp, "arp_op"), field(arp, "arp_spa"), field(arp, "arp_sha")) == (1, 0x0A0A0005, 0x0E0000000005)
    assert (field(EVERY[3], "icmpv6_type"), field(EVERY[3], "icmpv6_code")) == (128, 0)
    assert (field(EVERY[6], "tun_id"), field(EVERY[6], "tun_src"), field(EVERY[6], "tun_dst")) == (
        1,
        0xC0000201,
        0xC0000202,
    )
    assert field(EVERY[7], "tun_ipv6_dst") == int(V6.dst)
    assert all(value == 0 for value in tcp.fields(3)[slots.TUN_ID :])


def test_every_field_of_weft_has_its_place():
    assert {slots.place_of(field).slot for field in FIELDS} == set(range(slots.COUNT))
    assert slots.place_of(BY_NAME["reg4"]) == (slots.XREG0 + 2, 32)
    assert slots.place_of(BY_NAME["reg5"]) == (slots.XREG0 + 2, 0)


def test_what_a_packet_must_be_to_have_a_field():
    tcp, arp, echo = (EVERY[n].fields(1) for n in (0, 5, 3))
    assert slots.has(tcp, slots.needs(BY_NAME["nw_dst"]))
    assert not slots.has(arp, slots.needs(BY_NAME["nw_dst"]))
    assert slots.has(arp, slots.needs(BY_NAME["arp_tpa"]))
    assert slots.has(echo, slots.needs(BY_NAME["icmpv6_type"]))
    assert not slots.has(echo, slots.needs(BY_NAME["icmp_type"]))
    assert not slots.has(arp, slots.needs(BY_NAME["tcp_dst"]))
    assert slots.needs(BY_NAME["reg0"]) == ()


def test_an_answer_goes_back():
    there = replace(packets.tcp(A, B, 80), eth_src="0e:00:00:00:00:05", eth_dst="0e:00:00:00:00:06", ttl=3, outer=V4)
    back = there.answer()
    assert (str(back.src), str(back.dst), back.sport, back.dport) == (B, A, 80, 40000)
    assert (back.eth_src, back.eth_dst, back.ttl, back.outer) == (there.eth_dst, there.eth_src, 64, None)
    assert (back.flags, back.answer().flags) == (SYN | ACK, ACK)


@pytest.mark.parametrize("addresses", [(A, B), (A6, B6)], ids=["ipv4", "ipv6"])
def test_an_echo_is_answered_in_kind(addresses):
    question = packets.echo(*addresses, 9)
    answer = question.answer()
    assert (question.sport, answer.sport) in ((8, 0), (128, 129))
    assert (answer.icmp_id, answer.dport) == (9, 0)
    assert answer.answer().sport == answer.sport  # an answer is not answered


@pytest.mark.parametrize("about", [packets.tcp(A, B, 80), packets.udp(A6, B6, 53)], ids=["ipv4", "ipv6"])
def test_an_error_quotes_what_it_is_about(about):
    error = packets.unreachable(about)
    assert (error.src, error.dst, error.about) == (about.dst, about.src, about)
    assert (error.proto, error.sport, error.dport) in ((ICMP, 3, 3), (ICMP6, 1, 4))
    router = {4: "192.0.2.1", 6: "2001:db8::1"}[about.src.version]
    assert str(packets.unreachable(about, router).src) == router


def test_only_ip_is_answered_by_errors():
    with pytest.raises(ValueError, match="only IP packets"):
        packets.unreachable(EVERY[-1])


def test_addresses_are_of_one_family():
    with pytest.raises(ValueError, match=r"10\.10\.0\.5 and fd10::6 are not of one family"):
        packets.tcp(A, B6, 80)


def test_protocols_by_name():
    assert [p.proto for p in EVERY[:5]] == [TCP, UDP, SCTP, ICMP6, 89]
    assert packets.echo(A, B).proto == ICMP
    assert {p.eth_type for p in EVERY[:2]} == {oxm.ETH_IPV4, oxm.ETH_IPV6}
