"""Reading what a real ovs-vswitchd prints for ofproto/trace."""

import pytest
from cli_fixture import TRACES, trace

from cli.trace_text import Hit, Pass, Step, notes, parse, parse_flow
from openflow.tables import Table

BRIDGE = "br-int"


def _tables(each: Pass) -> list[int]:
    return [hit.table for hit in each.hits if hit.bridge == BRIDGE]


def test_a_packet_passes_the_tables_twice_because_conntrack_takes_it_out_in_between() -> None:
    before, after = parse(trace("same_node"))
    assert (before.state, set(after.state.split("|"))) == ("", {"trk", "new"})
    assert _tables(before) == [0, 1, 2, 3]
    assert _tables(after) == list(range(Table.CONNTRACK_STATE, Table.OUTPUT + 1))


def test_a_step_has_the_flow_that_matched_and_what_it_did() -> None:
    first = parse(trace("same_node"))[0].hits[0]
    actions = ("set_field:0x1/0xf->reg0", "goto_table:1")
    assert first == Hit(BRIDGE, 0, "in_port=3", 40000, 0x5F029E77117C61C3, tuple(map(Step, actions)))


def test_a_flow_that_matches_everything_has_an_empty_match() -> None:
    neighbor = parse(trace("same_node"))[0].hits[2]
    assert (neighbor.match, neighbor.priority, neighbor.steps) == ("", 0, (Step("goto_table:3"),))


def test_no_match_is_told_from_an_empty_match() -> None:
    last = parse(trace("forged"))[-1].hits[-1]
    assert (last.table, last.match, last.steps) == (1, None, (Step("drop"),))


def test_notes_belong_to_the_action_above_them() -> None:
    output = parse(trace("same_node"))[-1].hits[-1].steps[-1]
    assert output == Step("output:NXM_NX_REG1[]", ("output port is 4",))


def test_warnings_are_kept_apart_from_notes() -> None:
    output = parse(trace("itself"))[-1].hits[-1].steps[-1]
    assert output == Step("output:NXM_NX_REG1[]", ("output port is 3",), ("skipping output to input port",))
    assert parse(trace("ttl"))[-1].hits[-1].steps[-1] == Step("dec_ttl", (), ("IPv4 decrement TTL exception",))


def test_the_final_flow_has_the_fields_as_the_packet_leaves() -> None:
    final = parse(trace("same_node"))[-1].final
    assert (final["dl_dst"], final["nw_ttl"], final["tp_dst"]) == ("0e:00:0a:0a:00:06", "63", "80")


def test_an_unchanged_final_flow_is_the_one_that_came_in() -> None:
    last = parse(trace("unused"))[-1]
    assert last.final["nw_dst"] == "10.10.0.77"
    assert last.actions == "drop"


def test_the_underlay_bridge_of_a_tunnel_is_told_from_ours() -> None:
    last = parse(trace("tunnel"))[-1]
    assert {hit.bridge for hit in last.hits} == {BRIDGE, "br-phy"}
    assert "tunneling to 192.0.2.2 via br-phy" in notes(last.hits)
    assert last.actions.startswith("set(eth(")


def test_a_conntrack_state_that_was_asked_for_is_read_as_well_as_the_default() -> None:
    assert parse(trace("reply"))[-1].state == "est|rpl|trk"


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.txt")), ids=lambda path: path.stem)
def test_every_line_of_every_trace_has_a_place(path: object) -> None:
    passes = parse(trace(path.stem))  # type: ignore[attr-defined]
    assert all(each.hits and each.actions and each.final for each in passes)
    strays = [step for each in passes for hit in each.hits for step in hit.steps if not step.action]
    assert strays == []


def test_what_is_no_trace_has_no_passes() -> None:
    assert parse("") == ()
    assert parse("br-x: unknown bridge\n") == ()


def test_an_unknown_line_is_kept_as_text_of_the_flow_it_stands_under() -> None:
    lines = ("Flow: ip", 'bridge("br-int")', "-----", " 5. ip, priority 1, cookie 0x1")
    (only,) = parse("\n".join((*lines, "    group:7", "     -> using bucket 2", "    bucket 2")))
    assert only.hits[0].steps == (Step("group:7", ("using bucket 2",)), Step("bucket 2"))


def test_a_fragment_message_in_place_of_a_match_is_kept() -> None:
    text = 'Flow: ip\n\nbridge("br-int")\n-----\n 0. Packets are IP fragments.\n    drop\n'
    assert parse(text)[0].hits[0] == Hit("br-int", 0, None, steps=(Step("Packets are IP fragments."), Step("drop")))


def test_a_flow_without_cookie_or_match() -> None:
    text = 'Flow: ip\n\nbridge("br-phy")\n-----\n 0. priority 0\n    NORMAL\n'
    assert parse(text)[0].hits == (Hit("br-phy", 0, "", 0, 0, (Step("NORMAL"),)),)


def test_parse_flow_keeps_words_without_a_value() -> None:
    assert parse_flow("tcp,in_port=3,ct_state=new|trk") == {"tcp": "", "in_port": "3", "ct_state": "new|trk"}
