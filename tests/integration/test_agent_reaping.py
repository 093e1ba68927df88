"""What no DEL has removed, the agent removes after a while, and nothing that lives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

import pytest
import yaml
from agent_fixture import Box, Node, agent_lab
from lab_fixture import until, vsctl

from lab import netns
from lab.bringup import DAEMON
from node_agent import wiring
from node_agent.netns import NetNs
from openflow.constants import ROUTER_MAC

SOON = 2


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-reap") as lab, Node(lab) as node:
        settings = node.config.paths.agent_config
        settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "leftover-seconds": SOON}))
        node.kill_agent()
        node.start_agent()
        yield node


@pytest.fixture
def live(node: Node) -> Iterator[Box]:
    """A pod that lives through it all."""
    box = node.box("live")
    box.add()
    yield box
    box.check()
    box.delete()


def until_gone(node: Node, port: str) -> None:
    until(lambda: port not in node.devices() and port not in dict(node.rows()), f"{port} is removed")


def test_a_port_whose_namespace_went_without_a_del(node: Node, live: Box) -> None:
    box = node.box("vanished")
    box.add()
    port = box.port()
    netns.remove(box.path.name)
    until_gone(node, port)
    box.delete()  # which may come all the same


def test_a_port_of_a_pod_that_the_api_no_longer_knows(node: Node, live: Box) -> None:
    box = node.box("forgotten")
    box.add()
    port = box.port()
    args = box.attachment.args
    node.lab.api.request("DELETE", f"/api/v1/namespaces/default/pods/{args['K8S_POD_NAME']}?gracePeriodSeconds=0")
    until_gone(node, port)
    assert box.addresses() == []
    box.delete()


def test_a_port_of_an_earlier_pod_of_the_same_name(node: Node, live: Box) -> None:
    box = node.box("again")
    box.add()
    port = box.port()
    name = box.attachment.args["K8S_POD_NAME"]
    node.lab.api.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")
    assert node.know(name)["metadata"]["uid"] != box.attachment.args["K8S_POD_UID"]
    until_gone(node, port)
    box.delete()


def test_a_device_that_no_row_knows(node: Node, live: Box) -> None:
    box = node.box("half")
    attachment = wiring.Attachment(
        "half-abc", "eth0", "0a:00:00:00:00:09", (IPv4Interface("10.244.1.250/32"),), (IPv4Address("10.244.1.1"),),
        ROUTER_MAC, 1400,
    )  # fmt: skip

    def make() -> None:
        with NetNs.open(str(box.path)) as inside:
            wiring.create(attachment, inside)

    netns.run_in(node.namespace, make)
    assert "half-abc" in node.devices()
    until_gone(node, "half-abc")


def test_while_the_api_is_away_no_pod_is_taken_for_gone(node: Node, live: Box) -> None:
    gone = node.box("unlucky")
    gone.add()
    port = gone.port()
    with node.stopped(DAEMON):
        netns.remove(gone.path.name)
        time.sleep(2 * SOON)
        assert live.port() in dict(node.rows())
    until_gone(node, port)


def test_a_row_that_somebody_removed_by_hand_leaves_no_device(node: Node, live: Box) -> None:
    box = node.box("by-hand")
    box.add()
    port = box.port()
    vsctl(node.lab, node.name, "del-port", "br-int", port)
    until_gone(node, port)
