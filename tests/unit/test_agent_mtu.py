"""The MTU of pods, and the interface it comes from."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from node_agent.mtu import MtuError, Uplink, find_uplink, overhead, pod_mtu
from node_agent.rtnl import Address, Link, Route

V4, V6, DUAL = frozenset({4}), frozenset({6}), frozenset({4, 6})


def link(index, name, mtu=1500, loopback=False):
    return Link(index, name, "", mtu, up=True, arp=True, loopback=loopback, group=0)


LO, ETH0, ETH1 = link(1, "lo", 65536, loopback=True), link(2, "eth0"), link(3, "eth1", 9000)


@pytest.mark.parametrize("tunnel", ["geneve", "vxlan"])
def test_a_tunnel_costs_50_bytes_over_ipv4_and_70_over_ipv6(tunnel):
    assert (overhead(tunnel, 4), overhead(tunnel, 6)) == (50, 70)


def test_pods_get_the_uplinks_mtu_less_the_overhead():
    assert pod_mtu(Uplink("eth0", 1500), "geneve", 4, DUAL) == 1450
    assert pod_mtu(Uplink("eth0", 9000), "vxlan", 6, V6) == 8930


def test_ipv6_pods_need_1280():
    assert pod_mtu(Uplink("eth0", 1330), "geneve", 4, DUAL) == 1280
    with pytest.raises(MtuError) as e:
        pod_mtu(Uplink("eth0", 1329), "geneve", 4, DUAL)
    assert str(e.value) == (
        "MTU 1329 of eth0 less 50 bytes for geneve over IPv4 leaves 1279, but IPv6 in pods needs at least 1280:"
        " raise the MTU of eth0 to 1330 or more"
    )


def test_ipv4_pods_alone_may_have_less():
    assert pod_mtu(Uplink("eth0", 1329), "geneve", 4, V4) == 1279
    with pytest.raises(MtuError, match="leaves 50, but IPv4 in pods needs at least 68"):
        pod_mtu(Uplink("eth0", 100), "geneve", 4, V4)


def test_the_uplink_is_the_interface_with_the_tunnel_address():
    addresses = [Address(2, ip_interface("192.0.2.1/24")), Address(3, ip_interface("198.51.100.1/24"))]
    assert find_uplink(ip_address("198.51.100.1"), [LO, ETH0, ETH1], addresses, []) == Uplink("eth1", 9000)


def test_an_ipv6_tunnel_address():
    addresses = [Address(2, ip_interface("2001:db8::1/64"))]
    assert find_uplink(ip_address("2001:db8::1"), [LO, ETH0], addresses, []) == Uplink("eth0", 1500)


def test_an_address_on_two_interfaces_counts_for_the_smaller_mtu():
    addresses = [Address(index, ip_interface("192.0.2.1/24")) for index in (2, 3)]
    assert find_uplink(ip_address("192.0.2.1"), [ETH1, ETH0], addresses, []) == Uplink("eth0", 1500)


def test_an_address_on_loopback_leaves_by_the_default_routes():
    everything = ip_network("0.0.0.0/0")
    routes = [
        Route(3, everything, gateway=ip_address("198.51.100.9")),
        Route(2, everything, gateway=ip_address("192.0.2.9"), priority=5),
        Route(4, ip_network("::/0"), gateway=ip_address("fe80::1")),
    ]
    links = [LO, ETH0, ETH1, link(4, "eth2", 1280)]
    found = find_uplink(ip_address("203.0.113.1"), links, [Address(1, ip_interface("203.0.113.1/32"))], routes)
    assert found == Uplink("eth0", 1500)


def test_an_address_on_loopback_and_no_default_route_is_an_error():
    with pytest.raises(MtuError, match=r"203\.0\.113\.1 is on the loopback interface, and there is no default route"):
        find_uplink(ip_address("203.0.113.1"), [LO], [Address(1, ip_interface("203.0.113.1/32"))], [])


def test_an_address_that_no_interface_has_is_an_error_that_lists_those_there_are():
    with pytest.raises(MtuError, match=r"tunnel address 192\.0\.2\.7; it has 192\.0\.2\.1"):
        find_uplink(ip_address("192.0.2.7"), [ETH0], [Address(2, ip_interface("192.0.2.1/24"))], [])
