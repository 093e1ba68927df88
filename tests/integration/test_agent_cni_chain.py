"""Weft in chains with other plugins: each does what it is for, by traffic, and a DEL leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from agent_fixture import WAIT, Box, Node, agent_lab
from chain_fixture import FIRST_ADDRESS, FIRST_ROUTE, REFERENCE, WEFT, chained, first_plugin, given
from lab_fixture import NodeState, run, until
from traffic_fixture import DATAGRAM, STREAM, Sender, answering, qdiscs, transfer

from cni.errors import ErrorCode
from lab import names, netns
from node_agent import sysctl

Obj = dict[str, Any]
PORTMAP: Obj = {"type": "portmap", "capabilities": {"portMappings": True}}
SHAPER: Obj = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
INSIDE = 80
MEGABIT = 1_000_000

pytestmark = pytest.mark.skipif(
    not (REFERENCE / "portmap").exists(), reason="containernetworking-plugins is not installed"
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Its uplink drops what comes in where the answer would not leave, as many distributions have it."""
    with agent_lab("t-chain-plugins") as lab, Node(lab) as node:
        netns.run_in(node.namespace, lambda: sysctl.write("net/ipv4/conf/all/rp_filter", "1"))
        yield node


@pytest.fixture
def outside(node: Node) -> Sender:
    """Somebody who is not of the cluster, where the node's uplink leads to."""
    return Sender(netns.path_of(names.underlay_namespace(node.lab.config.name)))


def uplink(node: Node, version: int) -> str:
    """The node's address for the world."""
    found = names.host_interfaces(names.Underlay.MANAGEMENT, 1, node.lab.config.family)
    return next(str(each.address) for each in found if each.address.version == version)


def world(node: Node, version: int) -> str:
    """The address of who is `outside`."""
    found = names.gateway_interfaces(node.lab.config.family)
    return next(str(each.address) for each in found if each.address.version == version)


def mapped(node: Node, *mappings: Obj) -> Box:
    return chained(node.box("mapped", capability_args={"portMappings": list(mappings)}), WEFT, PORTMAP)


def check_of_weft(box: Box) -> None:
    """CHECK of Weft alone, with what the whole chain has answered."""
    chained(box, WEFT).check()


def reaches_the_node(box: Box) -> bool:
    return all(
        "1 received" in box.output("ping", "-n", "-c", "1", "-W", "5", each)
        for each in ("10.244.1.1", "fd57:244:0:1::1")
    )


# portmap.


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_c21_c44_a_port_of_the_node_leads_to_the_pod(
    node: Node, clean: NodeState, outside: Sender, version: int, kind: str
) -> None:
    box = mapped(node, {"hostPort": 8080, "containerPort": INSIDE, "protocol": kind})
    there, other = (uplink(node, version), 8080), node.box("other")
    own, others = given(box.add()), given(other.add())
    with answering(box.path, INSIDE):
        # Who asks is known to the pod, and so to policies; but not to itself.
        assert outside.heard_as(there, kind) == world(node, version)
        assert Sender(other.path).heard_as(there, kind) == others[version]
        assert Sender(box.path).heard_as(there, kind) == node_inside(version)
        assert Sender(node.namespace).heard_as((own[version], INSIDE), kind) == node_inside(version)
        assert outside.unanswered((uplink(node, version), 8081), kind)
        check_of_weft(box)
        box.delete()
        assert outside.unanswered(there, kind)
    assert "CNI-DN-" not in run("ip", "netns", "exec", node.namespace.name, "iptables", "-t", "nat", "-S")
    other.delete()


def node_inside(version: int) -> str:
    """The node's address for pods."""
    return {4: "10.244.1.1", 6: "fd57:244:0:1::1"}[version]


def test_c44_a_port_of_one_address_of_the_node(node: Node, clean: NodeState, outside: Sender, version: int) -> None:
    there = uplink(node, version)
    box = mapped(
        node,
        {"hostPort": 8080, "containerPort": INSIDE, "protocol": "tcp", "hostIP": there},
        {"hostPort": 8081, "containerPort": INSIDE, "protocol": "tcp"},
    )
    other = node.box("other")
    box.add()
    other.add()
    with answering(box.path, INSIDE):
        assert outside.heard_as((there, 8080)) == world(node, version)
        assert Sender(other.path).heard_as((node_inside(version), 8081))
        assert Sender(other.path).unanswered((node_inside(version), 8080))
    box.delete()
    other.delete()


def test_c44_a_port_of_a_node_leads_to_the_next_pod_that_asks_for_it(
    node: Node, clean: NodeState, outside: Sender
) -> None:
    """The same client, from the same port: what the node remembers of the pod before is no obstacle."""
    boxes = [mapped(node, {"hostPort": 8080, "containerPort": INSIDE, "protocol": "udp"}) for _ in range(2)]
    for box in boxes:
        box.add()
        with answering(box.path, INSIDE):
            assert outside.heard_as((uplink(node, 4), 8080), DATAGRAM) == world(node, 4)
        box.delete()
        assert outside.unanswered((uplink(node, 4), 8080), DATAGRAM)


def test_no_pod_reaches_the_nodes_loopback_addresses_although_portmap_lets_the_node_route_them(
    node: Node, clean: NodeState
) -> None:
    box, other = mapped(node, {"hostPort": 8080, "containerPort": INSIDE, "protocol": "tcp"}), node.box("other")
    box.add()
    own = given(other.add())[4]
    assert netns.run_in(node.namespace, lambda: sysctl.read("net/ipv4/conf/weft-gw0/route_localnet")) == "1"
    netns.run_in(other.path, lambda: sysctl.write("net/ipv4/conf/all/route_localnet", "1"))
    other.output("ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local")
    other.output("ip", "route", "add", "127.0.0.9/32", "via", "10.244.1.1", "dev", "eth0", "src", own)
    with answering(box.path, INSIDE), answering(node.namespace, 9999):
        assert Sender(other.path).heard_as(("10.244.1.1", 9999)) == own
        assert Sender(other.path).unanswered(("127.0.0.9", 9999))
        assert Sender(node.namespace).heard_as(("127.0.0.1", 8080)) == "10.244.1.1"
    box.delete()
    other.delete()


# bandwidth.


def test_c44_limits_of_the_chained_plugin_outlive_open_vswitch(node: Node, clean: NodeState) -> None:
    """Of what the pod sends, that plugin limits what the kernel forwards, if anything: see docs/cni.md."""
    limits = {"ingressRate": 40 * MEGABIT, "ingressBurst": 4 * MEGABIT}
    box = chained(node.box("limited", capability_args={"bandwidth": limits}), WEFT, SHAPER)
    address = given(box.add())[4]
    box.check()
    before = node.devices()
    node.lab.kill(node.vswitchd)
    node.lab.start(node.vswitchd)
    node.wait_ready()
    # A port more is a reason to look at all of them.
    other = node.box("other")
    until(lambda: _attached(other), "a pod is attached again", WAIT)
    (found,) = qdiscs(node.namespace.name, before[0])
    assert (found["kind"], found["options"]["rate"]) == ("tbf", limits["ingressRate"] // 8)
    size = 2_000_000
    seconds = transfer(node.namespace, box.path, address, size)
    assert limits["ingressBurst"] + seconds * limits["ingressRate"] >= 8 * size
    box.check()
    for each in (box, other):
        each.delete()


def _attached(box: Box) -> bool:
    try:
        box.add()
    except Exception:
        return False
    return True


# tuning.


def test_c21_c30_tuning_changes_what_is_not_wefts(node: Node, clean: NodeState) -> None:
    tuning = {"type": "tuning", "mtu": 1300, "promisc": True, "sysctl": {"net.core.somaxconn": "500"}}
    box = chained(node.box("tuned"), WEFT, tuning)
    box.add()
    (link,) = box.show("link show dev eth0")
    assert (link["mtu"], link["promiscuity"]) == (1300, 1)
    assert box.output("sysctl", "-n", "net.core.somaxconn").strip() == "500"
    assert reaches_the_node(box)
    box.check()
    box.delete()


def test_c30_a_mac_that_tuning_has_given_is_told_by_check(node: Node, clean: NodeState) -> None:
    """Only packets from the one that Weft gave pass the switch; Weft has a capability for others."""
    box = chained(node.box("renamed"), WEFT, {"type": "tuning", "mac": "0a:00:00:00:00:55"})
    box.add()
    refused = box.refused("check")
    assert refused.code == ErrorCode.CHECK_FAILED
    assert "has MAC 0a:00:00:00:00:55, and only packets from" in refused.msg
    box.delete()


# Behind another plugin.


def test_c21_r5_behind_a_plugin_that_has_made_an_interface(
    node: Node, clean: NodeState, outside: Sender, tmp_path: Path
) -> None:
    """portmap takes the address whose index leads to eth0."""
    mapping = {"hostPort": 8080, "containerPort": INSIDE, "protocol": "tcp"}
    box = node.box("behind", capability_args={"portMappings": [mapping]})
    box = chained(box, first_plugin(tmp_path), WEFT, PORTMAP, also=(tmp_path,))
    result = box.add()
    host = box.node.devices()[0]
    assert [each["name"] for each in result["interfaces"]] == ["first0", "extra0", host, "eth0"]
    assert [(ip["address"], ip["interface"]) for ip in result["ips"]] == [
        (FIRST_ADDRESS, 1), *((address, 3) for address in box.addresses())
    ]  # fmt: skip
    assert result["routes"][0] == FIRST_ROUTE
    assert [route["dst"] for route in result["routes"][1:]] == ["0.0.0.0/0", "::/0"]
    assert result["dns"] == {"nameservers": ["192.0.2.53"]}
    assert list(given(result)) == [4, 6]
    check_of_weft(box)
    with answering(box.path, INSIDE):
        assert outside.heard_as((uplink(node, 4), 8080)) == world(node, 4)
    box.delete()
    assert interfaces(box) == ["lo"]


def interfaces(box: Box) -> list[str]:
    return [each["ifname"] for each in box.show("link")]


def test_r5_the_loopback_plugin_runs_at_the_same_time(node: Node, clean: NodeState) -> None:
    """As containerd calls it: on a network of its own, beside eth0's."""
    boxes = [node.box("side", version="0.3.1") for _ in range(4)]
    with ThreadPoolExecutor(2 * len(boxes)) as pool:
        loops = [chained(box.having(ifname="lo"), {"type": "loopback"}, version="0.3.1", network="cni-loopback")
                 for box in boxes]  # fmt: skip
        results = list(pool.map(Box.add, (*boxes, *loops)))
    for box, result in zip(boxes, results[: len(boxes)], strict=True):
        assert list(given(result)) == [4, 6], "the first is the pod's primary address"
        assert "UP" in box.show("link show dev lo")[0]["flags"]
        assert box.addresses("lo")[0] == "127.0.0.1/8"
    for box in (*loops, *boxes):
        box.delete()


# Failures.


def test_c23_r6_a_plugin_that_fails_behind_weft_leaves_nothing_after_its_del(
    node: Node, clean: NodeState, tmp_path: Path
) -> None:
    """A failed ADD is followed by one DEL of all, in reverse order, without a result."""
    mapping = {"hostPort": 8080, "containerPort": INSIDE, "protocol": "tcp"}
    box = node.box("failing", capability_args={"portMappings": [mapping]})
    broken = {"type": "tuning", "sysctl": {"net.core.no_such_key": "1"}}
    box = chained(box, first_plugin(tmp_path), WEFT, broken, PORTMAP, also=(tmp_path,))
    refused = box.refused()
    assert "no_such_key" in refused.msg
    assert interfaces(box) == ["lo", "extra1", "extra0", "eth0"]
    assert len(node.rows()) == len(clean.rows) + 1
    box.delete()
    assert interfaces(box) == ["lo"]
    node.back_at(clean)
    box.delete()
    assert given(chained(box, WEFT).add())
    box.delete()


def test_c19_c23_an_interface_that_a_plugin_before_weft_has_made_stays_until_its_del(
    node: Node, clean: NodeState, tmp_path: Path
) -> None:
    ipam = {"type": "host-local", "dataDir": str(tmp_path), "subnet": "203.0.113.0/24"}
    box = chained(node.box("taken"), {"type": "ptp", "ipam": ipam}, WEFT)
    refused = box.refused()
    assert refused.code == ErrorCode.INTERFACE_EXISTS
    assert "eth0 exists already" in refused.msg
    assert box.addresses()[0] == "203.0.113.2/24"
    assert node.rows() == clean.rows
    box.delete()
    assert interfaces(box) == ["lo"]


# Probes.


def test_r8_the_kubelets_probe_is_answered_when_add_has_returned(node: Node, clean: NodeState, version: int) -> None:
    """It comes from the node itself."""
    box = node.box("probed")
    with answering(box.path, INSIDE), ExitStack() as stack:
        target = (given(box.add())[version], INSIDE)
        stack.callback(box.delete)
        assert Sender(node.namespace).heard_as(target) == node_inside(version)
