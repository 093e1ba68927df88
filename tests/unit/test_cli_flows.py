"""Which flows `weftctl flows` shows, in which order and in which words."""

from dataclasses import replace

import pytest
from cli_fixture import pod_port, seen, view

from cli import flows
from cli.errors import CliError
from cli.flows import Seen, Wanted
from cli.layout import plain, table
from cli.view import names_of
from openflow import example
from openflow.actions import Output
from openflow.codec import Record, encode
from openflow.fields import OfPort
from openflow.flow import Flow
from openflow.match import IPV4, in_port, match
from openflow.render import ofctl
from openflow.tables import Table


def _select(wanted: Wanted) -> list[Flow]:
    return [each.flow for each in flows.select(seen(), view(), wanted)]


def _owners(chosen: list[Flow]) -> set[str]:
    return {example.NAMES.owner(flow.cookie) for flow in chosen}


def test_a_dump_is_read_in_the_order_in_which_a_packet_meets_it() -> None:
    records = [Record(encode(flow), 1, 2, 3.0) for flow in reversed(example.flows())]
    found = flows.seen("alpha", records)
    assert [(each.flow.table, -each.flow.priority) for each in found] == sorted(
        (flow.table, -flow.priority) for flow in example.flows()
    )
    assert {each.flow for each in found} == set(example.flows())
    assert {(each.node, each.packets, each.bytes, each.age) for each in found} == {("alpha", 1, 2, 3.0)}


def test_the_order_does_not_depend_on_the_switchs() -> None:
    records = [Record(encode(flow), 0, 0, 0.0) for flow in example.flows()]
    assert flows.seen("alpha", records) == flows.seen("alpha", records[::-1])


def test_everything_is_shown_unless_a_choice_is_made() -> None:
    assert len(_select(Wanted())) == len(example.flows())


def test_one_table() -> None:
    assert {flow.table for flow in _select(Wanted(table=Table.ROUTE))} == {Table.ROUTE}


@pytest.mark.parametrize("text", ["SpoofGuard", "spoofguard", "SPOOF_GUARD", "spoof-guard", "1"])
def test_a_table_goes_by_its_title_or_number(text: str) -> None:
    assert flows.table_number(text) == Table.SPOOF_GUARD


@pytest.mark.parametrize("text", ["nope", "20", "-1", ""])
def test_a_wrong_table_lists_the_right_ones(text: str) -> None:
    with pytest.raises(CliError, match=r"there is no table .*0 Classify, 1 SpoofGuard, .*19 Output"):
        flows.table_number(text)


def test_the_flows_of_a_pod() -> None:
    chosen = _select(Wanted(pod="shop/web"))
    assert _owners(chosen) == {"pod/shop/web"}
    assert len(chosen) == 8


def test_flows_of_others_that_match_or_reach_a_pod_are_its_too() -> None:
    foreign = [
        Flow(0, 1, match(in_port(OfPort(3))), (), 0x1),
        Flow(11, 1, match(IPV4), (Output(3),), 0x2),
        Flow(11, 1, match(), (Output(4),), 0x3),
    ]
    found = [Seen("alpha", flow, 0, 0, 0.0) for flow in foreign]
    chosen = [each.flow.cookie for each in flows.select(found, view(), Wanted(pod="shop/web"))]
    assert chosen == [0x1, 0x2]


def test_flows_of_a_pod_whose_port_is_not_open_yet_go_by_its_cookie() -> None:
    closed = view(pod_port(example.WEB, ofport=None), pod_port(example.DB))
    chosen = list(flows.select(seen(), closed, Wanted(pod="shop/web")))
    assert _owners([each.flow for each in chosen]) == {"pod/shop/web"}


def test_table_and_pod_together() -> None:
    chosen = _select(Wanted(Table.CLASSIFY, "shop/db"))
    assert [example.NAMES.owner(flow.cookie) for flow in chosen] == ["pod/shop/db"]


def _lines(*, stats: bool = False, node: bool = False) -> list[str]:
    chosen = [each for each in seen() if each.flow.table == Table.CLASSIFY]
    names = names_of(view(), (), ["beta"])
    return [
        plain(line) for line in table(flows.columns(stats=stats), flows.rows(chosen, names, stats=stats, node=node))
    ]


def test_a_flow_is_one_line_of_names() -> None:
    titles, *lines = _lines()
    assert titles.split() == ["TABLE", "PRIO", "OWNER", "MATCH", "ACTIONS"]
    assert [line.split(maxsplit=4) for line in lines if "web" in line] == [
        ["Classify", "40000", "pod/shop/web", "in_port=web-1a2b3c", "Src:=POD, →SpoofGuard"]
    ]
    assert len({line.index("Src:=") for line in lines}) == 1


@pytest.mark.parametrize("width", [None, 40, 80, 118, 200])
def test_a_flow_is_one_line_on_a_terminal_of_any_width(width: int | None) -> None:
    names = names_of(view(), (), ["beta"])
    rows = list(flows.rows(seen(), names, stats=False, node=False))
    titles, *lines = (plain(line) for line in table(flows.columns(stats=False), rows, width))
    at = titles.index("ACTIONS")
    assert [line[at:] for line in lines] == [row.cells[-1] for row in rows]


def test_with_counters_and_the_node() -> None:
    titles, first = (line.split() for line in _lines(stats=True, node=True)[:2])
    assert titles == ["NODE", "TABLE", "PRIO", "PACKETS", "BYTES", "AGE", "OWNER", "MATCH", "ACTIONS"]
    assert first[:6] == ["alpha", "Classify", "40000", "7", "700", "1m5s"]


def test_the_owner_of_another_nodes_flows_is_named_once_the_node_is_known() -> None:
    across = next(each for each in seen() if example.NAMES.owner(each.flow.cookie) == "node/beta")
    known, unknown = names_of(view(), (), ["beta"]), names_of(view(), (), ())
    assert known.owner(across.flow.cookie) == "node/beta"
    assert unknown.owner(across.flow.cookie).startswith("node 0x")


def test_raw_is_what_ovs_ofctl_takes() -> None:
    each = seen()[0]
    assert flows.raw(each, stats=False) == ofctl(each.flow)


def test_raw_with_counters_is_as_ovs_ofctl_dumps_it() -> None:
    text = flows.raw(replace(seen()[0], age=1.5), stats=True)
    head, _, rest = text.partition(",duration=1.500s,n_packets=7,n_bytes=700,")
    assert f"{head},{rest}" == ofctl(seen()[0].flow)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (65, "1m5s"),
        (3600, "1h"),
        (3720, "1h2m"),
        (86400, "1d"),
        (180000, "2d2h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert flows.duration(seconds) == text


def test_drops_stand_out() -> None:
    assert flows.action_style("drop") != flows.action_style("→Neighbor")
