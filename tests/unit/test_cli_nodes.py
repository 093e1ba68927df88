"""Nodes as `weftctl nodes` shows them."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from cli_fixture import pod_port, seen, tables, view

from cli import nodes
from cli.directory import Directory, NodeInfo
from cli.flows import Seen
from cli.layout import plain, table
from cli.nodes import Running
from cli.view import NodeView, Silent, read_node
from openflow import example
from openflow.flow import Flow

CIDRS = (ip_network("10.10.0.0/24"), ip_network("fd10::/64"))
KNOWN = Directory({"alpha": NodeInfo("alpha", True, CIDRS, 1400), "beta": NodeInfo("beta", False, CIDRS, None)})


def _cells(node: NodeView, directory: Directory, running: Running | None = None) -> dict[str, str]:
    (row,) = nodes.rows([node], directory, {node.node: running} if running else {})
    return dict(zip([column.title for column in nodes.columns()], row.cells, strict=True))


def test_what_kubernetes_the_database_and_the_switch_say() -> None:
    assert _cells(view(), KNOWN, Running("3.1.0", 80)) == {
        "NODE": "alpha", "READY": "yes", "POD-CIDRS": "10.10.0.0/24, fd10::/64", "TUNNEL-IP": "192.0.2.1",
        "MTU": "1400", "DATAPATH-ID": "00000000000000a1", "OVS": "3.1.0", "BRIDGE": "br-int",
        "CONTROLLER": "connected", "PODS": "2", "FLOWS": "80",
    }  # fmt: skip


def test_without_a_cluster_to_ask_the_switch_is_what_is_known() -> None:
    cells = _cells(view(), Directory(), Running("3.1.0", 80))
    assert (cells["READY"], cells["POD-CIDRS"], cells["MTU"]) == ("-", "-", "1450")


def test_a_switch_that_does_not_answer_has_no_flows_to_count() -> None:
    cells = _cells(view(), KNOWN)
    assert (cells["OVS"], cells["FLOWS"], cells["DATAPATH-ID"]) == ("-", "-", "00000000000000a1")


def test_a_node_whose_database_is_silent_shows_what_kubernetes_knows() -> None:
    (row,) = nodes.silent_rows([Silent("beta", "no such socket")], KNOWN)
    assert row.cells[:4] == ("beta", "no", "10.10.0.0/24, fd10::/64", "-")
    assert len(row.cells) == len(nodes.columns())


@pytest.mark.parametrize(
    ("controllers", "text"),
    [
        ({}, "none set"),
        ({"a": True}, "connected"),
        ({"a": False}, "not connected"),
        ({"a": True, "b": False}, "1 of 2 connected"),
        ({"a": True, "b": True}, "connected"),
    ],
)
def test_controllers(controllers: dict[str, bool], text: str) -> None:
    assert nodes.connected(controllers) == text


@pytest.mark.parametrize(("youngest", "text"), [(0.5, "connected"), (60.0, "not connected"), (None, "not connected")])
def test_a_controller_that_has_just_added_flows_is_connected_before_open_vswitch_says_so(
    youngest: float | None, text: str
) -> None:
    assert nodes.connected({"a": False}, youngest) == text


def test_only_flows_of_ours_tell_of_our_controller() -> None:
    foreign = Seen("alpha", Flow(0, 1, (), (), 0x1), 0, 0, 0.1)
    assert nodes.running("3.1.0", (*seen(), foreign)) == Running("3.1.0", len(seen()) + 1, 65.0)
    assert nodes.running("3.1.0", (foreign,)).youngest is None


def test_what_is_wrong_is_red_and_what_is_unknown_is_dim() -> None:
    assert [nodes.yes_no(text) for text in ("yes", "connected", "no", "not connected", "-")] == [
        "green", "green", "red", "red", "dim",
    ]  # fmt: skip


def test_foreign_and_unreadable_ports_are_told() -> None:
    broken = pod_port(example.WEB, mac="01:00:00:00:00:00")
    found = read_node(view().place, tables(broken, pod_port(example.DB), foreign="eth9"))
    unreadable, foreign = nodes.problems(found)
    assert "attached-mac = '01:00:00:00:00:00': not a unicast MAC address" in unreadable
    assert foreign == "alpha: port eth9 on bridge br-int is not Weft's; nothing passes through it"


def test_the_table_is_readable_at_120_columns() -> None:
    beta = replace(view(), node="beta")
    rows = nodes.rows([view(), beta], KNOWN, {"alpha": Running("3.1.0", 80)})
    lines = [plain(line) for line in table(nodes.columns(), rows, 120)]
    assert max(map(len, lines)) <= 120
