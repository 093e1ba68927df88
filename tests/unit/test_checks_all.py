"""Checks as a whole: a network in order has nothing to complain of, and whatever fails has a remedy."""

from __future__ import annotations

from dataclasses import replace

from checks_fixture import NODES, node, world

from cli.check_text import as_json, lines, summary
from cli.checks.all import CHECKS, is_well, judge
from cli.checks.model import Finding, NodeState, Result, World
from cli.layout import plain

DEAD = {"switch": "no socket", "agent": "nobody there", "facts": "not reached", "probes": "not reached"}


def text(*findings: Finding, every: bool = False) -> list[str]:
    return [plain(line) for line in lines(findings, 3, None, every=every)]


def test_all_is_well() -> None:
    findings = judge(world())
    assert {each.result for each in findings} == {Result.OK}
    assert {each.check for each in findings} == set(CHECKS)
    assert text(*findings)[-1] == f"{len(CHECKS)} checks of 3 nodes: all is well"


def test_every_check_says_something_of_every_node_that_answers() -> None:
    of_nodes = set(CHECKS) - {"api", "controllers"}
    assert {(each.check, each.node) for each in judge(world()) if each.check in of_nodes} == {
        (check, name) for check in of_nodes for name in NODES
    }


def test_a_node_that_is_dead_is_told_of_and_the_others_are_looked_at() -> None:
    dead = NodeState("beta", silent=DEAD)
    findings = judge(world(node("alpha"), dead, node("gamma")))
    assert {each.check for each in findings if each.node == "beta" and each.result is Result.FAILED} >= {
        "switch",
        "agent",
    }
    assert [each for each in findings if each.node in ("alpha", "gamma") and each.result is Result.FAILED] == []


def test_a_world_of_nothing() -> None:
    findings = judge(World("nothing", ()))
    assert {each.check: each.result for each in findings} == {"api": Result.UNKNOWN, "controllers": Result.UNKNOWN}


def test_nothing_fails_without_a_remedy() -> None:
    broken = [
        node(name, view=None, silent=DEAD, unready=None, facts=None, flows=None, vswitchd="2.5.0", probed=())
        for name in NODES
    ]
    findings = judge(world(*broken, controllers=()))
    assert any(each.result is Result.FAILED for each in findings)
    assert [each for each in findings if each.result is Result.FAILED and not each.remedy] == []


OK_ONE = Finding("mtu", "a", Result.OK, "1450")
OK_TWO = Finding("mtu", "b", Result.OK, "1450")
BAD = Finding("mtu", "c", Result.FAILED, "too small", "raise it")


def test_what_is_well_is_one_row_a_check() -> None:
    assert text(OK_ONE, OK_TWO, BAD) == [
        "CHECK  NODE          RESULT  WHAT       REMEDY",
        "mtu    2 of 3 nodes  ok      1450",
        "mtu    c             failed  too small  raise it",
        "",
        "1 checks of 3 nodes: 1 failed",
    ]


def test_different_words_are_not_put_into_one_row() -> None:
    assert text(OK_ONE, replace(OK_TWO, what="9000"))[1] == "mtu    2 of 2 nodes  ok"


def test_every_node_if_asked_for() -> None:
    assert [line.split()[:3] for line in text(OK_ONE, OK_TWO, every=True)[1:3]] == [
        ["mtu", "a", "ok"],
        ["mtu", "b", "ok"],
    ]


def test_summary() -> None:
    findings = (OK_ONE, BAD, replace(BAD, result=Result.WARNING), replace(BAD, result=Result.UNKNOWN))
    assert summary(findings, 1) == "1 checks of 1 node: 1 failed, 1 to look at, 1 not to be tested from here"


def test_warnings_and_what_is_not_known_are_no_failures() -> None:
    assert is_well([OK_ONE, replace(BAD, result=Result.WARNING), replace(BAD, result=Result.UNKNOWN)])
    assert not is_well([OK_ONE, BAD])


def test_json() -> None:
    assert as_json([BAD, Finding("api", "", Result.OK, "it answers")]) == {
        "well": False,
        "findings": [
            {"check": "mtu", "node": "c", "result": "failed", "what": "too small", "remedy": "raise it"},
            {"check": "api", "node": None, "result": "ok", "what": "it answers", "remedy": ""},
        ],
    }
