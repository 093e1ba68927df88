"""Weft under a runtime that is not ours: containerd, by `ctr run --cni`, with go-cni and libcni inside."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest
from agent_fixture import NODE, Box, Node, Obj, agent_lab
from containerd_fixture import PAGE, WAIT, Container, Containerd, needs_containerd
from lab_fixture import pod, until, vsctl
from netpol_scenarios import labels, policy

from lab import netns
from lab.lab import Lab
from ovsdb.rows import PROGRAMMED

pytestmark = needs_containerd
GREETING = "hello\n"
FAMILIES = pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with agent_lab(f"t-ctr-{os.getpid()}", nodes=2) as lab:
        yield lab


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    with Node(lab) as node:
        yield node


@pytest.fixture(scope="module")
def pair(lab: Lab, containerd: Containerd) -> Iterator[tuple[Container, Container]]:
    """A container that serves PAGE, and one that does nothing."""
    server, client = lab.apply([labelled("server"), labelled("client")])
    with containerd.run(server) as serving, containerd.run(client, "sleep", "3600") as asking:
        yield serving, asking


def labelled(name: str) -> Obj:
    """A pod that has its name as a label, too."""
    made = pod(name, NODE)
    made["metadata"]["labels"] = {"app": name}
    return made


def addresses(container: Container) -> tuple[str, str]:
    """IPv4 and IPv6, as libcni's cache has them."""
    entry = container.containerd.cached_of(f"{container.space}-{container.name}")
    ips = [each["address"].partition("/")[0] for each in entry["result"]["ips"]]
    return ips[0], ips[1]


def url(address: str, port: int = 80) -> str:
    return f"http://[{address}]:{port}/" if ip_address(address).version == 6 else f"http://{address}:{port}/"


def fetched(container: Container, address: str, port: int = 80) -> tuple[int, str, str]:
    """Exit status, page and complaint of a wget in a container."""
    done = container.call("wget", "-q", "-O", "-", url(address, port))
    return done.returncode, done.stdout, done.stderr


def test_the_pod_has_the_addresses_that_libcni_and_the_switch_have(
    pair: tuple[Container, Container], containerd: Containerd, node: Node
) -> None:
    server, _ = pair
    result = containerd.cached_of("default-server")["result"]
    port = result["interfaces"][0]["name"]
    assert server.addresses() == {each["address"] for each in result["ips"]}
    assert dict(node.rows())[port] == ",".join(addresses(server))
    assert port in node.devices()
    assert vsctl(node.lab, NODE, "get", "Port", port, f"external_ids:{PROGRAMMED}").strip() == "default-server"


@FAMILIES
def test_containers_of_one_node_reach_each_other(pair: tuple[Container, Container], family: int) -> None:
    server, client = pair
    address = addresses(server)[family]
    assert "1 packets received" in client.output("ping", "-c", "1", "-W", "5", address)
    assert fetched(client, address) == (0, PAGE, "")
    status, page, complaint = fetched(client, address, 81)
    assert (status, page) == (1, "")
    assert "refused" in complaint


@FAMILIES
def test_a_container_and_a_pod_of_another_node_reach_each_other(
    pair: tuple[Container, Container], elsewhere: Box, family: int
) -> None:
    server, client = pair
    there, here = elsewhere.addresses()[family].partition("/")[0], addresses(server)[family]
    assert elsewhere.output("curl", "-sS", "-m", "5", url(here)) == PAGE
    assert "1 packets received" in client.output("ping", "-c", "1", "-W", "5", there)
    assert greeted(elsewhere, there, client) == addresses(client)[family]


def greeted(box: Box, address: str, client: Container) -> str:
    """Where the connection comes from on which a container reads GREETING from a pod."""
    version = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    listener = netns.run_in(box.path, lambda: socket.create_server((address, 0), family=version))
    listener.settimeout(WAIT)
    with listener, ThreadPoolExecutor(1) as thread:
        source = thread.submit(greet, listener)
        assert client.output("nc", "-w", "5", address, str(listener.getsockname()[1])) == GREETING
        return source.result(WAIT)


def greet(listener: socket.socket) -> str:
    peer, source = listener.accept()
    with peer:
        peer.sendall(GREETING.encode())
    return str(source[0])


@FAMILIES
def test_a_policy_is_in_force_for_a_container(
    pair: tuple[Container, Container], elsewhere: Box, lab: Lab, family: int
) -> None:
    server, client = pair
    address = addresses(server)[family]
    only_client = policy(
        "default", podSelector=labels(app="server"), ingress=[{"from": [{"podSelector": labels(app="client")}]}]
    )
    lab.apply([only_client])
    try:
        until(lambda: elsewhere.output("curl", "-s", "-m", "1", url(address)) == "", "the policy is in force", WAIT)
        assert fetched(client, address) == (0, PAGE, "")
    finally:
        lab.delete([only_client])
    until(lambda: elsewhere.output("curl", "-s", "-m", "1", url(address)) == PAGE, "the policy is gone", WAIT)


def test_nothing_is_left_of_a_container(containerd: Containerd, node: Node) -> None:
    """`ctr` calls DEL when the container and its network namespace are gone, with an empty CNI_NETNS."""
    known = node.know("short-lived")
    before, cached = node.state(), containerd.cached()
    with containerd.run(known, "sleep", "60"):
        assert len(node.state().devices) == len(before.devices) + 1
        assert len(containerd.cached()) == len(cached) + 1
    node.back_at(before)
    assert containerd.cached() == cached


def test_without_an_identity_ctr_says_what_is_missing(containerd: Containerd, node: Node) -> None:
    before, cached = node.state(), containerd.cached()
    assert "K8S_POD_NAMESPACE and K8S_POD_NAME" in containerd.refused("nobody", {})
    assert node.state() == before
    assert containerd.cached() == cached
