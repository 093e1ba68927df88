"""kill -9 of the agent while a request waits, and what it finds when it starts; live pods stay.

Every step of ADD and DEL: test_agent_recovery_steps.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface

import pytest
from agent_fixture import WAIT, Box, Node, agent_lab
from lab_fixture import until, vsctl

from lab import netns
from lab.bringup import CONTROLLER
from lab.runtime import RuntimeFailure
from node_agent import wiring


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-crash") as lab, Node(lab) as node:
        yield node


@pytest.fixture(scope="module")
def live(node: Node) -> Box:
    """A pod that lives through it all."""
    box = node.box("live")
    box.add()
    return box


def alive(box: Box) -> bool:
    return "1 received" in box.output("ping", "-n", "-c", "1", "-W", "2", "10.244.1.1")


@pytest.mark.parametrize("hung", ["controller", "vswitchd", "ovsdb"])
def test_killed_while_an_add_waits(node: Node, live: Box, hung: str) -> None:
    """The whole path: the plugin sees the connection close, and the runtime does what runtimes do."""
    before, files = node.state(), node.files()
    box = node.box("waiting")
    process = {"controller": CONTROLLER, "vswitchd": node.vswitchd, "ovsdb": node.ovsdb}[hung]
    with ThreadPoolExecutor(1) as thread, node.stopped(process):
        call = thread.submit(box.add)
        until(lambda: len(node.devices()) > len(before.devices), "the ADD has made its veth")
        node.kill_agent()
        with pytest.raises(RuntimeFailure) as caught:
            call.result(WAIT)
    assert caught.value.code == 11
    assert "check that weft-agent runs" in caught.value.msg
    node.start_agent()
    box.delete()
    node.back_at(before)
    assert (box.addresses(), node.files()) == ([], files)
    assert alive(live)


def test_killed_while_a_del_waits(node: Node, live: Box) -> None:
    before = node.state()
    box = node.box("waiting")
    box.add()
    with ThreadPoolExecutor(1) as thread, node.stopped(node.ovsdb):
        call = thread.submit(box.delete)
        until(lambda: len(node.devices()) == len(before.devices), "the DEL has removed the veth")
        node.kill_agent()
        with pytest.raises(RuntimeFailure) as caught:
            call.result(WAIT)
    assert caught.value.code == 11
    node.start_agent()
    box.delete()
    node.back_at(before)
    assert alive(live)


def test_a_request_while_there_is_no_agent_is_refused_and_leaves_nothing(node: Node, live: Box) -> None:
    box = node.box("nobody")
    before = node.state()
    node.kill_agent()
    try:
        for verb in ("add", "delete", "check"):
            refused = (live if verb == "check" else box).refused(verb)
            assert refused.code == 11
            assert "connection refused" in refused.msg
        assert alive(live)
    finally:
        node.start_agent()
    assert node.state() == before


def test_what_a_reboot_leaves_is_cleared_before_the_first_pod(node: Node, live: Box) -> None:
    """Namespaces and veths are gone, the rows are in conf.db; and an ADD had died before its row."""
    before = node.state()
    boxes = [node.box("rebooted") for _ in range(3)]
    taken = {ip["address"] for box in boxes for ip in box.add()["ips"]}
    node.kill_agent()
    for name in set(node.devices()) - set(before.devices):
        netns.run_in(node.namespace, lambda name=name: wiring.delete(name))
    node.ip(f"link add lost-0a1b2c group {wiring.POD_GROUP} type veth peer name gone")
    node.ip("link add others type veth peer name their-peer")
    node.start_agent()
    node.back_at(before)
    assert node.show("link show dev others")
    node.ip("link del others")
    assert taken.isdisjoint(address for _, ips in node.rows() for address in ips.split(","))
    assert alive(live)
    for box in boxes:
        box.delete()


def test_a_live_pod_whose_row_cannot_be_read_keeps_its_network(node: Node) -> None:
    box = node.box("unreadable")
    box.add()
    (name,) = {name for name, ips in node.rows() if ips.startswith(str(ip_interface(box.addresses()[0]).ip))}
    uid = box.attachment.args["K8S_POD_UID"]
    vsctl(node.lab, node.name, "remove", "Interface", name, "external_ids", "weft-network")
    node.kill_agent()
    node.start_agent()
    assert name in node.devices()
    assert len(box.addresses()) == 2
    vsctl(node.lab, node.name, "set", "Interface", name, "external_ids:weft-network=weft")
    until(lambda: alive(box), f"pod {uid} has its network again")
    box.check()
    box.delete()
