"""The machine goes down in the middle of every step of ADD and DEL, with pods that run: the database is all that is
left of them, and before the first new pod nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from agent_fixture import WAIT, Node, agent_lab
from lab_fixture import run, settled, until
from steps_fixture import Picture, Round, SteppingAgent, limited, picture

from lab import netns
from lab.bringup import CONTROLLER
from lab.node import wait_for_socket

NEVER = 300
DEVICES = ("weft-gw0", "br-phy", "br-int")  # that ovs-vswitchd makes


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-kill-boot") as lab, Node(lab) as node:
        yield node


@pytest.fixture(scope="module")
def agent(node: Node) -> SteppingAgent:
    agent = SteppingAgent(node)
    agent.start(NEVER)
    return agent


def goes_down(node: Node) -> None:
    """The namespaces of pods with all that is in them, and the agent and the controller."""
    node.kill_agent()
    node.lab.kill(CONTROLLER)
    for box in node.boxes:
        netns.remove(box.path.name)
    until(lambda: not node.devices(), "the pods' devices are gone with their namespaces")


def all_goes_down(node: Node) -> None:
    """And Open vSwitch with its devices, and what the agent had told the kernel."""
    goes_down(node)
    for process in (node.vswitchd, node.ovsdb):
        node.lab.kill(process)
    for device in DEVICES:
        node.ip(f"link delete {device}")
    run("ip", "netns", "exec", node.namespace.name, "nft", "flush", "ruleset")


def comes_up(node: Node) -> None:
    node.lab.start(CONTROLLER)
    node.start_agent()


def all_comes_up(node: Node) -> None:
    node.config.paths.ovsdb_socket.unlink()
    node.lab.start(node.ovsdb)
    wait_for_socket(node.config.paths.ovsdb_socket)
    node.lab.start(node.vswitchd)
    comes_up(node)


REBOOTS = {
    "the database's process goes on": (goes_down, comes_up),
    "the database is read from its file": (all_goes_down, all_comes_up),
}


def without_numbers(told: Picture) -> Picture:
    """Devices that are made anew have other indices."""
    return replace(told, links=frozenset((0, name) for _, name in told.links))


@pytest.mark.parametrize("how", REBOOTS)
def test_after_a_reboot_nothing_is_left_and_every_address_is_free(node: Node, agent: SteppingAgent, how: str) -> None:
    down, up = REBOOTS[how]
    steps = agent.steps()
    before = without_numbers(picture(node))
    running = [limited(node, "running") for _ in range(3)]
    taken = [ip["address"] for box in running for ip in box.add()["ips"]]
    with Round(node, agent, steps) as cut:
        cut.call()
        cut.wait_stopped(cut.count)
        down(node)
        cut.all_fail()
        up(node)
    assert (node.devices(), node.rows()) == ((), ())
    settled(node.lab)
    until(lambda: without_numbers(picture(node)) == before, "the node is as it was", WAIT)
    for version in (0, 1):
        wanted = taken[version::2]
        boxes = [node.box("new", capability_args={"ips": [each]}) for each in wanted]
        made = [box.speaking("1.1.0", capabilities={"ips": True}).add()["ips"] for box in boxes]
        assert [ips[version]["address"] for ips in made] == wanted
        for box in boxes:
            box.delete()
