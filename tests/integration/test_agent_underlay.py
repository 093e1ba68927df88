"""The uplink of a node whose kernel forwards, as the agent finds it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from netns_fixture import Namespace, link, namespaces

from node_agent.mtu import MtuError
from node_agent.settings import AgentSettings
from node_agent.underlay import Underlay, UnderlayError

UPLINK_MTU = 1400
OVERHEAD = {4: 50, 6: 70}  # Geneve without options, by the family of the outer header


@pytest.fixture
def node() -> Iterator[Namespace]:
    with namespaces("node", "peer") as (node, peer):
        link(node, "eth0", peer, "eth0")
        node.ip(f"link set eth0 mtu {UPLINK_MTU}")
        node.ip("addr add 192.0.2.1/24 dev eth0")
        node.ip("addr add 2001:db8::1/64 dev eth0 nodad")
        yield node


def read(node: Namespace, *internal_ips: str) -> Underlay:
    underlay = Underlay(AgentSettings(node_name="n1", api_server="http://127.0.0.1:1"))
    node.run(lambda: underlay.read(tuple(map(ip_address, internal_ips)), ""))
    return underlay


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_the_interface_with_the_nodes_address_sets_the_pods_mtu(node: Namespace, ip: str) -> None:
    underlay = read(node, ip)
    assert underlay.tunnel_ip == ip_address(ip)
    assert underlay.pod_mtu(()) == UPLINK_MTU - OVERHEAD[ip_address(ip).version]
    assert (underlay.transport(), underlay.switched_interfaces()) == (None, ())


def test_an_address_that_no_interface_has_is_told_with_those_there_are(node: Namespace) -> None:
    with pytest.raises(MtuError, match=r"no interface of this node has the tunnel address 192\.0\.2\.2; it has 192"):
        read(node, "192.0.2.2")


def test_a_node_without_an_address_is_told_what_to_give(node: Namespace) -> None:
    with pytest.raises(UnderlayError, match="give the setting tunnel-ip"):
        read(node)
