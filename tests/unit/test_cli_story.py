"""A trace as it is read: node by node, table by table, in words."""

from cli_fixture import from_tunnel, leg

from cli.journey import Verdict
from cli.layout import Piece, plain, table
from cli.story import columns, conclusion, rows


def _story(name: str, width: int | None = None) -> list[str]:
    sent = from_tunnel() if name == "reply" else None
    return [plain(line) for line in table(columns(), rows([leg(name, sent)]), width)]


def test_a_delivery_on_one_node() -> None:
    lines = [" ".join(line.split()) for line in _story("same_node")]
    assert lines == [
        "alpha, in by web-1a2b3c",
        "Classify pod/shop/web in_port=web-1a2b3c Src:=POD, →SpoofGuard",
        "SpoofGuard pod/shop/web in_port=web-1a2b3c, eth_src=0e:00:0a:0a:00:05, ip_src=10.10.0.5 →Neighbor",
        "Neighbor: nothing to do",
        "Conntrack pipeline ip ct(zone=IPV4, →ConntrackState, nat)",
        "conntrack says: new",
        "ConntrackState, Service, ServiceEndpoint: nothing to do",
        "SourceIdentity pod/shop/web in_port=web-1a2b3c SrcIdentity:=0x77eb, →EgressIdentity",
        "EgressIdentity, EgressAdmin, EgressPolicy, EgressBaseline: nothing to do",
        "Route pod/shop/db ip_dst=10.10.0.6 eth_src:=router, eth_dst:=0e:00:0a:0a:00:06, dec_ttl, Dst:=POD,"
        " DstIdentity:=0xdb, OutPort:=db-4d5e6f, →SourceNat",
        "SourceNat: nothing to do",
        "IngressIdentity pipeline Src=POD →IngressAdmin",
        "IngressAdmin, IngressPolicy, IngressBaseline: nothing to do",
        "Commit pipeline ct=+new+trk, ip"
        " ct(commit, zone=IPV4, AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output",
        "Output pipeline Dst=POD output(OutPort)",
        "out by db-4d5e6f",
        "",
    ]


def test_a_reply_jumps_over_what_has_been_judged() -> None:
    lines = [" ".join(line.split()) for line in _story("reply")]
    assert "conntrack says: est, rpl" in lines
    assert "ConntrackState pipeline ct=+rpl+trk Direction:=REPLY, →Route" in lines
    assert "IngressIdentity pipeline Direction=REPLY →Commit" in lines
    assert not [line for line in lines if "EgressPolicy" in line or "IngressPolicy" in line]


def test_a_drop_ends_the_story_without_a_way_out() -> None:
    lines = _story("forged")
    assert lines[-2].split() == ["SpoofGuard", "no", "flow", "matched", "drop"]
    assert not [line for line in lines if line.startswith("  out by")]


def test_a_tunnel_says_where_it_leads_and_the_underlay_is_left_out() -> None:
    lines = _story("tunnel")
    assert lines[-2] == "  out by weft-tun0, through the tunnel to 192.0.2.2"
    assert not [line for line in lines if "br-phy" in line or "NORMAL" in line]


def test_steps_are_indented_below_their_node_and_fit_a_terminal() -> None:
    lines = _story("same_node", 120)
    assert [line for line in lines if len(line) > 120] == []
    assert [line for line in lines[1:] if line and not line.startswith("  ")] == []


def test_the_conclusion_is_green_or_red() -> None:
    assert conclusion(Verdict(True, "yes")) == (Piece("yes", "bold green"),)
    assert conclusion(Verdict(False, "no")) == (Piece("no", "bold red"),)
