"""The chart's containers can do their work with the few capabilities that they have, and no fewer would do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
import yaml
from agent_fixture import NODE, Node, agent_lab
from lab_fixture import agent_problem, node_config, until

from lab.bringup import agent, ovsdb, vswitchd
from lab.lab import Lab
from ovsdb import appctl

GOLDEN = Path(__file__).resolve().parents[1] / "e2e" / "chart" / "golden" / "netdev.yaml"
"""The chart for nodes whose datapath is in user space, as those of a lab are."""


def granted(name: str) -> list[str]:
    """The capabilities of a container of the chart, as setpriv(1) calls them."""
    (context,) = (
        container["securityContext"]
        for each in yaml.safe_load_all(GOLDEN.read_text())
        for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        if container["name"] == name
    )
    return [each.lower() for each in context["capabilities"].get("add", ())]


def confine(lab: Lab, process: str, capabilities: Sequence[str]) -> None:
    """Start a process of the lab again, as root with these capabilities, which can get no others."""
    (spec,) = (each.spec for each in lab.processes.records() if each.spec.name == process)
    bounds = "".join(f",+{each}" for each in capabilities)
    prefix = ("setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all{bounds}")
    argv = spec.argv[len(prefix) :] if spec.argv[0] == "setpriv" else spec.argv
    lab.kill(process)
    lab.processes.start(msgspec.structs.replace(spec, argv=(*prefix, *argv)))


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab(f"t-caps-{os.getpid()}") as lab, Node(lab) as node:
        # ovsdb-server shares a container with ovs-vswitchd, and needs none of its capabilities.
        confine(lab, ovsdb(NODE), [])
        yield node


def confine_both(lab: Lab, of_agent: Sequence[str], of_switch: Sequence[str]) -> None:
    """Agent and switch with these capabilities, when the agent says that all is in order."""
    confine(lab, vswitchd(NODE), of_switch)
    until(lambda: appctl.version(node_config(lab, NODE).paths.ovs), "the switch answers")
    confine(lab, agent(NODE), of_agent)
    until(lambda: agent_problem(lab, NODE) is None, "the agent is ready")


def test_agent_and_switch_attach_a_pod_with_what_the_chart_grants_them(node: Node) -> None:
    confine_both(node.lab, granted("weft-agent"), granted("weft-ovs"))
    box = node.box("confined")
    box.add()
    box.check()
    assert "1 received" in box.output("ping", "-n", "-c", "1", "-W", "5", "10.244.1.1")
    box.delete()


def test_the_agent_cannot_enter_a_pod_with_less(node: Node) -> None:
    assert set(granted("weft-agent")) == {"net_admin", "sys_admin"}
    confine_both(node.lab, ["net_admin"], granted("weft-ovs"))
    assert "cannot enter the network namespace" in node.box("refused").refused().msg


def test_the_switch_opens_no_port_with_less(node: Node) -> None:
    assert set(granted("weft-ovs")) == {"net_admin", "net_raw"}
    confine_both(node.lab, granted("weft-agent"), ["net_admin"])
    node.box("unopened").refused()
    said = (node.config.paths.log / "vswitchd.log").read_text()
    assert "failed to create raw socket (Operation not permitted)" in said
