"""Every error code, told by the real agent through the real executable, with the key and the value that caused it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from agent_fixture import Box, Node, agent_lab

from cni.errors import ErrorCode
from openflow.constants import GATEWAY_MAC, ROUTER_MAC

CONF = {"cniVersion": "1.1.0", "name": "weft", "type": "weft"}
POD = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=p"
ENV = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/none-such", "CNI_IFNAME": "eth0", "CNI_ARGS": POD}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Whatever is refused leaves the node as it was, which is looked at when all have been."""
    with agent_lab("t-cni-errors") as lab, Node(lab) as node:
        before = node.state()
        yield node
        node.back_at(before)


def told(node: Node, verb: str, conf: object = None, version: str = "1.1.0", **env: str) -> tuple[int, str]:
    """Code and message of a call that is refused."""
    answer = node.call(verb, CONF if conf is None else conf, {**ENV, **env})
    body = json.loads(answer.stdout)
    assert (answer.status, body["cniVersion"]) == (1, version)
    return body["code"], body["msg"]


# 1: version.


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_c3_a_version_that_is_not_supported(node: Node, verb: str) -> None:
    code, msg = told(node, verb, {**CONF, "cniVersion": "1.2.0"}, version="1.0.0")
    assert code == 1
    assert 'cniVersion="1.2.0"' in msg


@pytest.mark.parametrize(
    ("verb", "version", "since"),
    [("CHECK", "0.3.1", "0.4.0"), ("GC", "1.0.0", "1.1.0"), ("STATUS", "1.0.0", "1.1.0"), ("STATUS", "", "1.1.0")],
)
def test_c6_verbs_of_a_later_version(node: Node, verb: str, version: str, since: str) -> None:
    code, msg = told(node, verb, {**CONF, "cniVersion": version}, version=version or "0.1.0")
    assert code == 1
    assert f"{verb} came with version {since}" in msg


# 2: what is understood and not granted.


def test_c13_a_delegated_ipam(node: Node) -> None:
    code, msg = told(node, "ADD", {**CONF, "ipam": {"type": "host-local"}})
    assert code == 2
    assert 'ipam.type="host-local"' in msg


@pytest.mark.parametrize("mac", [ROUTER_MAC, GATEWAY_MAC.upper()])
def test_c44_a_mac_that_is_the_nodes_own(node: Node, mac: str) -> None:
    refused = asking(node, mac=mac).refused()
    assert refused.code == ErrorCode.UNSUPPORTED_FIELD
    assert f"runtimeConfig.mac={mac.lower()}" in refused.msg


@pytest.mark.parametrize(
    ("ip", "why"),
    [
        (
            "192.0.2.7/24",
            "is not in 10.244.1.0/24, fd57:244:0:1::/64, which this node has; bind the pod to the node that has the"
            " address, or ask for another",
        ),
        ("10.244.1.1", "is reserved in 10.244.1.0/24; ask for another"),
        ("10.244.1.0/24", "is reserved in 10.244.1.0/24; ask for another"),
        ("10.244.1.255", "is reserved in 10.244.1.0/24; ask for another"),
        ("fd57:244:0:1::1/64", "is reserved in fd57:244:0:1::/64; ask for another"),
    ],
)
def test_c44_an_address_that_pods_do_not_get(node: Node, ip: str, why: str) -> None:
    refused = asking(node, ips=[ip]).refused()
    assert refused.code == ErrorCode.UNSUPPORTED_FIELD
    assert refused.msg == f"runtimeConfig.ips: requested address {ip.partition('/')[0]} {why}"


def test_c44_an_address_that_another_pod_has(node: Node) -> None:
    v4, v6 = node.spare_addresses()
    first = asking(node, ips=[v4])
    first.add()
    try:
        refused = asking(node, ips=[v6, f"{v4}/24"]).refused()
    finally:
        first.delete()
    assert refused.code == ErrorCode.UNSUPPORTED_FIELD
    held = first.attachment
    owner = f"default/{held.args['K8S_POD_NAME']} (container {held.container})"
    assert refused.msg == (
        f"runtimeConfig.ips: requested address {v4} is in use by another pod on this node, {owner};"
        " delete that pod, or ask for another address"
    )


def test_c44_requests_in_cni_args_are_refused_by_their_name(node: Node) -> None:
    code, msg = told(node, "ADD", CNI_NETNS=node.box("args").attachment.netns, CNI_ARGS=f"{POD};IP=192.0.2.1")
    assert code == ErrorCode.UNSUPPORTED_FIELD
    assert "CNI_ARGS.ips: requested address 192.0.2.1 is not in" in msg


# 4: environment.


def test_c7_every_missing_variable_is_named(node: Node) -> None:
    for verb, names in (
        ("ADD", ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME")),
        ("CHECK", ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME")),
        ("DEL", ("CNI_CONTAINERID", "CNI_IFNAME")),
        ("GC", ("CNI_PATH",)),
    ):
        code, msg = told(node, verb, **dict.fromkeys(names, ""))
        assert code == 4
        assert msg.endswith(", ".join(names))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CNI_CONTAINERID", "../etc"),
        ("CNI_IFNAME", "sixteen-bytes-xx"),
        ("CNI_IFNAME", "a/b"),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "eth%d"),
        ("CNI_IFNAME", "all"),
        ("CNI_IFNAME", "eth0\tb"),
        ("CNI_ARGS", "K8S_POD_NAME"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=Bad_Name;K8S_POD_NAME=p"),
    ],
)
def test_c9_c10_c47_a_variable_that_breaks_the_rules(node: Node, variable: str, value: str) -> None:
    code, msg = told(node, "ADD", **{variable: value})
    assert code == 4
    assert variable in msg
    assert value.partition(";")[0].partition("=")[2] or json.dumps(value) in msg


def test_c8_an_unknown_command(node: Node) -> None:
    code, msg = told(node, "FROB")
    assert code == 4
    assert 'CNI_COMMAND="FROB"' in msg


def test_an_add_without_a_pod(node: Node) -> None:
    code, msg = told(node, "ADD", CNI_ARGS="IgnoreUnknown=1")
    assert code == 4
    assert "K8S_POD_NAME" in msg


@pytest.mark.parametrize(
    ("path", "found"),
    [("/run/netns/none-such", "missing"), ("/etc/hostname", "a regular file"), ("/proc/self/ns/mnt", "a mount")],
)
def test_a_netns_that_is_none(node: Node, path: str, found: str) -> None:
    code, msg = told(node, "ADD", CNI_NETNS=path)
    assert code == 4
    assert msg.startswith(f"CNI_NETNS: {path} is not a network namespace: it is {found}")


# 6 and 7: configuration.


@pytest.mark.parametrize("stdin", [b"", b"{", b"[]", b"\xff", b"nonsense"])
def test_c12_stdin_that_is_no_configuration(node: Node, stdin: bytes) -> None:
    code, msg = told(node, "ADD", stdin, version="1.0.0")
    assert code == 6
    assert "network configuration" in msg


@pytest.mark.parametrize("verb", ["CHECK", "GC", "STATUS"])
def test_c4_a_version_that_does_not_parse(node: Node, verb: str) -> None:
    code, msg = told(node, verb, {**CONF, "cniVersion": "one"}, version="1.0.0")
    assert code == 6
    assert 'cniVersion="one"' in msg


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
@pytest.mark.parametrize("name", ["", "-x", "a/b", 7])
def test_c11_a_network_without_a_proper_name(node: Node, verb: str, name: object) -> None:
    code, msg = told(node, verb, {**CONF, "name": name})
    assert code == 7
    assert "name" in msg


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mac", "01:00:5e:00:00:01"),
        ("mac", "ff:ff:ff:ff:ff:ff"),
        ("mac", "00:00:00:00:00:00"),
        ("mac", "02-00-00-00-00-01"),
        ("mac", "1234"),
        ("mac", 12),
        ("ips", ["10.244.1.300"]),
        ("ips", ["10.244.1.7", "10.244.1.8"]),
        ("ips", ["fd57:244:0:1::7/64", "10.244.1.7", "fd57:244:0:1::8/64"]),
        ("ips", "10.244.1.7"),
    ],
)
def test_c44_requests_that_nobody_could_grant(node: Node, key: str, value: Any) -> None:
    refused = asking(node, **{key: value}).refused()
    assert refused.code == ErrorCode.INVALID_NETWORK_CONFIG
    assert f"runtimeConfig.{key}={json.dumps(value, separators=(',', ':'))}" in refused.msg


# 8: the node's own namespace.


def test_c15_the_nodes_own_namespace(node: Node) -> None:
    for verb in ("ADD", "DEL"):
        code, msg = told(node, verb, CNI_NETNS=str(node.namespace))
        assert code == 8
        assert str(node.namespace) in msg


def test_c15_a_del_with_the_nodes_own_namespace_frees_all_the_same(node: Node) -> None:
    box = node.box("own")
    box.add()
    own = box.having(netns=str(node.namespace))
    assert own.refused("check").code == own.refused("delete").code == ErrorCode.INVALID_NETNS
    assert box.addresses() == []
    assert box.port() not in dict(node.rows())
    env = {**ENV, "CNI_NETNS": str(node.namespace), "CNI_NETNS_OVERRIDE": "1"}
    assert node.call("DEL", CONF, env).status == 0


# Requests that can be granted.


def asking(node: Node, **capability_args: object) -> Box:
    """A container with a runtimeConfig; the plugin declares what it is given."""
    box = node.box("asking", capability_args=capability_args)
    return box.speaking("1.1.0", capabilities=dict.fromkeys(capability_args, True))


def test_c44_addresses_and_a_mac_are_granted(node: Node) -> None:
    v4, v6 = node.spare_addresses()
    box = asking(node, ips=[f"{v4}/24", v6], mac="02:00:00:00:00:C8")
    result = box.add()
    assert [ip["address"] for ip in result["ips"]] == [f"{v4}/32", f"{v6}/128"]
    assert result["interfaces"][1]["mac"] == "02:00:00:00:00:c8"
    assert box.addresses() == [f"{v4}/32", f"{v6}/128"]
    assert box.show("link show dev eth0")[0]["address"] == "02:00:00:00:00:c8"
    assert "1 received" in box.output("ping", "-n", "-c", "1", "-W", "2", "10.244.1.1")
    box.check()
    box.delete()


@pytest.mark.parametrize("ifname", ["eth0;reboot", "$(id)", "-x", "net1@x", "\u00e9\u00e9", "'\"\\\\"])
def test_c10_an_odd_name_is_no_more_than_a_name(node: Node, ifname: str) -> None:
    box = node.box("odd").having(ifname=ifname)
    result = box.add()
    assert result["interfaces"][1]["name"] == ifname
    assert box.addresses(ifname) == [ip["address"] for ip in result["ips"]]
    box.check()
    box.delete()
    assert [link["ifname"] for link in box.show("link")] == ["lo"]


def test_c44_an_address_of_one_family_leaves_the_other_to_weft(node: Node) -> None:
    _, wanted = node.spare_addresses()
    box = asking(node, ips=[f"{wanted}/64"])
    v4, v6 = (ip["address"] for ip in box.add()["ips"])
    assert v6 == f"{wanted}/128"
    assert v4.startswith("10.244.1.")
    box.delete()


def test_c45_keys_are_matched_whatever_their_case(node: Node) -> None:
    v4, _ = node.spare_addresses()
    box = asking(node, IPs=[v4], MAC="02:00:00:00:00:c9")
    result = box.add()
    assert result["ips"][0]["address"] == f"{v4}/32"
    assert result["interfaces"][1]["mac"] == "02:00:00:00:00:c9"
    box.delete()
