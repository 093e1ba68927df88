"""Weft under containerd as the kubelet drives it: the cycle of a pod's sandbox through the CRI."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from agent_fixture import Box, Node, agent_lab
from containerd_fixture import PAGE, Containerd, Left, needs_containerd
from cri_client import CriError, annotations, dns, port, sandbox_config

from lab.lab import Lab
from node_agent.addresses import ANNOTATION

pytestmark = needs_containerd
NOTHING = Left([], [], [])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with agent_lab(f"t-ctr-cri-{os.getpid()}", nodes=2) as lab:
        yield lab


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    with Node(lab) as node:
        yield node


def test_r3_r8_the_network_is_ready_while_the_configuration_is_there(containerd: Containerd) -> None:
    assert containerd.cri.network_ready()
    containerd.uninstall()
    assert not containerd.cri.network_ready()
    containerd.install()
    assert containerd.cri.network_ready()


def test_r1_r5_a_pod_s_sandbox(containerd: Containerd, node: Node) -> None:
    known = node.know("sandbox")
    before = node.state()
    with containerd.sandbox(known) as sandbox:
        entry = containerd.cached_of(sandbox.name)
        (row,) = set(node.state().rows) - set(before.rows)
        status = containerd.cri.pod_sandbox_status(sandbox.name)
        assert status.ready
        assert ",".join(status.ips) == row[1]
        assert sandbox.addresses() == {each["address"] for each in entry["result"]["ips"]}
        assert dict(entry["cniArgs"]) == {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": "default",
            "K8S_POD_NAME": "sandbox",
            "K8S_POD_INFRA_CONTAINER_ID": sandbox.name,
            "K8S_POD_UID": known["metadata"]["uid"],
        }
    node.back_at(before)
    assert containerd.left() == NOTHING


def test_c45_dns_comes_with_capitalised_keys(containerd: Containerd, node: Node) -> None:
    asked = dns(["10.96.0.10"], ["default.svc.cluster.local"], ["ndots:5"])
    with containerd.sandbox(node.know("dns"), dns=asked) as sandbox:
        entry = containerd.cached_of(sandbox.name)
    assert entry["capabilityArgs"]["dns"] == {
        "Servers": ["10.96.0.10"],
        "Searches": ["default.svc.cluster.local"],
        "Options": ["ndots:5"],
    }
    assert entry["result"]["dns"] == {
        "nameservers": ["10.96.0.10"],
        "search": ["default.svc.cluster.local"],
        "options": ["ndots:5"],
    }


def test_c45_limits_of_bandwidth_come_with_capitalised_keys(containerd: Containerd, node: Node) -> None:
    """containerd makes them of the pod's annotations."""
    asked = {"kubernetes.io/ingress-bandwidth": "8M", "kubernetes.io/egress-bandwidth": "16M"}
    with containerd.sandbox(node.know("limited"), annotations=annotations(**asked)) as sandbox:
        entry = containerd.cached_of(sandbox.name)
        limits = entry["capabilityArgs"]["bandwidth"]
        assert (limits["IngressRate"], limits["EgressRate"]) == (8_000_000, 16_000_000)
        host, pod = entry["result"]["interfaces"]
        assert shaped(containerd, host["name"]) == 1_000_000
        assert shaped(containerd, "eth0", "nsenter", f"--net={pod['sandbox']}") == 2_000_000


def shaped(containerd: Containerd, ifname: str, *entering: str) -> int:
    """Bytes per second that may leave by an interface, of the node or of what is entered."""
    found = containerd.machine.run(*entering, "tc", "-j", "qdisc", "show", "dev", ifname)
    return int(json.loads(found.stdout)[0]["options"]["rate"])


def test_a_fixed_address_by_annotation(containerd: Containerd, node: Node) -> None:
    v4, v6 = node.spare_addresses()
    asked = annotations(**{ANNOTATION: f"{v4},{v6}"})
    with containerd.sandbox(node.know("fixed"), annotations=asked) as sandbox:
        assert containerd.cri.pod_sandbox_status(sandbox.name).ips == (v4, v6)
        assert sandbox.addresses() == {f"{v4}/32", f"{v6}/128"}


def test_a_pod_keeps_its_network_while_containerd_is_killed_and_restarted(
    containerd: Containerd, node: Node, elsewhere: Box
) -> None:
    known = node.know("survivor")
    before = node.state()
    with containerd.sandbox(known) as sandbox:
        attached = node.state()
        address, _ = containerd.cri.pod_sandbox_status(sandbox.name).ips
        containerd.kill()
        assert elsewhere.output("curl", "-sS", "-m", "5", f"http://{address}/") == PAGE
        containerd.start()
        assert containerd.cri.pod_sandbox_status(sandbox.name).ready
        assert elsewhere.output("curl", "-sS", "-m", "5", f"http://{address}/") == PAGE
        there = elsewhere.addresses()[0].partition("/")[0]
        assert "1 packets received" in sandbox.output("ping", "-c", "1", "-W", "5", there)
        assert node.state() == attached
    node.back_at(before)
    assert containerd.left() == NOTHING


def test_r6_a_refused_add_leaves_nothing(containerd: Containerd, node: Node) -> None:
    """containerd calls DEL after it. The capability is one that Weft does not have, and comes as `HostPort` (C45)."""
    meta = node.know("ports")["metadata"]
    before = node.state()
    with (
        containerd.configured(capabilities={"portMappings": True}),
        pytest.raises(CriError, match=r"runtimeConfig\.portMappings=.*HostPort.*chain the portmap plugin"),
    ):
        containerd.cri.run_pod_sandbox(sandbox_config(meta, port=port(8080, 80)))
    node.back_at(before)
    assert containerd.left() == NOTHING


def test_r6_a_namespace_that_is_gone(containerd: Containerd, node: Node) -> None:
    """As after a reboot: containerd then calls DEL with an empty CNI_NETNS."""
    known = node.know("rebooted")
    before = node.state()
    with containerd.sandbox(known):
        (namespace,) = containerd.left().namespaces
        containerd.lose_namespace(namespace)
    node.back_at(before)
    assert containerd.left() == NOTHING


def test_r6_a_pod_is_stopped_once_the_agent_is_back(containerd: Containerd, node: Node) -> None:
    """The kubelet tries again for as long as the runtime says that the network could not be taken down."""
    known = node.know("patient")
    before = node.state()
    with containerd.sandbox(known) as sandbox:
        node.kill_agent()
        try:
            with pytest.raises(CriError, match=r"failed to destroy network.*weft"):
                containerd.cri.stop_pod_sandbox(sandbox.name)
        finally:
            node.start_agent()
    node.back_at(before)
    assert containerd.left() == NOTHING


def test_c28_a_pod_is_removed_with_a_configuration_that_was_spoilt(containerd: Containerd, node: Node) -> None:
    """containerd gives a DEL the configuration of now."""
    known = node.know("older")
    before = node.state()
    with ExitStack() as spoilt, containerd.sandbox(known):
        spoilt.enter_context(containerd.configured(ipam={"type": "host-local"}))
    node.back_at(before)
    assert containerd.left() == NOTHING


def test_c26_a_sandbox_that_is_no_kubernetes_pod_is_refused_and_can_be_removed(
    containerd: Containerd, node: Node
) -> None:
    """People try names that the API would not take, with a CRI client by hand."""
    before = node.state()
    with pytest.raises(CriError, match=r"K8S_POD_NAME=.*not a Kubernetes name"):
        containerd.cri.run_pod_sandbox(sandbox_config({"name": "By_Hand", "namespace": "default", "uid": "1"}))
    assert node.state() == before
    assert containerd.left() == NOTHING
