"""A network of three nodes in which all is well, to be changed by tests of the checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from cli_fixture import pod_port, seen, tables

from cli.checks import plan
from cli.checks.all import CHECKS, judge
from cli.checks.model import Controller, Finding, NodeState, Result, World
from cli.directory import Directory, NodeInfo
from cli.facts import Certificate, Link, NodeFacts, Probe, Probed
from cli.view import Place, read_node
from openflow import example
from openflow.net import network

NOW = 1_800_000_000.0
DAY = 86400.0
NODES = ("alpha", "beta", "gamma")
OPENFLOW = "ssl:192.0.2.9:6653"

Rows = dict[str, dict[UUID, dict[str, Any]]]


def number(node: str) -> int:
    return NODES.index(node) + 1


def gateway(node: str) -> str:
    return f"10.10.{number(node)}.1"


def underlay(node: str) -> str:
    return f"192.0.2.{number(node)}"


def node(name: str = "alpha", **changes: Any) -> NodeState:
    """A node in order, with a pod; `changes` of its fields."""
    rows = tables(pod_port(example.WEB))
    for bridge in rows["Bridge"].values():
        bridge |= {"external_ids": {"weft-node": name}, "datapath_type": "system"}
    for row in rows["Interface"].values():
        if row["name"] == "weft-tun0":
            row["options"] = {"local_ip": underlay(name)}
    for row in rows["Controller"].values():
        row |= {"target": OPENFLOW, "is_connected": True}
    state = NodeState(
        node=name,
        view=read_node(Place("unix:/x/db.sock", Path("/x/br-int.mgmt"), node=name), rows),
        database=database(name),
        vswitchd="3.5.1",
        flows=seen(),
        unready=(),
        facts=facts(name),
    )
    return replace(state, **changes)


def database(name: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The parts of a dump that checks read."""
    return {
        "Interface": {"1": {"name": "weft-tun0", "type": "geneve", "options": {}}},
        "SSL": {"2": {"ca_cert": "/t/ca.crt", "certificate": "/t/tls.crt", "private_key": "/t/tls.key"}},
        "Manager": {"3": {"target": f"pssl:6640:{underlay(name)}"}},
        "Controller": {"4": {"target": OPENFLOW, "status": {"last_error": "Connection refused"}}},
        "Bridge": {},
        "Port": {},
    }


def facts(name: str = "alpha", **changes: Any) -> NodeFacts:
    values: dict[str, Any] = {
        "kernel": "6.1.0-1-amd64",
        "module": True,
        "links": (
            Link("eth0", 1500, True, (f"{underlay(name)}/24",)),
            Link("weft-gw0", 1450, True, (f"{gateway(name)}/32",)),
            Link(pod_port(example.WEB).name, 1450, True),
        ),
        "now": NOW,
        "uplink": "eth0",
        "certificate": certificate(),
    }
    return NodeFacts(**(values | changes))


def certificate(**changes: Any) -> Certificate:
    values: dict[str, Any] = {
        "names": ("weft-agent",),
        "not_before": NOW - DAY,
        "not_after": NOW + 300 * DAY,
        "ca_not_after": NOW + 3000 * DAY,
    }
    return Certificate(**(values | changes))


def world(*nodes: NodeState, **changes: Any) -> World:
    """These nodes, or all three in order, and what they tried of each other; `changes` of the world's fields."""
    states = nodes or tuple(map(node, NODES))
    infos = {
        each.node: NodeInfo(each.node, True, (network(f"10.10.{number(each.node)}.0/24"),), 1450) for each in states
    }
    values: dict[str, Any] = {
        "directory": Directory(infos),
        "api": "https://192.0.2.9:6443",
        "controllers": (Controller("weft-controller-1", "alpha", ()),),
    }
    made = World("test", states, **(values | changes))
    return replace(made, nodes=tuple(each if each.probed else with_answers(made, each) for each in made.nodes))


def with_answers(made: World, state: NodeState, *wrong: Probed) -> NodeState:
    """The node after it has tried everything: these went wrong, the others well."""
    problems = {each.probe: each for each in wrong}
    answers = (problems.get(probe) or _answered(probe) for probe in plan.probes_of(made, state))
    return replace(state, probed=tuple(answers))


def _answered(probe: Probe) -> Probed:
    return Probed(probe, "", ("weft-controller",), NOW + 300 * DAY) if probe.kind == "tls" else Probed(probe)


def found(check: str, seen_world: World) -> list[Finding]:
    """What a check finds that is not ok."""
    return [each for each in CHECKS[check](seen_world) if each.result is not Result.OK]


def only(check: str, seen_world: World) -> Finding:
    """The one thing that the check finds; it must come with a remedy, and be all that fails."""
    (finding,) = found(check, seen_world)
    assert finding.remedy
    assert [each for each in judge(seen_world) if each.result is Result.FAILED and each != finding] == []
    return finding


def unprogrammed(state: NodeState, **changes: Any) -> NodeState:
    """The node with its pod's port changed."""
    assert state.view is not None
    port = pod_port(example.WEB, **changes)
    bridge = replace(state.view.bridge, ports={port.name: port})
    return replace(state, view=replace(state.view, bridge=bridge))
