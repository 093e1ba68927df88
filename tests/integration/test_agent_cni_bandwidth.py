"""C44: limits of what a pod receives and sends, asked for as a runtime does for the annotations
kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any

import pytest
from agent_fixture import WAIT, Box, Node, agent_lab
from lab_fixture import until
from traffic_fixture import qdiscs, transfer

from cni.errors import ErrorCode
from lab import netns

KIB = 1024
MEGABIT = 1_000_000
ASKED = {"ingressRate": 40 * MEGABIT, "ingressBurst": 512 * KIB, "egressRate": 24 * MEGABIT, "egressBurst": 256 * KIB}
SENT = 2_000_000  # bytes: many times a burst
GATEWAY = "10.244.1.1"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-cni-bw") as lab, Node(lab) as node:
        yield node


def limited(node: Node, **bandwidth: int) -> Box:
    box = node.box("limited", capability_args={"bandwidth": bandwidth})
    return box.speaking("1.0.0", capabilities={"bandwidth": True})


def qdisc(namespace: str, ifname: str) -> dict[str, Any]:
    """What `tc` says that an interface's packets leave by."""
    (found,) = qdiscs(namespace, ifname)
    return found


def of_ingress(node: Node, box: Box) -> dict[str, Any]:
    return qdisc(node.namespace.name, box.port())


def of_egress(box: Box) -> dict[str, Any]:
    return qdisc(box.path.name, "eth0")


def test_c44_what_a_pod_receives_and_sends_is_limited(node: Node) -> None:
    box = limited(node, **ASKED)
    address = str(ip_interface(box.add()["ips"][0]["address"]).ip)
    box.check()
    for found, direction in ((of_ingress(node, box), "ingress"), (of_egress(box), "egress")):
        assert found["kind"] == "tbf"
        assert found["options"]["rate"] == ASKED[f"{direction}Rate"] // 8
        assert abs(found["options"]["burst"] - ASKED[f"{direction}Burst"] // 8) <= 8
    # Never more than the bucket and what has dripped into it: however slow the machine is.
    for source, sink, target, direction in (
        (node.namespace, box.path, address, "ingress"),
        (box.path, node.namespace, GATEWAY, "egress"),
    ):
        seconds = transfer(source, sink, target, SENT)
        assert ASKED[f"{direction}Burst"] + seconds * ASKED[f"{direction}Rate"] >= 8 * SENT
    assert of_ingress(node, box)["overlimits"] > 0
    assert of_egress(box)["overlimits"] > 0
    box.delete()


def test_c44_one_direction_only_and_none(node: Node) -> None:
    only = limited(node, egressRate=8 * MEGABIT, egressBurst=256 * KIB, ingressRate=0, ingressBurst=0)
    free = limited(node)
    for box in (only, free):
        box.add()
        box.check()
        assert of_ingress(node, box)["kind"] == "noqueue"
    assert of_egress(only)["kind"] == "tbf"
    assert of_egress(free)["kind"] == "noqueue"
    only.delete()
    free.delete()


def test_c45_containerd_writes_the_keys_in_capitals_and_the_largest_burst(node: Node) -> None:
    asked = {"IngressRate": 10**15, "IngressBurst": 2**32 - 1, "EgressRate": 1000, "EgressBurst": 2**32 - 1}
    box = limited(node, **asked)
    box.add()
    assert of_ingress(node, box)["options"]["rate"] == 10**15 // 8
    assert of_egress(box)["options"]["rate"] == 1000 // 8
    box.check()
    assert "1 received" in box.output("ping", "-n", "-c", "1", "-W", "2", GATEWAY)
    box.delete()


def test_a_limit_outlives_open_vswitch(node: Node) -> None:
    box = limited(node, **ASKED)
    box.add()
    node.lab.kill(node.vswitchd)
    node.lab.start(node.vswitchd)
    node.wait_ready()
    # A port more is a reason to look at all of them.
    other = limited(node)
    until(lambda: _added(other), "a pod is attached again", WAIT)
    assert of_ingress(node, box)["kind"] == "tbf"
    assert of_ingress(node, box)["options"]["rate"] == ASKED["ingressRate"] // 8
    box.check()
    other.delete()
    box.delete()


def _added(box: Box) -> bool:
    try:
        box.add()
    except Exception:
        return False
    return True


def test_c30_check_misses_a_limit_that_is_gone_or_another(node: Node) -> None:
    box = limited(node, **ASKED)
    box.add()
    box.output(
        "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "9k", "latency", "9ms"
    )
    changed = box.refused("check")
    assert changed.code == ErrorCode.CHECK_FAILED
    assert "what the pod sends is limited to 1000000 bit/s; it should be limited to 24000000 bit/s" in changed.msg
    box.delete()
    box.add()
    netns.run_in(
        node.namespace, lambda: subprocess.run(["tc", "qdisc", "del", "dev", box.port(), "root"], check=True)
    )
    gone = box.refused("check")
    assert "what the pod receives is not limited; it should be limited to 40000000 bit/s" in gone.msg
    box.delete()


@pytest.mark.parametrize(
    ("bandwidth", "code", "says"),
    [
        ({"ingressRate": MEGABIT}, 7, "bandwidth.ingressBurst=0: a limit has ingressRate and ingressBurst, in bits"),
        ({"egressBurst": MEGABIT}, 7, "bandwidth.egressRate=0: a limit has egressRate and egressBurst, in bits"),
        ({"egressRate": -8, "egressBurst": 80000}, 7, "runtimeConfig.bandwidth.egressRate=-8"),
        ({"egressRate": MEGABIT, "egressBurst": 2**35}, 7, "runtimeConfig.bandwidth.egressBurst=34359738368"),
        (
            {"egressRate": MEGABIT, "egressBurst": 8000},
            2,
            "runtimeConfig.bandwidth.egressBurst=8000: a packet of the pod's MTU",
        ),
    ],
)  # fmt: skip
def test_c13_c44_a_limit_that_cannot_be_had_leaves_nothing(
    node: Node, bandwidth: dict[str, int], code: int, says: str
) -> None:
    before = node.state()
    refused = limited(node, **bandwidth).refused()
    assert refused.code == code
    assert says in refused.msg
    assert node.state() == before
