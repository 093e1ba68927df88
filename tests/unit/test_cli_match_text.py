"""A trace's words for a match give the very match that was installed."""

import pytest
from cli_fixture import TRACES, captured_flows, trace

from cli.journey import find_flow, index
from cli.match_text import ForeignMatch, parse_match
from cli.trace_text import parse
from openflow import example
from openflow.fields import Direction, Dst, IdentityId, OfPort, Origin, Src, SrcIdentity, Verdict
from openflow.flow import Flow
from openflow.match import arp, ct_state, icmpv6_type, in_port, ip_dst, ip_src, match, tun_src, where
from openflow.net import network
from openflow.render import ofctl


def _words(flow: Flow) -> str:
    """The match of a flow in ovs-ofctl's words, without what stands around it."""
    head, _, _ = ofctl(flow).rpartition(",actions=")
    return ",".join(part for part in head.split(",") if not part.startswith(("cookie=", "table=", "priority=")))


@pytest.mark.parametrize(
    "flow", example.flows(), ids=lambda flow: f"{flow.table}-{flow.priority}-{_words(flow)[:40]}"
)
def test_the_words_of_every_flow_are_read_back(flow: Flow) -> None:
    assert parse_match(_words(flow)) == flow.match


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.txt")), ids=lambda path: path.stem)
def test_every_flow_in_a_real_trace_is_found(path: object) -> None:
    flows = index(captured_flows())
    hits = [hit for each in parse(trace(path.stem)) for hit in each.hits]  # type: ignore[attr-defined]
    missing = [hit for hit in hits if hit.bridge == "br-int" and hit.match is not None and not find_flow(flows, hit)]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("in_port=3", (in_port(OfPort(3)),)),
        ("ip,nw_dst=10.244.2.0/24", (ip_dst(network("10.244.2.0/24")),)),
        ("ip,nw_src=10.0.0.0/255.0.0.0", (ip_src(network("10.0.0.0/8")),)),
        ("ipv6,ipv6_dst=fd00::/64", (ip_dst(network("fd00::/64")),)),
        ("ct_state=+new+trk", (ct_state(new=True, trk=True),)),
        ("ct_state=-new+est-inv", (ct_state(new=False, est=True, inv=False),)),
        ("ct_mark=0x1/0x1", (where(Verdict.BLOCKED),)),
        ("ct_mark=0x2/0x2", (where(Origin.GATEWAY),)),
        ("reg0=0x2/0xf", (where(Src.TUNNEL),)),
        ("reg0=0x113/0x1ff", (where(Src.GATEWAY), where(Dst.POD), where(Direction.REPLY))),
        ("xreg1=0x77eb", (where(SrcIdentity(IdentityId(0x77EB))),)),
        ("reg2=0,reg3=0x77eb", (where(SrcIdentity(IdentityId(0x77EB))),)),
        ("icmp6,icmp_type=135", (icmpv6_type(135),)),
        ("arp,arp_op=1", (arp(op=1),)),
        ("tun_src=192.0.2.1", (tun_src(network("192.0.2.1/32")),)),
        ("tun_ipv6_src=fd57::1", (tun_src(network("fd57::1/128")),)),
    ],
)
def test_matches_in_open_vswitch_words(text: str, terms: tuple[object, ...]) -> None:
    assert parse_match(text) == match(*terms)  # type: ignore[arg-type]


def test_ports_are_read_with_their_protocol() -> None:
    (tcp,) = [term for term in parse_match("tcp,tp_dst=80") if term.field.name == "tcp_dst"]
    assert tcp.value == 80
    assert parse_match("udp6,udp_dst=53") == parse_match("udp6,tp_dst=53")


@pytest.mark.parametrize(
    "text", ["vlan_tci=0x1000", "mpls", "nw_src=10.0.0.1", "ct_state=~x", "tp_dst=80", "ip,nw_src=x"]
)
def test_what_weft_never_matches_is_refused(text: str) -> None:
    with pytest.raises(ForeignMatch):
        parse_match(text)
