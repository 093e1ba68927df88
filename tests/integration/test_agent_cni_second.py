"""C22: a second attachment of a container, on a network of its own, called as Multus calls a delegate.

The second one's traffic needs `sbr` behind Weft: the pod's default route is the first one's, and nothing that a pod
sends passes the switch in the name of another interface.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from agent_fixture import NETWORK, Box, Node, agent_lab
from chain_fixture import WEFT, chained, given, second
from lab_fixture import NodeState, until, vsctl
from traffic_fixture import BRIEF, Sender, answering

from cni.errors import ErrorCode

Obj = dict[str, Any]
SBR = {"type": "sbr"}
PORT = 80


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-chain-second") as lab, Node(lab) as node:
        yield node


@pytest.fixture
def other(node: Node) -> Iterator[Box]:
    """Another pod, which tells who asks it."""
    box = node.box("other")
    box.add()
    with answering(box.path, PORT):
        yield box
    box.delete()


def address(box: Box, version: int) -> str:
    result = box.runtime.cached(box.attachment)
    assert result is not None
    return given(result, box.attachment.ifname)[version]


def sender(box: Box, version: int) -> Sender:
    return Sender(box.path, own=address(box, version))


def keys(node: Node, box: Box) -> set[tuple[str, str]]:
    """Network and interface of each of the container's rows in the ledger."""
    listed = json.loads(vsctl(node.lab, node.name, "--format=json", "--columns=external_ids", "list", "Interface"))
    found = (dict(ids[1]) for (ids,) in listed["data"])
    mine = (ids for ids in found if ids.get("weft-container") == box.attachment.container)
    return {(ids["weft-network"], ids["weft-ifname"]) for ids in mine}


FIRST, SECOND = (NETWORK, "eth0"), ("second", "net1")


@pytest.mark.parametrize("version_of_delegate", ["0.3.1", "1.0.0"])
@pytest.mark.parametrize("order", [FIRST, SECOND])
def test_c22_two_entries_and_one_default_route(
    node: Node, clean: NodeState, order: tuple[str, str], version_of_delegate: str
) -> None:
    """Whichever comes first has it. Multus deletes in reverse, and with 0.3.1 there is no result for a DEL."""
    box = chained(node.box("two"), WEFT)
    boxes = [box, second(box, version=version_of_delegate)]
    if order == SECOND:
        boxes.reverse()
    early, late = (each.add() for each in boxes)
    assert keys(node, box) == {FIRST, SECOND}
    assert len(node.rows()) == len({addresses for _, addresses in node.rows()}) == len(clean.rows) + 2
    assert [route["dst"] for route in early["routes"]] == ["0.0.0.0/0", "::/0"]
    assert "routes" not in late
    defaults = [*box.show("route show default"), *box.show("-6 route show default")]
    assert [route["dev"] for route in defaults] == 2 * [boxes[0].attachment.ifname]
    for each in reversed(boxes):
        each.delete()
        assert each.addresses(each.attachment.ifname) == []
    assert keys(node, box) == set()


def test_c22_both_have_traffic(node: Node, clean: NodeState, other: Box, version: int) -> None:
    first = chained(node.box("two"), WEFT)
    delegate = second(first, WEFT, SBR)
    first.add()
    delegate.add()
    with answering(first.path, PORT):
        for box in (first, delegate):
            assert sender(box, version).heard_as((address(other, version), PORT)) == address(box, version)
            assert sender(other, version).heard_as((address(box, version), PORT)) == address(other, version)
            box.check()
    delegate.delete()
    first.delete()


def test_c22_neither_sends_in_the_name_of_the_other(node: Node, clean: NodeState, other: Box, version: int) -> None:
    first = chained(node.box("two"), WEFT)
    delegate = second(first, WEFT, SBR)
    first.add()
    delegate.add()
    there = (address(other, version), PORT)
    for own, device in ((first, "eth0"), (delegate, "net1")):
        assert Sender(first.path, address(own, version), device).heard_as(there)
    for own, device in ((first, "net1"), (delegate, "eth0")):
        assert Sender(first.path, address(own, version), device).unanswered(there)
    delegate.delete()
    first.delete()


@pytest.mark.parametrize("gone", [FIRST, SECOND])
def test_c22_del_of_one_leaves_the_other(
    node: Node, clean: NodeState, other: Box, gone: tuple[str, str], version: int
) -> None:
    box = chained(node.box("two"), WEFT)
    delegate = second(box, WEFT, SBR)
    box.add()
    delegate.add()
    goes, stays = (box, delegate) if gone == FIRST else (delegate, box)
    freed = address(goes, version)
    goes.delete()
    with answering(box.path, PORT):
        assert sender(stays, version).heard_as((address(other, version), PORT)) == address(stays, version)
        assert sender(other, version).heard_as((address(stays, version), PORT)) == address(other, version)
        assert sender(other, version).unanswered((freed, PORT))
    stays.check()
    stays.delete()


def test_c22_c30_without_the_first_the_second_has_no_default_route(node: Node, clean: NodeState) -> None:
    """It had none before, as its ADD has told, and CHECK misses none."""
    box = chained(node.box("two"), WEFT)
    delegate = second(box)
    box.add()
    delegate.add()
    box.delete()
    assert box.show("route show default") == box.show("-6 route show default") == []
    assert Sender(box.path, device="net1").unanswered(("198.18.0.254", PORT))
    assert "1 received" in box.output("ping", "-n", "-c", "1", "-W", "5", "10.244.1.1")
    delegate.check()
    delegate.delete()


def gc(node: Node, network: str, *valid: Box) -> None:
    pairs = [{"containerID": each.attachment.container, "ifname": each.attachment.ifname} for each in valid]
    conf = {"cniVersion": "1.1.0", "name": network, "type": "weft", "cni.dev/valid-attachments": pairs}
    assert node.call("GC", conf).status == 0


def test_c22_c33_gc_of_a_network_leaves_the_others_attachments(node: Node, clean: NodeState) -> None:
    box = chained(node.box("two"), WEFT)
    delegate = second(box)
    box.add()
    delegate.add()
    gc(node, NETWORK)
    assert keys(node, box) == {SECOND}
    assert (box.addresses("eth0"), len(box.addresses("net1"))) == ([], 2)
    box.add()
    gc(node, "second", box)
    assert keys(node, box) == {FIRST}
    box.check()
    delegate.delete()
    box.delete()


def test_c22_another_network_under_the_same_interface_name_touches_nothing(node: Node, clean: NodeState) -> None:
    box = chained(node.box("one"), WEFT)
    box.add()
    before, inside = node.state(), box.show("addr")
    rival = chained(box, WEFT, network="second")
    refused = rival.refused()
    assert refused.code == ErrorCode.INTERFACE_EXISTS
    rival.delete()
    assert (node.state(), box.show("addr")) == (before, inside)
    box.check()
    box.delete()


def test_c22_policies_see_one_pod(node: Node, clean: NodeState, other: Box, version: int) -> None:
    """Both attachments are isolated together, and both are the same peer."""
    first = chained(node.box("two"), WEFT)
    delegate = second(first, WEFT, SBR)
    first.add()
    delegate.add()
    stranger = node.box("stranger")
    stranger.add()
    for box, name in ((first, "two"), (other, "other")):
        path = f"/api/v1/namespaces/default/pods/{box.attachment.args['K8S_POD_NAME']}"
        body = {"metadata": {"labels": {"is": name}}}
        node.lab.api.request("PATCH", path, body, "application/merge-patch+json")
    policies = node.lab.apply([allowing("two", "other"), allowing("other", "two")])
    there = (address(other, version), PORT)
    with answering(first.path, PORT):
        until(lambda: not sender(stranger, version).heard_as(there, seconds=BRIEF), "policies are in force")
        for box in (first, delegate):
            here = (address(box, version), PORT)
            assert sender(other, version).heard_as(here) == address(other, version)
            assert sender(stranger, version).unanswered(here)
            assert sender(box, version).heard_as(there) == address(box, version)
    node.lab.delete(policies)
    for box in (stranger, delegate, first):
        box.delete()


def allowing(target: str, source: str) -> Obj:
    """A policy by which only the pods of one label reach those of another."""
    peer = {"podSelector": {"matchLabels": {"is": source}}}
    spec = {"podSelector": {"matchLabels": {"is": target}}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]}
    metadata = {"name": f"to-{target}", "namespace": "default"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
