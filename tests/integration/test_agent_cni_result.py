"""What ADD answers, in every version of the specification, and that it is what the pod has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest
from agent_fixture import Box, Node, agent_lab, show

from cni.errors import ErrorCode
from openflow.constants import ROUTER_MAC

Obj = dict[str, Any]
REFERENCE = Path("/usr/lib/cni")
GATEWAYS = ("10.244.1.1", "fd57:244:0:1::1")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-cni-result") as lab, Node(lab) as node:
        yield node


def host_link(node: Node, name: str) -> Obj:
    (link,) = show(node.namespace.name, f"link show dev {name}")
    return link


def pod_link(box: Box, name: str = "eth0") -> Obj:
    (link,) = box.show(f"link show dev {name}")
    return link


def routes(box: Box) -> list[tuple[str, str]]:
    """(destination, gateway) of the pod's routes through a gateway, IPv4 first."""
    found = [*box.show("route show"), *box.show("-6 route show")]
    return [(each["dst"], each["gateway"]) for each in found if "gateway" in each]


def names_of(result: Obj) -> list[str]:
    return [interface["name"] for interface in result["interfaces"]]


def test_c5_result_of_1_1_0(node: Node) -> None:
    box = node.box("web", version="1.1.0")
    result = box.add()
    host, inside = names_of(result)
    v4, v6 = box.addresses()
    mtu = pod_link(box)["mtu"]
    assert result == {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": host, "mtu": mtu},
            {"name": inside, "mac": pod_link(box)["address"], "sandbox": box.attachment.netns, "mtu": mtu},
        ],
        "ips": [
            {"interface": 1, "address": v4, "gateway": GATEWAYS[0]},
            {"interface": 1, "address": v6, "gateway": GATEWAYS[1]},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAYS[0]}, {"dst": "::/0", "gw": GATEWAYS[1]}],
        "dns": {},
    }


def test_c5_result_of_1_0_0(node: Node) -> None:
    box = node.box("web", version="1.0.0")
    result = box.add()
    host, inside = names_of(result)
    v4, v6 = box.addresses()
    assert result == {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": host},
            {"name": inside, "mac": pod_link(box)["address"], "sandbox": box.attachment.netns},
        ],
        "ips": [
            {"interface": 1, "address": v4, "gateway": GATEWAYS[0]},
            {"interface": 1, "address": v6, "gateway": GATEWAYS[1]},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAYS[0]}, {"dst": "::/0", "gw": GATEWAYS[1]}],
        "dns": {},
    }


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_c5_result_of_0_3_and_0_4(node: Node, version: str) -> None:
    box = node.box("web", version=version)
    result = box.add()
    host, inside = names_of(result)
    v4, v6 = box.addresses()
    assert result == {
        "cniVersion": version,
        "interfaces": [
            {"name": host},
            {"name": inside, "mac": pod_link(box)["address"], "sandbox": box.attachment.netns},
        ],
        "ips": [
            {"version": "4", "interface": 1, "address": v4, "gateway": GATEWAYS[0]},
            {"version": "6", "interface": 1, "address": v6, "gateway": GATEWAYS[1]},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAYS[0]}, {"dst": "::/0", "gw": GATEWAYS[1]}],
        "dns": {},
    }


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_c5_result_of_0_1_and_0_2(node: Node, version: str) -> None:
    box = node.box("web", version=version)
    result = box.add()
    v4, v6 = box.addresses()
    assert result == {
        "cniVersion": version,
        "ip4": {"ip": v4, "gateway": GATEWAYS[0], "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAYS[0]}]},
        "ip6": {"ip": v6, "gateway": GATEWAYS[1], "routes": [{"dst": "::/0", "gw": GATEWAYS[1]}]},
        "dns": {},
    }


def test_c20_what_the_result_says_is_what_the_pod_has(node: Node) -> None:
    box = node.box("truth")
    result = box.add()
    host, inside = result["interfaces"]
    link = pod_link(box)
    assert (link["ifname"], link["address"], link["mtu"]) == (inside["name"], inside["mac"], inside["mtu"])
    assert inside["sandbox"] == box.attachment.netns
    assert {"UP", "LOWER_UP"} <= set(link["flags"])
    assert "sandbox" not in host
    other = host_link(node, host["name"])
    assert (other["mtu"], other["operstate"]) == (host["mtu"], "UP")
    assert link["link_index"] == other["ifindex"]
    assert box.addresses() == [ip["address"] for ip in result["ips"]]
    assert [ip_interface(text).network.num_addresses for text in box.addresses()] == [1, 1]
    assert routes(box) == [("default", route["gw"]) for route in result["routes"]]


def test_the_gateway_is_a_permanent_neighbour_of_the_pod(node: Node) -> None:
    box = node.box("neighbour")
    result = box.add()
    found = {each["dst"]: (each["lladdr"], each["state"]) for each in box.show("neigh show dev eth0")}
    assert found == {ip["gateway"]: (ROUTER_MAC, ["PERMANENT"]) for ip in result["ips"]}


def test_a_pod_has_its_network_when_add_returns(node: Node) -> None:
    """The first packet meets its flows: no retry, no wait."""
    one, two = node.box("one"), node.box("two")
    one.add()
    for ip in two.add()["ips"]:
        address = ip["address"].partition("/")[0]
        assert "1 received" in one.output("ping", "-n", "-c", "1", "-W", "2", address)


def test_c22_a_container_may_have_two_interfaces(node: Node) -> None:
    box = node.box("twice")
    first, second = box.add(), box.having(ifname="net1").add()
    both = [ip["address"] for result in (first, second) for ip in result["ips"]]
    assert len(set(both)) == 4
    assert box.addresses("eth0") + box.addresses("net1") == both
    box.check()
    box.having(ifname="net1").check()
    box.having(ifname="net1").delete()
    assert (box.addresses("net1"), box.addresses("eth0")) == ([], both[:2])
    box.check()


def test_c14_c13_keys_that_nobody_must_understand_are_no_obstacle(node: Node) -> None:
    box = node.box("args").speaking(
        "1.1.0", args={"labels": ["x"], "cni": {}}, capabilities={"portMappings": True}, mykey={"a": 1}
    )
    box = box.having(args={**box.attachment.args, "IgnoreUnknown": "0", "UNKNOWN": "a=b"})
    assert len(box.add()["ips"]) == 2


def test_args_cni_name_the_pod_where_the_runtime_does_not(node: Node) -> None:
    box = node.box("named")
    twins = dict(box.attachment.args)
    del twins["IgnoreUnknown"]
    named = box.speaking("1.0.0", args={"cni": twins})
    assert len(named.having(args={"IgnoreUnknown": "1"}).add()["ips"]) == 2
    named.having(args={"IgnoreUnknown": "1"}).delete()
    refused = named.having(args={**box.attachment.args, "K8S_POD_NAME": "other"}).refused()
    assert refused.code == ErrorCode.INVALID_ENVIRONMENT
    assert 'CNI_ARGS says "other", and the pod is the runtime\'s to name' in refused.msg
    assert box.addresses() == []


def test_c46_args_cni_beat_cni_args(node: Node) -> None:
    v4, v6 = node.spare_addresses()
    box = node.box("twins")
    asking = box.having(args={**box.attachment.args, "IP": "10.244.1.1", "MAC": "00:00:00:00:00:01"})
    asking = asking.speaking("1.0.0", args={"cni": {"ips": [v4, v6], "mac": "02:00:00:00:00:02"}})
    result = asking.add()
    assert [ip["address"] for ip in result["ips"]] == [f"{v4}/32", f"{v6}/128"]
    assert result["interfaces"][1]["mac"] == "02:00:00:00:00:02"
    asking.delete()
    assert box.addresses() == []


def chained(box: Box, *plugins: Obj) -> Box:
    """The same container, whose runtime also has Debian's plugins."""
    conflist = replace(box.runtime.conflist, plugins=plugins)
    return replace(box, runtime=replace(box.runtime, conflist=conflist, bin_dirs=(*box.runtime.bin_dirs, REFERENCE)))


@pytest.mark.skipif(not (REFERENCE / "tuning").exists(), reason="containernetworking-plugins is not installed")
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_c21_between_other_plugins_of_a_chain(node: Node, version: str) -> None:
    dns = {"nameservers": ["10.96.0.10"], "search": ["svc.cluster.local"]}
    box = chained(
        node.box("chain", version=version),
        {"type": "loopback"},
        {"type": "weft", "dns": dns},
        {"type": "tuning", "mtu": 1400, "sysctl": {"net.core.somaxconn": "500"}},
        {"type": "sbr"},
    )
    result = box.add()
    first, host, inside = names_of(result)
    assert (first, inside) == ("lo", "eth0")
    assert host.startswith("chain-")
    ours = [ip for ip in result["ips"] if ip.get("gateway") in GATEWAYS]
    assert [result["interfaces"][ip["interface"]]["name"] for ip in ours] == ["eth0", "eth0"]
    assert [ip["address"] for ip in ours] == box.addresses()
    assert result["dns"] == dns
    assert pod_link(box)["mtu"] == 1400
    box.check()
    box.delete()
    assert box.addresses() == []


def test_c22_a_second_interface_does_not_claim_the_default_route_that_the_first_has(node: Node) -> None:
    box = node.box("second")
    assert [route["gw"] for route in box.add()["routes"]] == [*GATEWAYS]
    other = box.having(ifname="net1")
    result = other.add()
    assert result.get("routes", []) == []
    assert len(result["ips"]) == 2
    other.check()
    box.check()
    other.delete()
    box.check()


def test_c44_what_a_runtime_asks_for_by_capability_is_granted(node: Node) -> None:
    v4, _ = node.spare_addresses()
    asked = {
        "ips": [f"{v4}/32"],
        "mac": "0a:00:00:00:00:77",
        "DNS": {"Servers": ["10.96.0.10"], "Searches": ["svc"], "Options": ["ndots:5"]},
    }
    box = node.box("asking", capability_args=asked)
    box = box.speaking("1.0.0", capabilities={"ips": True, "mac": True, "DNS": True})
    result = box.add()
    assert box.addresses()[0] == f"{v4}/32"
    assert pod_link(box)["address"] == "0a:00:00:00:00:77"
    assert result["dns"] == {"nameservers": ["10.96.0.10"], "search": ["svc"], "options": ["ndots:5"]}
    box.check()


def test_c13_c44_a_capability_that_weft_does_not_have_leaves_nothing(node: Node) -> None:
    asked = {"aliases": ["db"]}
    box = node.box("named", capability_args=asked).speaking("1.0.0", capabilities={"aliases": True})
    refused = box.refused()
    assert refused.code == 2
    assert 'runtimeConfig.aliases=["db"]' in refused.msg
    assert box.addresses() == []
    box.delete()
