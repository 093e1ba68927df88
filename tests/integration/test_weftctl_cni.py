"""weftctl cni on a lab of two nodes, where the test is the runtime."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from agent_fixture import Node, agent_lab
from weftctl_fixture import Ran, weftctl

from lab.lab import Lab

NAME = f"t-wcni-{os.getpid()}"
NOWHERE = "/run/netns/of-nobody"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Each node has served an ADD, a CHECK and a DEL; then node1 has refused one ADD."""
    with agent_lab(NAME, nodes=2) as lab:
        for name in ("node1", "node2"):
            with Node(lab, name) as node:
                box = node.box("web")
                box.add()
                box.check()
                box.delete()
        with Node(lab, "node1") as node:
            node.box("lost").having(netns=NOWHERE).refused()
        yield lab


def look(*arguments: str) -> Ran:
    return weftctl("cni", "--lab", NAME, *arguments)


def document(*arguments: str) -> dict[str, Any]:
    ran = look("-o", "json", *arguments)
    assert (ran.status, ran.err) == (0, "")
    return dict(json.loads(ran.out))


def counts(document: dict[str, Any], node: str | None = None) -> dict[tuple[str, str | None], int]:
    return {(each["verb"], each["step"]): each["count"] for each in document["latencies"] if each["node"] == node}


def steps(lab: Lab, verb: str) -> list[str]:
    """In the order in which the agents' code takes them, by their histograms."""
    return [step for known, step in counts(document()) if known == verb and step]


def test_requests_of_all_nodes_are_added_up(lab: Lab) -> None:
    found = counts(document())
    assert (found["ADD", None], found["CHECK", None]) == (3, 2)
    taken = steps(lab, "ADD")
    assert taken
    assert {found["ADD", step] for step in taken} == {2}  # the ADD that was refused came not so far


def test_quantiles_rise(lab: Lab) -> None:
    for each in document()["latencies"]:
        assert 0 < each["p50"] <= each["p90"] <= each["p99"] <= each["largest"]


def test_each_node_by_itself(lab: Lab) -> None:
    found = document("--by-node")
    assert (counts(found, "node1")["ADD", None], counts(found, "node2")["ADD", None]) == (2, 1)
    assert [each["node"] for each in found["failures"]] == ["node1"]


def test_some_nodes_only(lab: Lab) -> None:
    found = document("--node", "node2")
    assert [each["node"] for each in found["nodes"]] == ["node2"]
    assert counts(found)["ADD", None] == 1
    assert found["last"] == []
    both = document("--node", "node2", "--node", "node1")
    assert counts(both) == counts(document())


def test_a_failure_is_told_with_pod_code_and_reason(lab: Lab) -> None:
    found = document()
    assert [(each["verb"], each["code"], each["count"]) for each in found["failures"]] == [("ADD", 4, 1)]
    (last,) = found["last"]
    assert (last["node"], last["verb"], last["namespace"], last["ifname"]) == ("node1", "ADD", "default", "eth0")
    assert last["pod"].startswith("lost-")
    assert last["container"] == f"of-{last['pod']}"
    assert NOWHERE in last["message"]


def test_the_same_for_people(lab: Lab) -> None:
    ran = look()
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[0].startswith("CNI requests on 2 nodes since their agents started")
    assert re.search(r"^ADD +whole request +3( +[\d.]+){3}$", ran.out, re.MULTILINE)
    for step in steps(lab, "ADD"):
        assert re.search(rf"^ADD +{step} +2( +[\d.]+){{3}}$", ran.out, re.MULTILINE)
    assert re.search(r"^ADD +4 +1  a CNI_\* variable is missing or wrong$", ran.out, re.MULTILINE)
    assert re.search(rf"  node1  ADD   default/lost-\d+ +4 .*{NOWHERE}", ran.lines[-1])


def test_a_node_that_is_not_there(lab: Lab) -> None:
    ran = look("--node", "node9")
    assert (ran.status, ran.out) == (2, "")
    assert "has no node 'node9': it has node1, node2" in ran.err


def test_a_node_whose_agent_is_dead_is_named_after_what_the_others_say(lab: Lab) -> None:
    node = Node(lab, "node2")
    node.kill_agent()
    try:
        ran, programs = look(), look("-o", "json")
        alone = look("--node", "node2")
    finally:
        node.start_agent()
    assert ran.status == programs.status == alone.status == 2
    assert ran.lines[0].startswith("CNI requests on node1 since")
    assert "weftctl: node2 does not answer: nothing listens at 127.0.0.1:9443 in its network" in ran.err
    assert [(each["node"], bool(each["unseen"])) for each in json.loads(programs.out)["nodes"]] == [
        ("node1", False),
        ("node2", True),
    ]
    assert alone.out == ""
    assert alone.err == ran.err


def test_an_agent_that_starts_counts_anew(lab: Lab) -> None:
    node = Node(lab, "node2")
    before = document("--node", "node2")["nodes"][0]["since"]
    node.kill_agent()
    node.start_agent()
    found = document("--node", "node2")
    assert found["nodes"][0]["since"] > before
    assert found["latencies"] == []
    assert look("--node", "node2").lines[0].startswith("no CNI requests on node2 since")
