"""What the node's side of the pod network shall be, and the difference from what is."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from node_agent.host import Found, HostConfig, HostRoute, RouteConflict, changes, desired
from node_agent.rtnl import Address, Link, Neighbour, Route

ROUTER, GATEWAY = "0e:57:65:66:74:01", "0e:57:65:66:74:02"
DUAL = HostConfig(
    gateway_ifname="weft-gw0",
    gateway_mac=GATEWAY,
    router_mac=ROUTER,
    mtu=1450,
    pod_cidrs=(ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")),
    remote_pod_cidrs=(ip_network("10.1.1.0/24"), ip_network("fd00:2::/64")),
)
LINK = Link(7, "weft-gw0", GATEWAY, 1450, up=True, arp=True, loopback=False, group=0)
READY = Found(
    LINK,
    addresses=(Address(7, ip_interface("10.1.0.1/32")), Address(7, ip_interface("fd00:1::1/128"))),
    routes=tuple(
        Route(7, ip_network(to), ip_address(via), ip_address(source), metric, protocol=87, onlink=True)
        for to, via, source, metric in (
            ("10.1.0.0/24", "10.1.0.0", "10.1.0.1", 0),
            ("10.1.1.0/24", "10.1.0.0", "10.1.0.1", 0),
            ("fd00:1::/64", "fd00:1::", "fd00:1::1", 1024),
            ("fd00:2::/64", "fd00:1::", "fd00:1::1", 1024),
        )
    ),
    neighbours=(Neighbour(7, ip_address("10.1.0.0"), ROUTER), Neighbour(7, ip_address("fd00:1::"), ROUTER)),
)


def what(found, config=DUAL):
    return [request.what for request in changes(desired(config), found)]


def test_addresses_are_host_addresses():
    assert desired(DUAL).addresses == (ip_interface("10.1.0.1/32"), ip_interface("fd00:1::1/128"))


def test_all_pods_are_behind_the_network_address_of_the_own_cidr():
    state = desired(DUAL)
    assert state.routes[:2] == (
        HostRoute(ip_network("10.1.0.0/24"), ip_address("10.1.0.0"), ip_address("10.1.0.1")),
        HostRoute(ip_network("10.1.1.0/24"), ip_address("10.1.0.0"), ip_address("10.1.0.1")),
    )
    assert state.neighbours == ((ip_address("10.1.0.0"), ROUTER), (ip_address("fd00:1::"), ROUTER))


def test_a_remote_cidr_of_a_family_the_node_has_not_is_left_out():
    state = desired(replace(DUAL, pod_cidrs=(ip_network("10.1.0.0/24"),)))
    assert [str(route.destination) for route in state.routes] == ["10.1.0.0/24", "10.1.1.0/24"]


def test_the_order_of_the_nodes_does_not_matter():
    turned = replace(DUAL, remote_pod_cidrs=DUAL.remote_pod_cidrs[::-1])
    assert desired(turned) == desired(DUAL)


@pytest.mark.parametrize(("version", "other"), [(4, "ipv6"), (6, "ipv4")])
def test_settings_of_a_family_that_is_not_used_are_left_alone(version, other):
    one = replace(DUAL, pod_cidrs=tuple(cidr for cidr in DUAL.pod_cidrs if cidr.version == version))
    assert not [key for key, _ in desired(one).sysctls if other in key]


def test_nothing_is_changed_when_all_is_right():
    assert what(READY) == []


def test_a_device_just_made_gets_everything_in_an_order_that_works():
    fresh = Found(replace(LINK, mac="aa:aa:aa:aa:aa:aa", mtu=1500, up=False), (), (), ())
    assert what(fresh) == [
        f"set MAC address of weft-gw0 to {GATEWAY}",
        "set MTU of weft-gw0 to 1450",
        "bring up weft-gw0",
        "add address 10.1.0.1/32 to weft-gw0",
        "add address fd00:1::1/128 to weft-gw0",
        f"set neighbour 10.1.0.0 at {ROUTER} dev weft-gw0",
        f"set neighbour fd00:1:: at {ROUTER} dev weft-gw0",
        "add route 10.1.0.0/24 via 10.1.0.0 dev weft-gw0",
        "add route 10.1.1.0/24 via 10.1.0.0 dev weft-gw0",
        "add route fd00:1::/64 via fd00:1:: dev weft-gw0",
        "add route fd00:2::/64 via fd00:1:: dev weft-gw0",
    ]


def test_a_node_that_left_loses_its_routes_only():
    gone = replace(DUAL, remote_pod_cidrs=())
    assert what(READY, gone) == [
        "delete route 10.1.1.0/24 via 10.1.0.0 dev weft-gw0",
        "delete route fd00:2::/64 via fd00:1:: dev weft-gw0",
    ]


def test_a_new_pod_cidr_takes_the_old_address_away_last():
    done = what(READY, replace(DUAL, pod_cidrs=(ip_network("10.9.0.0/24"), ip_network("fd00:1::/64"))))
    assert done[0] == "add address 10.9.0.1/32 to weft-gw0"
    assert done[-2:] == ["delete neighbour 10.1.0.0 dev weft-gw0", "delete address 10.1.0.1/32 from weft-gw0"]
    assert "delete route 10.1.0.0/24 via 10.1.0.0 dev weft-gw0" in done


def test_a_route_of_ours_that_is_wrong_is_replaced():
    wrong = replace(READY.routes[1], source=None)
    assert what(replace(READY, routes=(READY.routes[0], wrong, *READY.routes[2:]))) == [
        "delete route 10.1.1.0/24 via 10.1.0.0 dev weft-gw0",
        "add route 10.1.1.0/24 via 10.1.0.0 dev weft-gw0",
    ]


def test_routes_of_others_are_left_alone():
    other = Route(2, ip_network("172.16.0.0/12"), ip_address("192.0.2.1"), protocol=4)
    assert what(replace(READY, routes=(*READY.routes, other))) == []


def test_a_route_of_others_in_the_place_of_ours_is_an_error_that_names_it():
    other = Route(2, ip_network("10.1.1.0/24"), ip_address("192.0.2.1"), protocol=4)
    with pytest.raises(RouteConflict, match=r"10\.1\.1\.0/24 via 192\.0\.2\.1 \(interface index 2, protocol 4\)"):
        what(replace(READY, routes=(other,)))


def test_addresses_that_the_kernel_made_stay():
    local = Address(7, ip_interface("fe80::1/64"))
    group = Neighbour(7, ip_address("ff02::16"), "33:33:00:00:00:16")
    found = replace(READY, addresses=(*READY.addresses, local), neighbours=(*READY.neighbours, group))
    assert what(found) == []


def test_a_neighbour_with_another_mac_is_set_right():
    wrong = replace(READY.neighbours[0], mac="aa:aa:aa:aa:aa:aa")
    found = replace(READY, neighbours=(wrong, READY.neighbours[1]))
    assert what(found) == [f"set neighbour 10.1.0.0 at {ROUTER} dev weft-gw0"]
