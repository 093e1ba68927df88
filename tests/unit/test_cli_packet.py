"""The packet of a trace, in the words that ofproto/trace takes."""

from ipaddress import ip_address

import pytest
from cli_fixture import from_tunnel, packet, trace

from cli.packet import Service, tunnel_target
from cli.trace_text import parse, parse_flow


def test_an_echo_request() -> None:
    fields = parse_flow(packet().flow)
    assert fields["in_port"] == "3"
    assert (fields["nw_src"], fields["nw_dst"], fields["nw_ttl"]) == ("10.10.0.5", "10.10.0.6", "64")
    assert (fields["icmp_type"], fields["icmp_code"]) == ("8", "0")
    assert packet().flow.startswith("icmp,")


def test_an_echo_reply_over_ipv6() -> None:
    sent = packet("fd10::5", "fd10::6", reply=True)
    assert sent.flow.startswith("icmp6,")
    fields = parse_flow(sent.flow)
    assert (fields["ipv6_src"], fields["icmpv6_type"]) == ("fd10::5", "129")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_reply_comes_from_the_port_that_was_asked(protocol: str) -> None:
    service = Service(protocol, 8080)
    asked = parse_flow(packet(service=service).flow)
    answered = parse_flow(packet(service=service, reply=True).flow)
    assert asked[f"{protocol}_dst"] == answered[f"{protocol}_src"] == "8080"
    assert asked[f"{protocol}_src"] == answered[f"{protocol}_dst"]


def test_a_packet_out_of_a_tunnel_has_its_outer_addresses() -> None:
    fields = parse_flow(from_tunnel().flow)
    assert (fields["tun_id"], fields["tun_src"], fields["tun_dst"]) == ("1", "192.0.2.2", "192.0.2.1")


def test_a_bridge_changes_headers_and_the_next_one_sees_them() -> None:
    after = packet().changed(parse(trace("tunnel"))[-1].final)
    assert (after.eth_src, after.eth_dst, after.ttl) == ("0e:57:65:66:74:01", "0e:57:65:66:74:01", 63)
    assert (after.source, after.service) == (packet().source, packet().service)


def test_where_a_tunnel_leads() -> None:
    assert tunnel_target(parse(trace("tunnel"))[-1].final) == ip_address("192.0.2.2")
    assert tunnel_target({"tun_dst": "0.0.0.0", "tun_ipv6_dst": "fd57::2"}) == ip_address("fd57::2")
    assert tunnel_target({"tun_dst": "0.0.0.0"}) is None
    assert tunnel_target({}) is None


def test_a_packet_in_words() -> None:
    assert str(packet(service=Service("tcp", 80))) == "TCP port 80 over IPv4: 10.10.0.5 → 10.10.0.6"
    assert str(packet(reply=True)) == "reply to ICMP echo over IPv4: 10.10.0.5 → 10.10.0.6"
