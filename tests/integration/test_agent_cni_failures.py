"""An ADD that fails leaves nothing, at whatever step, and a caller that is killed leaves nothing either.

What hangs, hangs on a node of its own, so that the time-outs pass side by side.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import pytest
from agent_fixture import NETWORK, NODE, WAIT, Box, Node, agent_lab
from lab_fixture import until, vsctl

from cni.errors import ErrorCode
from cni.frame import Request, encode_request
from lab.bringup import CONTROLLER
from lab.lab import Lab
from lab.runtime import RuntimeFailure
from node_agent.attach import PROGRAM_SECONDS
from ovsdb.rows import AttachmentKey, port_name

CONF = b'{"cniVersion":"1.0.0","name":"weft","type":"weft"}'
HEARD = 0.3
"""Seconds in which the agent surely hears of a call."""

NODES = ("node1", "node2", "node3")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with agent_lab("t-cni-fail", nodes=len(NODES)) as lab:
        yield lab


@pytest.fixture
def nodes(lab: Lab) -> Iterator[dict[str, Node]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Node(lab, name)) for name in NODES}


@pytest.fixture
def node(nodes: dict[str, Node]) -> Node:
    return nodes[NODE]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def failure(call: Future[Any]) -> RuntimeFailure:
    with pytest.raises(RuntimeFailure) as caught:
        call.result(2 * WAIT)
    return caught.value


def begun(node: Node, devices: int = 1) -> None:
    """Wait until so many pods of the node have their veths: their ADDs are past every check."""
    until(lambda: len(node.devices()) >= devices, f"{devices} ADDs on {node.name} have begun")


def test_c23_an_add_for_a_pod_that_is_not_this_nodes_says_so(
    nodes: dict[str, Node], threads: ThreadPoolExecutor
) -> None:
    """A Pod that the API does not have, one of another node, and one that was made anew since the runtime heard."""
    here, there = (nodes[name] for name in NODES[:2])
    known, foreign = here.box("known"), there.box("foreign")
    args = known.attachment.args
    of_foreign = {**args, "K8S_POD_NAME": foreign.attachment.args["K8S_POD_NAME"], "K8S_POD_UID": ""}
    wrong = {
        "the API has no Pod default/nobody": {**args, "K8S_POD_NAME": "nobody", "K8S_POD_UID": ""},
        f"is bound to node {there.name}, not to this one": of_foreign,
        "K8S_POD_UID=older is not that of Pod default/": {**args, "K8S_POD_UID": "older"},
    }
    boxes = {
        why: here.box("wrong").having(container=f"wrong-{number}", args=told)
        for number, (why, told) in enumerate(wrong.items())
    }
    calls = {why: threads.submit(box.add) for why, box in boxes.items()}
    for why, call in calls.items():
        refused = failure(call)
        assert refused.code == ErrorCode.TRY_AGAIN_LATER
        assert "the controller has not programmed its flows" in refused.msg
        assert why in refused.msg
        boxes[why].delete()


# What hangs.


def test_c23_an_add_that_waits_in_vain_leaves_nothing(nodes: dict[str, Node], threads: ThreadPoolExecutor) -> None:
    """The controller, the switch of node2 and the database of node3 hang."""
    no_controller, no_switch, no_database = (nodes[name] for name in NODES)
    before = {name: node.state() for name, node in nodes.items()}
    boxes = {name: node.box("vain") for name, node in nodes.items()}
    with ExitStack() as stack:
        stack.enter_context(no_controller.stopped(CONTROLLER))
        stack.enter_context(no_switch.stopped(no_switch.vswitchd))
        stack.enter_context(no_database.stopped(no_database.ovsdb))
        calls = {name: threads.submit(box.add) for name, box in boxes.items()}
        errors = [failure(calls[name]) for name in NODES]
        assert [error.code for error in errors] == [ErrorCode.TRY_AGAIN_LATER] * 3
        assert "the controller has not programmed its flows" in errors[0].msg
        assert "ovs-vswitchd gave it no OpenFlow port; is it running?" in errors[1].msg
        assert "the switch's database did not answer in time" in errors[2].msg
        for name, node in nodes.items():
            assert (node.devices(), boxes[name].addresses()) == ((), [])
        assert no_controller.rows() == no_switch.rows() == ()
    for name, box in boxes.items():
        box.delete()
        nodes[name].back_at(before[name])
        assert len(box.add()["ips"]) == 2


def test_an_add_that_was_held_up_succeeds_when_the_rest_goes_on(node: Node, threads: ThreadPoolExecutor) -> None:
    for number, process in enumerate((CONTROLLER, node.vswitchd, node.ovsdb), start=1):
        box = node.box("held")
        with node.stopped(process):
            call = threads.submit(box.add)
            begun(node, number)
            assert not call.done()
        assert len(call.result(WAIT)["ips"]) == 2
        box.check()


def test_n25_an_add_waits_for_a_pod_that_the_cluster_does_not_know_yet(
    node: Node, threads: ThreadPoolExecutor
) -> None:
    box = node.box("early")
    name = "early-but-known-soon"
    early = box.having(args={"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": name})
    call = threads.submit(early.add)
    begun(node)
    node.know(name)
    assert len(call.result(WAIT)["ips"]) == 2
    early.delete()


def test_a_database_that_is_away_is_told_at_once(node: Node) -> None:
    running, new = node.box("running"), node.box("new")
    running.add()
    node.lab.kill(node.ovsdb)
    try:
        until(lambda: _refuses(running), "the agent knows that the database is gone")
        for verb in ("add", "delete", "check"):
            refused = (new if verb == "add" else running).refused(verb)
            assert refused.code == ErrorCode.TRY_AGAIN_LATER
            assert str(node.config.paths.ovsdb_socket) in refused.msg
        gc = {"cniVersion": "1.1.0", "name": NETWORK, "type": "weft", "cni.dev/valid-attachments": []}
        answer = node.call("GC", gc)
        assert (answer.status, json.loads(answer.stdout)["code"]) == (1, ErrorCode.TRY_AGAIN_LATER)
    finally:
        node.lab.start(node.ovsdb)
        node.wait_ready()
    running.check()
    assert len(new.add()["ips"]) == 2


def _refuses(box: Box) -> bool:
    try:
        box.check()
    except RuntimeFailure as e:
        return e.code == ErrorCode.TRY_AGAIN_LATER
    return False


def test_a_bridge_that_was_deleted_comes_back_without_its_pods(nodes: dict[str, Node]) -> None:
    """Its rows were all that was known of them: they are to be made anew, and nothing of them is in the way."""
    node = nodes["node2"]
    before = node.state()
    lost, new = node.box("lost"), node.box("new")
    lost.add()
    vsctl(node.lab, node.name, "del-br", "br-int")
    until(lambda: "weft-gw0" in vsctl(node.lab, node.name, "show"), "the bridge is there again")
    until(lambda: _has_route(node, "10.244.2.0/24"), "the gateway has its routes again")
    refused = lost.refused("check")
    assert (refused.code, "has no port" in refused.msg) == (ErrorCode.CHECK_FAILED, True)
    assert len(new.add()["ips"]) == 2
    new.check()
    lost.delete()
    assert lost.addresses() == []
    new.delete()
    assert (node.devices(), node.rows()) == (before.devices, before.rows)


# What is asked for and cannot be.


def test_c23_an_exhausted_range_is_told_and_leaves_nothing(nodes: dict[str, Node]) -> None:
    node = nodes["node3"]
    with _ranges(node, "10.244.3.0/30", "fd57:244:0:3::/64"):
        first, second = node.box("first"), node.box("second")
        assert first.add()["ips"][0]["address"] == "10.244.3.2/32"
        before = node.state()
        refused = second.refused()
        assert refused.code == ErrorCode.ADDRESSES_EXHAUSTED
        assert "no free address in 10.244.3.0/30: of 4, 1 are in use and 3 reserved" in refused.msg
        assert (node.state(), second.addresses()) == (before, [])
        second.delete()
        first.delete()
        assert second.add()["ips"][0]["address"] == "10.244.3.2/32"


@contextmanager
def _ranges(node: Node, *ranges: str) -> Iterator[None]:
    """Give the Node other pod ranges for a while."""
    before = node.lab.api.request("GET", f"/api/v1/nodes/{node.name}")["spec"]["podCIDRs"]
    try:
        _set_ranges(node, list(ranges))
        yield
    finally:
        _set_ranges(node, before)


def _set_ranges(node: Node, ranges: list[str]) -> None:
    body = {"spec": {"podCIDR": ranges[0], "podCIDRs": ranges}}
    node.lab.api.request("PATCH", f"/api/v1/nodes/{node.name}", body, "application/merge-patch+json")
    until(lambda: _has_route(node, ranges[0]), f"{ranges[0]} is behind the gateway")


def _has_route(node: Node, destination: str) -> bool:
    return destination in [route["dst"] for route in node.show("route show dev weft-gw0")]


def test_two_attachments_that_would_share_a_port_name_do_not_harm_each_other(node: Node) -> None:
    """24 bits of digest tell ports of pods with like names apart; that two meet is rare, and must not hurt."""
    first, second = _namesakes(node.box("namesake"), node.box("namesake"))
    first.add()
    refused = second.refused()
    assert refused.code == ErrorCode.INTERFACE_EXISTS
    assert first.attachment.container in refused.msg
    second.delete()
    first.check()
    assert "1 received" in first.output("ping", "-n", "-c", "1", "-W", "2", "10.244.1.1")
    first.delete()


def _namesakes(*boxes: Box) -> tuple[Box, Box]:
    one, two = boxes
    tried: dict[str, Box] = {}
    for number in count():
        mine, theirs = (box.having(container=f"{box.attachment.container}-{number}") for box in (one, two))
        tried[_port(mine)] = mine
        if _port(theirs) in tried:
            return tried[_port(theirs)], theirs
    raise AssertionError


def _port(box: Box) -> str:
    a = box.attachment
    key = AttachmentKey(NETWORK, a.container, a.ifname)
    return port_name(a.args["K8S_POD_NAMESPACE"], a.args["K8S_POD_NAME"], key)


# Callers that die.


def test_c24_a_plugin_killed_in_the_middle_leaves_nothing_after_its_del(
    node: Node, threads: ThreadPoolExecutor
) -> None:
    before = node.state()
    box = node.box("killed")
    with node.stopped(CONTROLLER):
        plugin = _start_add(box)
        begun(node)
        plugin.send_signal(signal.SIGKILL)
        plugin.wait(WAIT)
        delete = threads.submit(box.delete)
    delete.result(WAIT)
    node.back_at(before)
    assert box.addresses() == []


def _start_add(box: Box) -> subprocess.Popen[bytes]:
    env = {**variables("ADD", box), "CNI_PATH": "/none", "WEFT_CNI_SOCKET": str(box.node.config.paths.cni_socket)}
    plugin = subprocess.Popen(
        [box.node.config.lab_paths.relay], env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert plugin.stdin is not None
    with plugin.stdin as stdin:
        stdin.write(CONF)
    return plugin


def variables(verb: str, box: Box) -> dict[str, str]:
    """The environment of a call."""
    a = box.attachment
    args = ";".join(f"{key}={value}" for key, value in a.args.items())
    return {
        "CNI_COMMAND": verb, "CNI_CONTAINERID": a.container, "CNI_NETNS": a.netns, "CNI_IFNAME": a.ifname,
        "CNI_ARGS": args,
    }  # fmt: skip


def killed(node: Node, verb: str, box: Box, after: float = 0.0) -> None:
    """A call whose executable is killed after so many seconds."""
    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(str(node.config.paths.cni_socket))
        relay.sendall(encode_request(Request(variables(verb, box), CONF)))
        time.sleep(after)


def test_c24_an_add_that_the_agent_comes_to_after_its_caller_died_is_not_begun(
    node: Node, threads: ThreadPoolExecutor
) -> None:
    """A busy agent may find the killed plugin's ADD and the runtime's DEL side by side, and take either first."""
    before = node.state()
    box = node.box("late")
    with node.stopped(node.agent):
        for _ in range(5):
            killed(node, "ADD", box)
        delete = threads.submit(box.delete)
    delete.result(WAIT)
    node.back_at(before)
    assert box.addresses() == []


def test_c24_a_killed_callers_add_is_not_begun_after_the_del_that_came_for_it(
    node: Node, threads: ThreadPoolExecutor
) -> None:
    before = node.state()
    box = node.box("stale")
    with node.stopped(CONTROLLER):
        killed(node, "ADD", box, HEARD)  # the agent is at it, and waits for flows
        killed(node, "ADD", box, HEARD)  # waits for its turn
        delete = threads.submit(box.delete)
        time.sleep(HEARD)
    delete.result(2 * WAIT)
    node.back_at(before)
    assert box.addresses() == []


def test_c24_a_killed_callers_del_does_not_take_what_a_later_add_made(
    node: Node, threads: ThreadPoolExecutor
) -> None:
    before = node.state()
    box = node.box("stale")
    with node.stopped(CONTROLLER):
        killed(node, "ADD", box, HEARD)
        killed(node, "DEL", box, HEARD)
        add = threads.submit(box.add)
        time.sleep(PROGRAM_SECONDS)  # until the first has failed
    assert len(add.result(2 * WAIT)["ips"]) == 2
    box.check()
    box.delete()
    node.back_at(before)


# Crowds.


def test_c25_a_crowd_gets_no_address_and_no_port_twice(node: Node) -> None:
    before = node.state()
    boxes = [node.box("crowd") for _ in range(30)]
    half, rest = boxes[:15], boxes[15:]
    with ThreadPoolExecutor(len(boxes)) as pool:
        results = list(pool.map(Box.add, half))
        mixed = [pool.submit(Box.delete, box) for box in half[::2]]
        mixed += [pool.submit(Box.add, box) for box in rest]
        for call in mixed:
            call.result(WAIT)
        results = [box.runtime.cached(box.attachment) for box in (*half[1::2], *rest)]
        addresses = [ip["address"] for result in results if result for ip in result["ips"]]
        assert len(set(addresses)) == len(addresses) == 2 * (7 + 15)
        assert sorted(addresses) == sorted(address for box in boxes for address in box.addresses())
        numbers = node.ofports()
        assert len(set(numbers)) == len(numbers) == 7 + 15
        list(pool.map(Box.check, (*half[1::2], *rest)))
        list(pool.map(Box.delete, boxes))
    node.back_at(before)


def test_requests_for_one_attachment_take_turns(node: Node, threads: ThreadPoolExecutor) -> None:
    """However ADDs and DELs of one container come together, it ends attached as a whole or not at all."""
    before = node.state()
    box = node.box("turns")
    adds = [threads.submit(box.add) for _ in range(4)]
    outcomes = [call.exception(WAIT) for call in adds]
    assert outcomes.count(None) == 1
    assert {e.code for e in outcomes if isinstance(e, RuntimeFailure)} == {ErrorCode.INTERFACE_EXISTS}
    box.check()
    calls = [threads.submit(call) for call in (box.delete, box.add, box.delete, box.add, box.delete)]
    for call in calls:
        call.exception(WAIT)
    assert (len(node.rows()), len(node.devices())) in ((0, 0), (1, 1))
    assert len(box.addresses()) == 2 * len(node.rows())
    box.delete()
    node.back_at(before)
