"""Traffic through the node's nftables rules: what leaves the cluster is masqueraded, what OVS owns is silent.

A pod's namespace stands where Open vSwitch would be: behind `weft-gw0`, answering for the router's MAC.
"""

import json
import socket
from contextlib import closing
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from netns_fixture import link, namespaces

from node_agent import host, nft, wiring
from node_agent.host import HostConfig
from node_agent.netns import NetNs

ROUTER, GATEWAY = "0e:57:65:66:74:01", "0e:57:65:66:74:02"
CIDRS = (ip_network("10.1.0.0/24"), ip_network("fd00:1::/64"))
RULES = nft.Ruleset("weft-gw0", CIDRS, wiring.POD_GROUP)
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture
def world():
    """pod -- weft-gw0 node eth0 -- outside, with forwarding and the rules in place."""
    with namespaces("pod", "node", "outside") as (pod, node, outside):
        link(node, "weft-gw0", pod, "eth0")
        link(node, "eth0", outside, "eth0")
        _pod(pod)
        config = HostConfig("weft-gw0", GATEWAY, ROUTER, 1450, CIDRS)
        node.run(lambda: host.apply(host.desired(config)))
        for prefix, end in ((node, 1), (outside, 2)):
            prefix.ip(f"addr add 192.0.2.{end}/24 dev eth0")
            prefix.ip(f"addr add 2001:db8::{end}/64 dev eth0 nodad")
        outside.ip("link set lo up")
        node.run(lambda: nft.apply(nft.render(RULES)))
        yield pod, node, outside


def _pod(pod):
    pod.ip(f"link set eth0 address {ROUTER} mtu 1450")
    for address, gateway in (("10.1.0.5/32", "10.1.0.1"), ("fd00:1::5/128", "fd00:1::1")):
        pod.ip(f"addr add {address} dev eth0" + (" nodad" if ":" in address else ""))
        pod.ip(f"route add {gateway} dev eth0")
        pod.ip(f"route add default via {gateway} dev eth0")
        pod.ip(f"neigh replace {gateway} lladdr {GATEWAY} dev eth0 nud permanent")


def listen(namespace, version):
    """A UDP socket in a namespace, bound to any address; its receives are bounded."""

    def bound():
        listener = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        listener.settimeout(2)
        listener.bind(("", 0))
        return listener

    return closing(namespace.run(bound))


def send(namespace, destination, port):
    version = ip_address(destination).version

    def now():
        with socket.socket(FAMILIES[version], socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", (destination, port))

    namespace.run(now)


def sender_seen(source, target, destination):
    """The source address with which a datagram arrives."""
    with listen(target, ip_address(destination).version) as listener:
        send(source, destination, listener.getsockname()[1])
        return listener.recvfrom(100)[1][0]


@pytest.mark.parametrize(("destination", "seen"), [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")])
def test_what_leaves_the_cluster_has_the_nodes_address(world, destination, seen):
    pod, _, outside = world
    assert sender_seen(pod, outside, destination) == seen


@pytest.mark.parametrize(("destination", "seen"), [("10.1.0.1", "10.1.0.5"), ("fd00:1::1", "fd00:1::5")])
def test_the_node_itself_sees_the_pods_address(world, destination, seen):
    pod, node, _ = world
    assert sender_seen(pod, node, destination) == seen


@pytest.mark.parametrize(("destination", "seen"), [("10.1.0.5", "10.1.0.1"), ("fd00:1::5", "fd00:1::1")])
def test_pods_see_the_nodes_gateway_address(world, destination, seen):
    pod, node, _ = world
    assert sender_seen(node, pod, destination) == seen


def test_what_comes_from_outside_to_a_pod_keeps_its_address(world):
    pod, _, outside = world
    outside.ip("route add 10.1.0.0/24 via 192.0.2.1")
    assert sender_seen(outside, pod, "10.1.0.5") == "192.0.2.2"


def test_every_rule_has_a_counter_and_a_comment(world):
    pod, node, outside = world
    sender_seen(pod, outside, "192.0.2.2")
    listing = json.loads(node.command("nft", "-j", "list", "table", "inet", "weft"))
    rules = [entry["rule"] for entry in listing["nftables"] if "rule" in entry]
    counters = [e["counter"]["packets"] for rule in rules for e in rule["expr"] if "counter" in e]
    assert all(rule["comment"] for rule in rules)
    assert counters == [0, 0, 1, 0]


def test_twice_is_once(world):
    _, node, _ = world
    before = node.command("nft", "-s", "list", "ruleset")
    node.run(lambda: nft.apply(nft.render(RULES)))
    assert node.command("nft", "-s", "list", "ruleset") == before


def test_rules_of_others_stay(world):
    _, node, _ = world
    node.command("nft", "add", "table", "inet", "other")
    node.run(lambda: nft.apply(nft.render(RULES)))
    node.run(nft.remove)
    assert node.command("nft", "list", "tables").split() == ["table", "inet", "other"]


def test_remove_of_nothing_succeeds(world):
    _, node, _ = world
    node.run(nft.remove)
    node.run(nft.remove)


def test_a_text_that_nft_refuses_changes_nothing(world):
    _, node, _ = world
    before = node.command("nft", "-s", "list", "ruleset")
    with pytest.raises(nft.NftError, match="syntax error"):
        node.run(lambda: nft.apply(nft.render(RULES) + "nonsense\n"))
    assert node.command("nft", "-s", "list", "ruleset") == before


def test_a_pod_that_addresses_the_hosts_end_of_its_veth_reaches_nothing():
    """With a userspace datapath the node's own stack sees what comes out of the veth."""
    attachment = wiring.Attachment(
        "evil-000000", "eth0", "0a:58:0a:01:00:06",
        (ip_interface("10.1.0.6/32"),), (ip_address("10.1.0.1"),), ROUTER, 1450, userspace_datapath=True,
    )  # fmt: skip
    with namespaces("pod", "node") as (pod, node):
        node.ip("tuntap add weft-gw0 mode tap")
        node.run(lambda: host.apply(host.desired(HostConfig("weft-gw0", GATEWAY, ROUTER, 1450, CIDRS))))
        with NetNs.open(pod.path) as netns:
            node.run(lambda: wiring.create(attachment, netns))
            wiring.configure(attachment, netns)
        mac = node.show("link show dev evil-000000")[0]["address"]
        pod.ip(f"neigh replace 10.1.0.1 lladdr {mac} dev eth0 nud permanent")
        assert sender_seen(pod, node, "10.1.0.1") == "10.1.0.6", "without the rules it would get through"
        node.run(lambda: nft.apply(nft.render(RULES)))
        with pytest.raises(TimeoutError):
            sender_seen(pod, node, "10.1.0.1")


def test_no_pod_reaches_the_loopback_addresses_of_the_node(world):
    """With route_localnet, which portmap and kube-proxy set, the kernel alone would let it."""
    pod, node, _ = world
    node.ip("link set lo up")
    node.command("sysctl", "-w", "net.ipv4.conf.weft-gw0.route_localnet=1")
    pod.command("sysctl", "-w", "net.ipv4.conf.all.route_localnet=1")
    pod.ip("route add 127.0.0.9/32 via 10.1.0.1 dev eth0 src 10.1.0.5")
    with pytest.raises(TimeoutError):
        sender_seen(pod, node, "127.0.0.9")
    node.run(nft.remove)
    assert sender_seen(pod, node, "127.0.0.9") == "10.1.0.5", "without the rules it would get through"


def test_nft_missing_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(nft.NftError, match="install the package nftables"):
        nft.remove()
