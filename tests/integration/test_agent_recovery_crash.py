"""kill -9 of the agent at every step of ADD and DEL: after the runtime's DEL nothing is left, and live pods stay."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface
from pathlib import Path

import pytest
from agent_fixture import WAIT, Box, Node, agent_lab
from lab_fixture import until, vsctl

from lab import netns
from lab.bringup import CONTROLLER
from lab.node import python_environment
from lab.runtime import RuntimeFailure
from node_agent import wiring

CRASH = Path(__file__).with_name("agent_crash.py")
CONF = {"cniVersion": "1.0.0", "name": "weft", "type": "weft"}


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


def crash(box: Box, verb: str, step: str) -> None:
    """Serve a request in place of the node's agent, and die by SIGKILL at the end of the step."""
    a = box.attachment
    env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": a.container, "CNI_NETNS": a.netns, "CNI_IFNAME": a.ifname}
    env["CNI_ARGS"] = ";".join(f"{key}={value}" for key, value in a.args.items())
    argv = [sys.executable, str(CRASH), f"unix:{box.node.config.paths.ovsdb_socket}", step]

    def run() -> subprocess.CompletedProcess[str]:
        asked = json.dumps({"env": env, "conf": CONF})
        return subprocess.run(
            argv, input=asked, env=python_environment(), capture_output=True, text=True, timeout=WAIT, check=False
        )

    done = netns.run_in(box.node.namespace, run)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("step", ["allocate", "veth", "configure", "commit", "program"])
def test_killed_at_the_end_of_a_step_of_add(node: Node, live: Box, step: str) -> None:
    before, files = node.state(), node.files()
    node.kill_agent()
    box = node.box("killed")
    crash(box, "ADD", step)
    assert alive(live)
    node.start_agent()
    devices, ports = len(node.devices()) - 1, len(node.rows()) - 1
    assert (devices, ports) in {"allocate": {(0, 0)}, "veth": {(0, 0)}}.get(step, {(0, 0), (1, 1)})
    assert len(box.addresses()) == 2 * devices
    box.delete()
    node.back_at(before)
    assert (box.addresses(), node.files()) == ([], files)
    assert alive(live)
    live.check()
    assert len(box.add()["ips"]) == 2
    box.delete()


@pytest.mark.parametrize("step", ["veth", "commit"])
def test_killed_at_the_end_of_a_step_of_del(node: Node, live: Box, step: str) -> None:
    before, files = node.state(), node.files()
    box = node.box("killed")
    box.add()
    node.kill_agent()
    crash(box, "DEL", step)
    assert alive(live)
    node.start_agent()
    box.delete()
    node.back_at(before)
    assert (box.addresses(), node.files()) == ([], files)
    live.check()


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
