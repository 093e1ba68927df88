"""DEL, CHECK, GC and STATUS through the real executable, and what ADD refuses."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agent_fixture import Box, Node, agent_lab, assign
from lab_fixture import NodeState, ofctl, start_agent_and_controller, until, vsctl

from cni.errors import ErrorCode
from cni.frame import Answer
from lab import netns
from lab.bringup import CONTROLLER
from lab.config import LabConfig
from lab.lab import Lab
from lab.runtime import RuntimeFailure
from node_agent import wiring
from openflow import management
from openflow.features import pod
from openflow.flow import Feature, cookie
from openflow.tables import Table

CONF = {"cniVersion": "1.1.0", "name": "weft", "type": "weft"}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-cni-verbs") as lab, Node(lab) as node:
        yield node


def alive(box: Box) -> bool:
    """Whether the pod reaches the node through its port."""
    return "1 received" in box.output("ping", "-n", "-c", "1", "-W", "2", "10.244.1.1")


def until_refused(node: Node) -> Answer:
    return until(lambda: answer if (answer := node.call("STATUS", CONF)).status else None, "STATUS is refused")


def error(answer: Answer) -> dict[str, Any]:
    assert answer.status == 1
    told = json.loads(answer.stdout)
    assert set(told) == {"cniVersion", "code", "msg", "details"}
    assert isinstance(told, dict)
    return told


# DEL.


def test_c26_c37_del_takes_everything_without_a_gc_and_succeeds_twice(node: Node, clean: NodeState) -> None:
    box = node.box("twice")
    box.add()
    box.delete()
    assert node.state() == clean  # flows too, at once
    assert box.addresses() == []
    box.delete()


def test_del_answers_when_the_flows_are_gone(node: Node, clean: NodeState) -> None:
    box = node.box("followed")
    box.add()
    mark = cookie(Feature.POD, pod.owner("default", box.attachment.args["K8S_POD_NAME"]))
    bridge = management.socket_of(node.config.paths.ovs, "br-int")
    with ThreadPoolExecutor(1) as caller:
        with node.stopped(CONTROLLER):
            done = caller.submit(box.delete)
            until(lambda: "weft-leaving" in vsctl(node.lab, node.name, "list", "Port"), "the row says that it leaves")
            assert management.records(bridge, cookie=mark)
        done.result()
        assert node.rows() == ()
        left = management.records(bridge, cookie=mark)
        assert not left


def test_c26_del_waits_for_no_controller(node: Node, clean: NodeState) -> None:
    box = node.box("uncontrolled")
    box.add()
    with node.stopped(CONTROLLER):
        box.delete()
        assert box.addresses() == []
        assert node.rows() == ()


def test_c26_del_of_an_unknown_container_succeeds(node: Node, clean: NodeState) -> None:
    node.box("never").delete()


def test_c26_del_without_a_namespace_succeeds(node: Node, clean: NodeState) -> None:
    gone, empty = node.box("gone"), node.box("empty")
    gone.add()
    empty.add()
    netns.remove(gone.path.name)
    gone.delete()
    empty.having(netns="").delete()


def test_c26_del_without_interface_prev_result_or_pod_succeeds(node: Node, clean: NodeState) -> None:
    box = node.box("little")
    box.add()
    netns.run_in(node.namespace, lambda: wiring.delete(box.port()))
    box.runtime.cache_dir.joinpath("results", f"weft-{box.attachment.container}-eth0").unlink()
    box.having(args={}).delete()


def test_del_by_the_ledger_after_the_agent_lost_its_memory(node: Node, clean: NodeState) -> None:
    box = node.box("memory")
    box.add()
    node.kill_agent()
    node.start_agent()
    assert alive(box)
    box.having(args={}).delete()


def test_c28_del_frees_all_the_same_when_the_configuration_has_changed(node: Node, clean: NodeState) -> None:
    box = node.box("changed", version="0.3.1")
    box.add()
    box.speaking("1.1.0", mtu=9000, runtimeConfig={"mac": "02:00:00:00:00:01"}, ipam={"type": "host-local"}).delete()


def test_c28_del_frees_although_prev_result_cannot_be_read(node: Node, clean: NodeState) -> None:
    box = node.box("unreadable")
    box.add()
    broken = {**CONF, "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "nonsense"}]}}
    a = box.attachment
    env = {"CNI_CONTAINERID": a.container, "CNI_IFNAME": "eth0", "CNI_NETNS": a.netns}
    answer = node.call("DEL", broken, env)
    assert (answer.status, answer.stdout) == (0, b"")


def test_a_del_touches_no_other_pod(node: Node) -> None:
    stays, goes = node.box("stays"), node.box("goes")
    stays.add()
    goes.add()
    goes.delete()
    assert alive(stays)
    stays.check()


# ADD, again.


def test_c19_a_second_add_is_refused_and_changes_nothing(node: Node) -> None:
    box = node.box("again")
    box.add()
    before, inside = node.state(), box.show("addr")
    refused = box.refused()
    assert refused.code == ErrorCode.INTERFACE_EXISTS
    assert "eth0" in refused.msg
    assert (node.state(), box.show("addr")) == (before, inside)
    assert alive(box)


def test_c19_an_interface_of_somebody_else_is_refused_and_untouched(node: Node, clean: NodeState) -> None:
    box = node.box("taken")
    refused = box.having(ifname="lo").refused()
    assert (refused.code, "lo" in refused.msg) == (ErrorCode.INTERFACE_EXISTS, True)
    box.output("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "theirs")
    before = box.show("link")
    refused = box.refused()
    assert refused.code == ErrorCode.INTERFACE_EXISTS
    assert box.attachment.netns in refused.msg
    assert box.show("link") == before


# CHECK.


def test_c32_check_passes_right_after_add(node: Node) -> None:
    box = node.box("fine")
    box.add()
    box.check()


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_c32_check_passes_in_every_version_that_has_it(node: Node, version: str) -> None:
    box = node.box("old", version=version)
    box.add()
    box.check()


def test_c31_check_tells_when_the_interface_is_gone(node: Node, clean: NodeState) -> None:
    box = node.box("no-veth")
    box.add()
    name = box.port()
    netns.run_in(node.namespace, lambda: wiring.delete(name))
    refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert name in refused.msg
    assert box.attachment.container in refused.msg
    box.delete()


def test_c31_check_tells_when_the_row_is_gone(node: Node, clean: NodeState) -> None:
    box = node.box("no-row")
    box.add()
    vsctl(node.lab, node.name, "del-port", "br-int", box.port())
    refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert "has no port" in refused.msg
    box.delete()


def test_c31_check_tells_when_the_flows_were_never_confirmed(node: Node, clean: NodeState) -> None:
    box = node.box("no-flows")
    box.add()
    with node.stopped(CONTROLLER):
        vsctl(node.lab, node.name, "remove", "Port", box.port(), "external_ids", "weft-programmed")
        refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert "the controller has not confirmed its flows" in refused.msg
    box.delete()


INSIDE = {
    "interface": (["ip", "link", "del", "eth0"], "is missing on the node"),
    "down": (["ip", "link", "set", "eth0", "down"], "interface eth0 is down"),
    "mac": (["ip", "link", "set", "eth0", "address", "0a:00:00:00:00:77"], "has MAC 0a:00:00:00:00:77, and only"),
    "ipv4": (["ip", "-4", "addr", "flush", "dev", "eth0"], "has no address 10.244.1."),
    "ipv6": (["ip", "-6", "addr", "flush", "dev", "eth0"], "has no address fd57:244:0:1::"),
    "default": (["ip", "route", "del", "default"], "no default route by 10.244.1.1 on eth0"),
    "default6": (["ip", "-6", "route", "del", "default"], "no default route by fd57:244:0:1::1 on eth0"),
    "gateway": (
        ["ip", "route", "flush", "dev", "eth0", "scope", "link"],
        "no route to its gateway 10.244.1.1 on eth0",
    ),
    "neighbour": (["ip", "neigh", "del", "10.244.1.1", "dev", "eth0"], "neighbour 10.244.1.1 on eth0 is missing"),
    "neighbour6": (
        [
            "ip",
            "neigh",
            "change",
            "fd57:244:0:1::1",
            "lladdr",
            "0a:00:00:00:00:78",
            "dev",
            "eth0",
            "nud",
            "permanent",
        ],
        "neighbour fd57:244:0:1::1 on eth0 is 0a:00:00:00:00:78",
    ),
}


@pytest.mark.parametrize("what", INSIDE)
def test_c30_check_tells_what_is_wrong_in_the_pod(node: Node, clean: NodeState, what: str) -> None:
    command, told = INSIDE[what]
    box = node.box(f"in-{what}")
    box.add()
    box.output(*command)
    refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert told in refused.msg
    box.delete()


def test_c30_check_lets_other_plugins_change_what_is_theirs(node: Node, clean: NodeState) -> None:
    box = node.box("others")
    box.add()
    for command in (
        "ip link set eth0 mtu 1400",
        "ip addr add 192.0.2.7/32 dev eth0",
        "ip route add 198.51.100.0/24 via 10.244.1.1 dev eth0",
        # As sbr does it: the routes go to a table of their own.
        "ip route add default via 10.244.1.1 dev eth0 onlink table 100",
        "ip route del default via 10.244.1.1 dev eth0",
    ):
        box.output(*command.split())
    assert "default via 10.244.1.1" in box.output("ip", "route", "show", "table", "100")
    box.check()
    box.delete()


def test_c30_check_of_a_pod_whose_default_route_is_another_interfaces(node: Node, clean: NodeState) -> None:
    first = node.box("two")
    first.add()
    second = first.having(ifname="net1")
    second.add()
    second.check()
    second.delete()
    first.check()
    first.delete()


@pytest.mark.parametrize("table", ["Classify", "Route"])
def test_c31_check_tells_when_a_flow_is_gone(node: Node, clean: NodeState, table: str) -> None:
    box = node.box(f"flow-{table.lower()}")
    box.add()
    with node.stopped(CONTROLLER):  # it would put the flow back, sooner or later
        mark = cookie(Feature.POD, pod.owner("default", box.attachment.args["K8S_POD_NAME"]))
        number = int(Table[table.upper()])
        ofctl(node.lab, node.name, "del-flows", f"cookie={mark:#x}/-1,table={number}")
        refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert f"the switch has no flow {table} 40000 [" in refused.msg
    box.delete()


def test_c31_check_while_the_switch_is_down(node: Node) -> None:
    box = node.box("down")
    box.add()
    node.lab.kill(node.vswitchd)
    try:
        refused = box.refused("check")
    finally:
        node.lab.start(node.vswitchd)
        node.wait_ready()
    assert refused.code == ErrorCode.TRY_AGAIN_LATER
    assert "is ovs-vswitchd running" in refused.msg
    until(lambda: passes(box), "CHECK passes again")


def passes(box: Box) -> bool:
    try:
        box.check()
    except RuntimeFailure:
        return False
    return True


def test_c30_check_of_a_host_end_that_is_down(node: Node, clean: NodeState) -> None:
    box = node.box("host-end")
    box.add()
    netns.run_in(node.namespace, lambda: subprocess.run(["ip", "link", "set", box.port(), "down"], check=True))
    refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert f"interface {box.port()} is down on the node" in refused.msg
    box.delete()


def test_c30_check_of_an_address_that_the_result_gives_and_the_pod_has_not(node: Node, clean: NodeState) -> None:
    box = node.box("told")
    result = box.add()
    a = box.attachment
    env = {"CNI_CONTAINERID": a.container, "CNI_IFNAME": "eth0", "CNI_NETNS": a.netns}
    # One that another plugin gave to an interface of its own is that plugin's to check.
    result["interfaces"].append({"name": "other0", "sandbox": a.netns})
    result["ips"].append({"interface": 2, "address": "192.0.2.1/32"})
    assert node.call("CHECK", {**CONF, "prevResult": result}, env).status == 0
    result["ips"].append({"interface": 1, "address": "10.244.1.251/32"})
    told = error(node.call("CHECK", {**CONF, "prevResult": result}, env))
    assert told["code"] == ErrorCode.CHECK_FAILED
    assert "the pod's interface eth0 has no address 10.244.1.251, which prevResult gives it" in told["msg"]
    box.delete()


def test_c29_check_needs_the_result_of_the_add(node: Node) -> None:
    env = {"CNI_CONTAINERID": "c", "CNI_IFNAME": "eth0", "CNI_NETNS": "/x"}
    told = error(node.call("CHECK", CONF, env))
    assert (told["code"], "prevResult" in told["msg"]) == (7, True)


# GC.


def kept(node: Node, *boxes: Box) -> list[bool]:
    rows = [name for name, _ in node.state().rows]
    return [box.port() in rows for box in boxes]


def gc(node: Node, **keys: Any) -> None:
    answer = node.call("GC", {**CONF, **keys})
    assert (answer.status, answer.stdout) == (0, b"")


def pair(box: Box) -> dict[str, str]:
    return {"containerID": box.attachment.container, "ifname": box.attachment.ifname}


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_c33_c34_gc_removes_what_the_runtime_does_not_know(node: Node, key: str) -> None:
    live, dead = node.box("live"), node.box("dead")
    live.add()
    dead.add()
    second = live.having(ifname="net1")
    second.add()
    gc(node, **{key: [pair(live)]})
    assert kept(node, live, dead, second) == [True, False, False]
    assert (alive(live), dead.addresses()) == (True, [])
    live.check()


def test_c33_gc_leaves_other_networks_alone(node: Node) -> None:
    box = node.box("other")
    box.add()
    gc(node, **{"name": "another", "cni.dev/valid-attachments": []})
    assert kept(node, box) == [True]


def test_c35_gc_with_null_knows_no_valid_attachment(node: Node) -> None:
    box = node.box("null")
    box.add()
    gc(node, **{"cni.dev/valid-attachments": None})
    assert kept(node, box) == [False]
    assert node.state().devices == ()


def test_c35_gc_without_the_key_removes_nothing(node: Node) -> None:
    box = node.box("absent")
    box.add()
    gc(node)
    assert kept(node, box) == [True]
    assert alive(box)


def test_gc_refuses_an_entry_that_it_could_misread(node: Node) -> None:
    box = node.box("entry")
    box.add()
    told = error(node.call("GC", {**CONF, "cni.dev/valid-attachments": [{"containerId": box.attachment.container}]}))
    assert told["code"] == 7
    assert kept(node, box) == [True]


def test_c48_gc_as_libcni_does_it(node: Node) -> None:
    live, dead = node.box("live"), node.box("dead")
    live.add()
    dead.add()
    live.runtime.gc([(live.attachment.container, "eth0")])
    assert (live.runtime.cached(live.attachment) is None, dead.runtime.cached(dead.attachment)) == (False, None)
    assert alive(live)
    assert dead.addresses() == []


# STATUS.


def test_c38_status_says_nothing_when_add_can_work(node: Node) -> None:
    answer = node.call("STATUS", CONF)
    assert (answer.status, answer.stdout) == (0, b"")


def test_c38_status_without_an_agent_is_50(node: Node) -> None:
    node.kill_agent()
    try:
        told = error(node.call("STATUS", CONF))
    finally:
        node.start_agent()
    assert told["code"] == ErrorCode.PLUGIN_NOT_AVAILABLE
    assert str(node.config.paths.cni_socket) in told["msg"]


def test_c38_status_without_the_switchs_database_is_50(node: Node) -> None:
    node.lab.kill(node.ovsdb)
    try:
        told = error(until_refused(node))
    finally:
        node.lab.start(node.ovsdb)
        node.wait_ready()
    assert told["code"] == ErrorCode.PLUGIN_NOT_AVAILABLE
    assert "no connection to Open vSwitch's database" in told["msg"]
    assert str(node.config.paths.ovsdb_socket) in told["msg"]


def test_c38_status_without_a_switch_is_51(node: Node) -> None:
    node.lab.kill(node.vswitchd)
    try:
        told = error(node.call("STATUS", CONF))
    finally:
        node.lab.start(node.vswitchd)
        node.wait_ready()
    assert told["code"] == ErrorCode.LIMITED_CONNECTIVITY
    assert f"ovs-vswitchd of {node.config.paths.ovs} does not answer" in told["msg"]
    until(lambda: node.call("STATUS", CONF).status == 0, "STATUS is well again")


def test_c38_status_without_a_controller_is_50_and_with_an_empty_switch_51(node: Node) -> None:
    node.lab.kill(CONTROLLER)
    try:
        told = error(until_refused(node))
        assert told["code"] == ErrorCode.PLUGIN_NOT_AVAILABLE
        assert "the switch has no connection to its controller (" in told["msg"]
        ofctl(node.lab, node.name, "del-flows")
        told = error(node.call("STATUS", CONF))
        assert told["code"] == ErrorCode.LIMITED_CONNECTIVITY
        assert "the controller has not programmed bridge br-int" in told["msg"]
    finally:
        node.lab.start(CONTROLLER)
    until(lambda: node.call("STATUS", CONF).status == 0, "STATUS is well again")


def test_c38_status_with_a_controller_that_hangs_is_50(node: Node, clean: NodeState) -> None:
    def connected() -> str:
        return vsctl(node.lab, node.name, "get", "Controller", "br-int", "is_connected").strip()

    node.lab.kill(CONTROLLER)
    try:
        # A switch that had a connection before may go on as it was told then (`BridgeWatch.reconfigure`).
        node.lab.kill(node.vswitchd)
        node.lab.start(node.vswitchd)
        node.wait_ready()
        until(lambda: connected() == "false", "the switch says that it has no controller")
        time.sleep(3)  # links that are new make it configure itself; let that be over before there is a connection
    finally:
        node.lab.start(CONTROLLER)
    until(lambda: connected() == "true", "the switch says that it has a controller")
    node.back_at(clean)
    with node.stopped(CONTROLLER):
        told = error(until_refused(node))
        assert told["code"] == ErrorCode.PLUGIN_NOT_AVAILABLE
        assert "the switch has no connection to its controller (" in told["msg"]
    until(lambda: node.call("STATUS", CONF).status == 0, "STATUS is well again")


def test_c38_status_when_all_addresses_are_taken_is_50() -> None:
    with Lab.up(LabConfig(name="t-cni-few", nodes=1, weft=False, kubelets=False), replace=True) as lab:
        assign(lab, "node1", "10.244.1.0/30", "fd57:244:0:1::/64")
        start_agent_and_controller(lab)
        with Node(lab) as node:
            node.wait_ready()
            box = node.box("last")
            box.add()
            told = error(node.call("STATUS", CONF))
            box.delete()
            assert node.call("STATUS", CONF).status == 0
    assert told["code"] == ErrorCode.PLUGIN_NOT_AVAILABLE
    assert "no free address in 10.244.1.0/30" in told["msg"]
