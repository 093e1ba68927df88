"""What is owed to runtimes besides attaching: GC beside ADDs and after errors, STATUS that only looks, other plugins
that are not called, and a DEL while the agent is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from agent_fixture import WAIT, Box, Node, agent_lab
from lab_fixture import NodeState, bridge_ids, until

from cni.errors import ErrorCode
from cni.frame import Answer
from lab import netns
from lab.bringup import CONTROLLER
from lab.runtime import RuntimeFailure

CONF = {"cniVersion": "1.1.0", "name": "weft", "type": "weft"}
FOR_GOOD = ("not found", "no such file or directory")
"""What containerd takes for a success when a DEL says it."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-chain-upkeep") as lab, Node(lab) as node:
        yield node


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def gc(node: Node, *valid: Box) -> Answer:
    pairs = [{"containerID": each.attachment.container, "ifname": "eth0"} for each in valid]
    return node.call("GC", {**CONF, "cni.dev/valid-attachments": pairs})


def has_row(node: Node, devices: tuple[str, ...]) -> bool:
    return all(name in dict(node.rows()) for name in devices)


# GC.


def test_c36_gc_goes_on_after_an_error_and_tells_of_all(node: Node, clean: NodeState) -> None:
    live, dead = node.box("live"), [node.box("dead") for _ in range(2)]
    for box in (live, *dead):
        box.add()
    with node.stopped(node.ovsdb):
        told = json.loads(gc(node, live).stdout)
    assert told["code"] == ErrorCode.TRY_AGAIN_LATER
    for box in dead:
        who = f"container {box.attachment.container}, interface eth0"
        assert f"{who}: the switch's database did not answer in time" in told["msg"]
        assert box.addresses() == []
    assert live.attachment.container not in told["msg"]
    assert gc(node, live) == Answer(0, b"")
    live.check()
    live.delete()


def test_c36_gc_waits_for_an_add_that_is_under_way(node: Node, clean: NodeState, threads: ThreadPoolExecutor) -> None:
    """The runtime did not know it yet: it is whole when it is removed."""
    box = node.box("new")
    with node.stopped(CONTROLLER):
        adding = threads.submit(box.add)
        until(lambda: node.devices() and has_row(node, node.devices()), "the ADD has committed")
        collecting = threads.submit(gc, node)
        assert wait([collecting], timeout=0.5).not_done, "it does not wait"
        assert not adding.done()
    assert len(adding.result(WAIT)["ips"]) == 2
    assert collecting.result(WAIT) == Answer(0, b"")
    assert box.addresses() == []


# STATUS.


def test_c39_status_only_looks_and_nobody_needs_it(node: Node) -> None:
    node.kill_agent()
    node.start_agent()
    box = node.box("unasked")
    box.add()
    before = (node.state(), node.files(), bridge_ids(node.lab, node.name), box.show("addr"))
    for _ in range(20):
        assert node.call("STATUS", CONF) == Answer(0, b"")
    assert (node.state(), node.files(), bridge_ids(node.lab, node.name), box.show("addr")) == before
    box.delete()


# Delegation.

TRAP = """#!/bin/sh
echo "$CNI_COMMAND" >>%s
"""


def test_c36_c40_c41_c42_nothing_is_delegated(node: Node, clean: NodeState, tmp_path: Path) -> None:
    """Addresses are Weft's own: no plugin of CNI_PATH is run whatever the verb; one that is asked for is refused."""
    called = tmp_path / "called"
    for name in ("host-local", "static", "dhcp", "weft"):
        (tmp_path / name).write_text(TRAP % called)
        (tmp_path / name).chmod(0o755)
    box = node.box("alone")
    a = box.attachment
    args = ";".join(f"{key}={value}" for key, value in a.args.items())
    env = {"CNI_CONTAINERID": a.container, "CNI_NETNS": a.netns, "CNI_IFNAME": "eth0", "CNI_ARGS": args}
    env["CNI_PATH"] = str(tmp_path)
    asking: dict[str, Any] = {**CONF, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}
    refused = [node.call(verb, {**asking, "prevResult": {}}, env) for verb in ("ADD", "CHECK", "STATUS")]
    assert [json.loads(answer.stdout)["code"] for answer in refused] == [ErrorCode.UNSUPPORTED_FIELD] * 3
    made = node.call("ADD", CONF, env)
    result = json.loads(made.stdout)
    assert len(result["ips"]) == 2
    for verb in ("CHECK", "STATUS", "DEL", "GC"):
        conf = {**(asking if verb == "DEL" else CONF), "prevResult": result}
        assert node.call(verb, conf, env) == Answer(0, b""), verb
    assert not called.exists()


# Without an agent, or without what it needs.


def test_c27_a_del_while_the_agent_is_away_is_made_up_for(node: Node, clean: NodeState) -> None:
    """The runtime is told to try again. If it does not, and removes the container, the agent finds out by itself."""
    patient, impatient = node.box("patient"), node.box("impatient")
    patient.add()
    impatient.add()
    node.kill_agent()
    try:
        for box in (patient, impatient):
            refused = box.refused("delete")
            assert refused.code == ErrorCode.TRY_AGAIN_LATER
            assert str(node.config.paths.cni_socket) in refused.msg
        netns.remove(impatient.path.name)
    finally:
        node.start_agent()
    until(lambda: len(node.rows()) == len(clean.rows) + 1, "the agent has found out")
    patient.check()
    patient.delete()
    node.back_at(clean)
    impatient.delete()


def test_r6_a_del_that_has_failed_is_not_taken_for_one_that_has_not(node: Node, clean: NodeState) -> None:
    box = node.box("kept").having(netns="")
    node.lab.kill(node.ovsdb)
    try:
        told = [until(lambda: refusal(box), "the agent knows that the database is gone").msg]
        node.kill_agent()
        told.append(box.refused("delete").msg)
    finally:
        node.lab.start(node.ovsdb)
        node.start_agent()
    assert [msg for msg in told for words in FOR_GOOD if words in msg] == []
    box.delete()


def refusal(box: Box) -> RuntimeFailure | None:
    try:
        box.delete()
    except RuntimeFailure as e:
        return e
    return None
