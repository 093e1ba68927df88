"""What becomes of a traced packet, told from what a real switch said."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from cli_fixture import from_tunnel, leg, packet, view

from cli.journey import Goal, Leg, Onward, Outcome, Verdict, follow
from cli.trace_text import Hit, Step
from openflow.render import Columns

DB = Goal(ip_address("10.10.0.6"), "shop/db")
BETA_POD = Goal(ip_address("10.10.1.9"), "shop/far")


def _verdict(name: str, goal: Goal = DB) -> Verdict:
    after = follow(leg(name), [view()], goal)
    assert isinstance(after, Verdict)
    return after


def test_delivered_on_the_same_node() -> None:
    assert _verdict("same_node") == Verdict(True, "delivered to shop/db on alpha by port db-4d5e6f")


def test_delivered_to_somebody_else_is_not_delivered() -> None:
    verdict = _verdict("same_node", Goal(ip_address("10.10.0.9"), "shop/cart"))
    assert verdict == Verdict(False, "delivered to shop/db on alpha by port db-4d5e6f, not to shop/cart")


def test_no_flow_matched() -> None:
    verdict = _verdict("forged")
    assert not verdict.delivered
    assert verdict.sentence.startswith("dropped in SpoofGuard on alpha because no flow matched (a sender uses only")


def test_dropped_by_a_flow_with_its_owner_and_match() -> None:
    verdict = _verdict("unused")
    assert verdict == Verdict(False, "dropped in Route on alpha by a flow of node/alpha: ip_dst=10.10.0.0/24")


def test_ttl_ran_out() -> None:
    assert _verdict("ttl") == Verdict(False, "dropped in Route on alpha because its TTL has run out")


def test_a_packet_never_goes_back_out_of_its_port() -> None:
    assert _verdict("itself") == Verdict(False, "dropped in Output on alpha: skipping output to input port")


def test_handed_to_the_host_on_the_way_outside() -> None:
    outside = Goal(ip_address("2001:db8::1"))
    verdict = _verdict("outside6", outside)
    assert verdict == Verdict(True, "handed to the host of alpha by port weft-gw0, on the way to 2001:db8::1")


def test_a_packet_for_a_pod_that_ends_at_the_host_is_not_delivered() -> None:
    assert not _verdict("outside6", DB).delivered


def test_through_the_tunnel_to_the_next_node() -> None:
    beta = replace(view(), node="beta", tunnel_ip="192.0.2.2")
    after = follow(leg("tunnel", packet(target="10.10.1.9")), [view(), beta], BETA_POD)
    assert isinstance(after, Onward)
    assert after.view is beta
    assert after.packet.in_port == 1
    assert after.packet.tunnel is not None
    assert (str(after.packet.tunnel.source), str(after.packet.tunnel.target)) == ("192.0.2.1", "192.0.2.2")
    assert (after.packet.ttl, after.packet.source, after.packet.target) == (63, packet().source, BETA_POD.address)


def test_a_node_out_of_reach_ends_the_trace() -> None:
    verdict = _verdict("tunnel", BETA_POD)
    assert verdict.delivered
    assert (
        verdict.sentence == "sent by alpha through the tunnel to 192.0.2.2, a node that this command cannot look into"
    )


def test_a_tunnel_whose_end_does_not_answer_drops() -> None:
    assert leg("tunnel_idle").outcome.waits
    beta = replace(view(), node="beta", tunnel_ip="192.0.2.2")
    after = follow(leg("tunnel_idle"), [view(), beta], BETA_POD)
    assert after == Verdict(False, "dropped on alpha: nobody at 192.0.2.2 answers, where the tunnel leads to")


def test_a_reply_out_of_the_tunnel() -> None:
    answer = leg("reply", from_tunnel())
    assert follow(answer, [view()], Goal(ip_address("10.10.0.5"), "shop/web")) == Verdict(
        True, "delivered to shop/web on alpha by port web-1a2b3c"
    )


@pytest.mark.parametrize(("name", "port"), [("same_node", 4), ("tunnel", 1), ("outside6", 2), ("forged", None)])
def test_by_which_port_a_packet_leaves(name: str, port: int | None) -> None:
    outcome = leg(name).outcome
    assert isinstance(outcome, Outcome)
    assert outcome.port == port


def test_the_underlay_does_not_count_as_a_way_out() -> None:
    last = leg("tunnel").outcome.last
    assert last is not None
    assert last.bridge == "br-int"


def test_a_flow_is_called_by_its_names() -> None:
    first = leg("same_node").passes[0].hits[0]
    assert leg("same_node").words(first) == Columns(
        "Classify", "40000", "in_port=web-1a2b3c", "Src:=POD, →SpoofGuard", "pod/shop/web"
    )


def test_a_flow_that_is_gone_is_shown_in_the_switchs_words() -> None:
    gone = Leg(view(), packet(), leg("same_node").passes, {}, leg("same_node").names)
    words = gone.words(gone.passes[0].hits[1])
    assert (words.table, words.owner) == ("SpoofGuard", "pod/shop/web")
    assert words.match == "ip,in_port=3,dl_src=0e:00:0a:0a:00:05,nw_src=10.10.0.5"
    assert words.actions == "goto_table:2"


def test_a_foreign_flow_is_shown_in_the_switchs_words() -> None:
    words = leg("same_node").words(Hit("br-int", 0, "vlan_tci=0x1000", 5, 0x1, (Step("NORMAL"),)))
    assert words == Columns("Classify", "5", "vlan_tci=0x1000", "NORMAL", "foreign 0x1")


def test_a_switch_that_says_nothing() -> None:
    silent = Leg(view(), packet(), (replace(leg("forged").passes[0], hits=()),), {}, leg("forged").names)
    assert follow(silent, [view()], DB) == Verdict(
        False, "dropped on alpha: its switch says nothing about the packet"
    )
