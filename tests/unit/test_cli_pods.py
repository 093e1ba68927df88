"""Pods as `weftctl pods` shows them."""

from datetime import datetime
from ipaddress import ip_address

import pytest
from cli_fixture import pod_port, seen, view

from cli import pods
from cli.directory import Directory, PodInfo
from cli.pods import Attached, Selection
from openflow import example

NOW = datetime(2026, 11, 23, 12, 0, 5)
GONE = PodInfo("shop/late", "alpha", (ip_address("10.10.0.9"),))
ELSEWHERE = PodInfo("bank/far", "beta", ())


def _rows(selection: Selection, *missing: PodInfo) -> list[tuple[str, ...]]:
    return [row.cells for row in pods.rows(pods.attached(view(), seen()), missing, selection, NOW)]


def test_node_addresses_port_and_since_when() -> None:
    db, web = _rows(Selection())
    assert web == (
        "shop/web", "alpha", "10.10.0.5, fd10::5", "web-1a2b3c", "3", "yes", "2026-11-23 11:59:00", "1m5s",
    )  # fmt: skip
    assert db[0] == "shop/db"


def test_since_is_the_age_of_the_flow_that_lets_the_port_in() -> None:
    assert pods.port_ages(seen()) == {1: 65.0, 2: 65.0, 3: 65.0, 4: 65.0}


def test_a_pod_without_a_port_is_shown_too() -> None:
    cells = _rows(Selection(), GONE)[1]
    assert cells == ("shop/late", "alpha", "10.10.0.9", "-", "-", "no: it has no port on its node", "-", "-")


@pytest.mark.parametrize(
    ("selection", "shown"),
    [
        (Selection("shop"), ["shop/db", "shop/late", "shop/web"]),
        (Selection("bank"), ["bank/far"]),
        (Selection(node="beta"), ["bank/far"]),
        (Selection("bank", "alpha"), []),
    ],
)
def test_a_selection_by_namespace_and_node(selection: Selection, shown: list[str]) -> None:
    assert [cells[0] for cells in _rows(selection, GONE, ELSEWHERE)] == shown


def test_only_pods_of_nodes_that_were_read_can_be_missing() -> None:
    known = Directory(pods={each.key: each for each in (GONE, ELSEWHERE, PodInfo("shop/web", "alpha", ()))})
    assert list(pods.without_port([view()], known)) == [GONE]


@pytest.mark.parametrize(
    ("changes", "age", "text"),
    [
        ({}, 1.0, "yes"),
        ({}, None, "no: its flows are not in the switch"),
        ({"programmed": None}, None, "no: the controller has not confirmed its flows"),
        ({"programmed": "an-earlier-container"}, 1.0, "no: the controller has not confirmed its flows"),
        ({"ofport": None, "programmed": None}, None, "no: Open vSwitch has given it no number yet"),
        ({"ofport": None, "error": "no such device"}, None, "no: Open vSwitch cannot open the port: no such device"),
    ],
)
def test_how_far_a_port_has_come(changes: dict[str, object], age: float | None, text: str) -> None:
    assert pods.programmed(Attached("alpha", pod_port(example.WEB, **changes), age)) == text


def test_a_port_that_is_not_programmed_has_no_since() -> None:
    port = pod_port(example.WEB, programmed=None)
    (row,) = pods.rows([Attached("alpha", port, 3.0)], (), Selection(), NOW)
    assert row.cells[-2:] == ("-", "-")


@pytest.mark.parametrize(
    ("selection", "text"),
    [(Selection(), ""), (Selection("x"), " in namespace x"), (Selection("x", "n"), " in namespace x on node n")],
)
def test_a_selection_in_words(selection: Selection, text: str) -> None:
    assert str(selection) == text
