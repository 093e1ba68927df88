"""Which addresses pods are given when somebody asks for some: annotation, ranges, pools of namespaces (C13, C44)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from agent_fixture import Box, Node, agent_lab
from chain_fixture import second

from cni.errors import ErrorCode
from lab.bringup import DAEMON
from node_agent.addresses import ANNOTATION

POOLS = {"team": ["10.244.1.240/29", "10.244.2.0/24", "::ff00/120"], "relative": ["0.0.0.232/29"]}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-cni-ips") as lab, Node(lab) as node:
        yield node


def annotated(node: Node, text: str, name: str = "fixed") -> Box:
    """A container of a pod that was made with the annotation."""
    return node.box(name, annotations={ANNOTATION: text})


def pooled(node: Node, namespace: str) -> Box:
    """A container of a pod in a namespace, where there are pools."""
    node.lab.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    return node.box("pooled", namespace=namespace).speaking("1.1.0", addressPools=POOLS)


def given(box: Box) -> list[str]:
    return [str(ip_interface(each["address"]).ip) for each in box.add()["ips"]]


# The annotation weft.dev/ips.


def test_a_pod_has_the_addresses_that_its_annotation_names(node: Node) -> None:
    v4, v6 = node.spare_addresses()
    box = annotated(node, f"{v6}, {v4}")
    assert given(box) == [v4, v6]
    assert box.addresses() == [f"{v4}/32", f"{v6}/128"]
    box.check()
    taken = annotated(node, v4).refused()
    assert taken.code == ErrorCode.UNSUPPORTED_FIELD
    assert f"annotation {ANNOTATION}" in taken.msg
    assert f"requested address {v4} is in use by another pod" in taken.msg
    box.delete()


def test_an_annotation_is_for_the_first_attachment(node: Node) -> None:
    """The others of the container get whatever is free; those of another container of the pod do not."""
    v4, v6 = node.spare_addresses()
    first = annotated(node, f"{v4},{v6}")
    further = second(first)
    assert given(first) == [v4, v6]
    assert not {v4, v6} & set(given(further))
    further.check()
    taken = first.having(container="another").refused()
    assert f"requested address {v4} is in use by another pod on this node, default/" in taken.msg
    first.delete()
    further.delete()


def test_an_annotation_of_one_family_leaves_the_other_to_weft(node: Node) -> None:
    _, v6 = node.spare_addresses()
    box = annotated(node, v6)
    first, second = given(box)
    assert ip_address(first) in ip_network("10.244.1.0/24")
    assert second == v6
    box.delete()


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        ("10.244.1.300", 7, "give an IPv4 address, an IPv6 address, or both with a comma"),
        ("10.244.1.5,10.244.1.6", 2, "more than one address requested in 10.244.1.0/24"),
        ("10.9.9.9", 2, "requested address 10.9.9.9 is not in 10.244.1.0/24"),
    ],
)
def test_an_annotation_that_cannot_be_granted_is_refused_by_pod_key_and_value(
    node: Node, text: str, code: int, why: str
) -> None:
    box = annotated(node, text)
    refused = box.refused()
    assert refused.code == code
    assert box.attachment.args["K8S_POD_NAME"] in refused.msg
    assert f'annotation {ANNOTATION}="{text}"' in refused.msg
    assert why in refused.msg
    assert box.addresses() == []


def test_the_runtimes_word_comes_before_the_apis(node: Node) -> None:
    """containerd passes the annotations on; then the API is not asked, and need not be there."""
    v4, _ = node.spare_addresses()
    told = {"io.kubernetes.cri.pod-annotations": {ANNOTATION: v4, "other": "x"}}
    capabilities = {"io.kubernetes.cri.pod-annotations": True}
    box = annotated(node, "10.9.9.9").having(capability_args=told).speaking("1.1.0", capabilities=capabilities)
    assert given(box)[0] == v4
    box.delete()
    asked = box.having(capability_args={**told, "ips": ["10.244.1.1"]}).speaking(
        "1.1.0", capabilities={**capabilities, "ips": True}
    )
    assert "runtimeConfig.ips: requested address 10.244.1.1 is reserved" in asked.refused().msg


def test_a_pod_that_is_known_is_attached_while_the_api_does_not_answer(node: Node) -> None:
    v4, _ = node.spare_addresses()
    box = annotated(node, v4)
    box.add()
    box.delete()
    with node.stopped(DAEMON):
        assert given(box)[0] == v4
    box.delete()


# Ranges that a runtime asks for.


def ranged(node: Node, *sets: object) -> Box:
    box = node.box("ranged", capability_args={"IpRanges": list(sets)})
    return box.speaking("1.0.0", capabilities={"IpRanges": True})


def test_c44_c45_addresses_come_out_of_the_ranges_asked_for(node: Node) -> None:
    ends = {"RangeStart": "10.244.1.250", "RangeEnd": "10.244.1.251"}
    v4 = [{"Subnet": "10.244.1.0/24", "Gateway": "10.244.1.1", **ends}]
    v6 = [{"subnet": "fd57:244:0:1::aaa0/124"}]
    boxes = [ranged(node, v4, v6) for _ in range(2)]
    found = [given(box) for box in boxes]
    assert {first for first, _ in found} == {"10.244.1.250", "10.244.1.251"}
    assert all(ip_address(second) in ip_network("fd57:244:0:1::aaa0/124") for _, second in found)
    full = ranged(node, v4, v6).refused()
    assert full.code == ErrorCode.ADDRESSES_EXHAUSTED
    assert "no free address in runtimeConfig.ipRanges: of 2, 2 are in use" in full.msg
    for box in boxes:
        box.delete()


@pytest.mark.parametrize(
    ("asked", "code", "why"),
    [
        (
            {"subnet": "10.9.0.0/24"},
            2,
            "(10.9.0.0 to 10.9.0.255) has no address in this node's podCIDR 10.244.1.0/24",
        ),
        ({"subnet": "10.244.1.0/24", "gateway": "10.244.1.7"}, 2, "gateway 10.244.1.7: a pod's gateway is the node"),
        ({"subnet": "10.244.1.0/33"}, 7, "10.244.1.0/33"),
    ],
)
def test_c13_c44_ranges_that_cannot_be_granted_leave_nothing(
    node: Node, asked: dict[str, str], code: int, why: str
) -> None:
    before = node.state()
    refused = ranged(node, [asked]).refused()
    assert refused.code == code
    assert "runtimeConfig.ipRanges" in refused.msg
    assert why in refused.msg
    assert node.state() == before


# Pools of namespaces.


def test_a_namespace_has_addresses_of_its_own_and_others_do_not_get_them(node: Node) -> None:
    team = [pooled(node, "team") for _ in range(3)]
    for v4, v6 in map(given, team):
        assert ip_address(v4) in ip_network("10.244.1.240/29")
        assert ip_address(v6) in ip_network("fd57:244:0:1::ff00/120")
    stranger = node.box("stranger", capability_args={"ips": ["10.244.1.247"]})
    stranger = stranger.speaking("1.1.0", addressPools=POOLS, capabilities={"ips": True})
    refused = stranger.refused()
    assert refused.code == ErrorCode.UNSUPPORTED_FIELD
    assert "requested address 10.244.1.247 is in addressPools.team, which is for that namespace alone" in refused.msg
    for box in team:
        box.check()
        box.delete()


def test_a_pool_counts_from_the_nodes_podcidr_and_runs_out_by_itself(node: Node) -> None:
    boxes = [pooled(node, "relative") for _ in range(8)]
    assert {given(box)[0] for box in boxes} == {f"10.244.1.{n}" for n in range(232, 240)}
    full = pooled(node, "relative").refused()
    assert full.code == ErrorCode.ADDRESSES_EXHAUSTED
    assert "no free address in addressPools.relative: of 8, 8 are in use and 0 reserved" in full.msg
    pooled(node, "default").add()
    for box in boxes:
        box.delete()


def test_c13_pools_that_cannot_be_read_leave_nothing(node: Node) -> None:
    overlapping = {"a": ["10.244.1.0/25"], "b": ["10.244.1.64/26"]}
    refused = node.box("odd").speaking("1.1.0", addressPools=overlapping).refused()
    assert refused.code == ErrorCode.INVALID_NETWORK_CONFIG
    assert "addressPools.b" in refused.msg


def test_pools_are_no_concern_of_a_del(node: Node) -> None:
    box = node.box("outlived")
    box.add()
    box.speaking("1.1.0", addressPools="none").delete()
    assert box.addresses() == []
