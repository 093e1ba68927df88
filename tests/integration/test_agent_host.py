"""The node's side of the pod network in real namespaces, with a TAP device as the gateway interface."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from netns_fixture import namespaces

from node_agent import host
from node_agent.host import DeviceMissing, HostConfig, RouteConflict

ROUTER, GATEWAY = "0e:57:65:66:74:01", "0e:57:65:66:74:02"
DUAL = HostConfig(
    gateway_ifname="weft-gw0",
    gateway_mac=GATEWAY,
    router_mac=ROUTER,
    mtu=1450,
    pod_cidrs=(ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")),
    remote_pod_cidrs=(ip_network("10.1.1.0/24"), ip_network("fd00:2::/64")),
)


@pytest.fixture
def node():
    with namespaces("node") as (namespace,):
        add_gateway(namespace)
        yield namespace


def add_gateway(namespace):
    namespace.ip("tuntap add weft-gw0 mode tap")


def apply(namespace, config=DUAL):
    return namespace.run(lambda: host.apply(host.desired(config)))


def ours(namespace):
    """(destination, gateway, preferred source) of every route of ours, both families."""
    return {
        (r["dst"], r["gateway"], r["prefsrc"])
        for family in (4, 6)
        for r in namespace.show(f"-{family} route show proto {host.ROUTE_PROTOCOL}")
    }


def addresses(namespace, ifname="weft-gw0"):
    shown = namespace.show(f"addr show dev {ifname}")
    return {f"{i['local']}/{i['prefixlen']}" for entry in shown for i in entry["addr_info"] if i}


def sysctl(namespace, key):
    return namespace.command("cat", f"/proc/sys/net/{key}").strip()


def state(namespace):
    """Everything on the node that Weft may touch."""
    commands = ("addr show", "-4 route show table all", "-6 route show table all", "neigh show")
    shown = [namespace.show(command) for command in commands]
    return [[{k: v for k, v in entry.items() if k not in ("expires", "cache")} for entry in part] for part in shown]


def test_a_device_just_made_gets_everything(node):
    apply(node)
    (gw,) = node.show("link show dev weft-gw0")
    assert (gw["address"], gw["mtu"], "UP" in gw["flags"]) == (GATEWAY, 1450, True)
    assert addresses(node) == {"10.1.0.1/32", "fd00:1::1/128"}
    assert ours(node) == {
        ("10.1.0.0/24", "10.1.0.0", "10.1.0.1"),
        ("10.1.1.0/24", "10.1.0.0", "10.1.0.1"),
        ("fd00:1::/64", "fd00:1::", "fd00:1::1"),
        ("fd00:2::/64", "fd00:1::", "fd00:1::1"),
    }
    neighbours = {(n["dst"], n["lladdr"]) for n in node.show("neigh show dev weft-gw0 nud permanent")}
    assert neighbours == {("10.1.0.0", ROUTER), ("fd00:1::", ROUTER)}


def test_the_kernel_sends_for_pods_through_the_gateway(node):
    apply(node)
    for destination, source in (("10.1.1.9", "10.1.0.1"), ("fd00:2::9", "fd00:1::1")):
        (way,) = node.show(f"route get {destination}")
        assert (way["dev"], way["prefsrc"]) == ("weft-gw0", source)


def test_forwarding_is_on_and_the_gateway_takes_packets_from_anywhere(node):
    apply(node)
    assert sysctl(node, "ipv4/ip_forward") == "1"
    assert sysctl(node, "ipv6/conf/all/forwarding") == "1"
    assert sysctl(node, "ipv4/conf/weft-gw0/rp_filter") == "2"
    assert sysctl(node, "ipv6/conf/weft-gw0/accept_ra") == "0"


def test_twice_is_once(node):
    assert apply(node)
    before = state(node)
    assert apply(node) == ()
    assert state(node) == before


def test_what_was_done_is_said(node):
    done = apply(node)
    assert "set sysctl net/ipv4/ip_forward to 1" in done
    assert "add route 10.1.1.0/24 via 10.1.0.0 dev weft-gw0" in done


def test_a_device_made_anew_gets_everything_again(node):
    apply(node)
    node.ip("link del weft-gw0")
    assert ours(node) == set()
    add_gateway(node)
    apply(node)
    assert len(ours(node)) == 4
    assert addresses(node) == {"10.1.0.1/32", "fd00:1::1/128"}


def test_a_missing_device_is_an_error_that_names_it_and_changes_nothing(node):
    node.ip("link del weft-gw0")
    before = sysctl(node, "ipv4/ip_forward")
    with pytest.raises(DeviceMissing, match=r"configure weft-gw0: No such device .is ovs-vswitchd running"):
        apply(node)
    assert sysctl(node, "ipv4/ip_forward") == before


def test_nodes_come_and_go(node):
    apply(node)
    more = replace(DUAL, remote_pod_cidrs=(ip_network("10.1.2.0/24"), ip_network("fd00:2::/64")))
    assert sorted(apply(node, more)) == [
        "add route 10.1.2.0/24 via 10.1.0.0 dev weft-gw0",
        "delete route 10.1.1.0/24 via 10.1.0.0 dev weft-gw0",
    ]
    assert {to for to, _, _ in ours(node)} == {"10.1.0.0/24", "10.1.2.0/24", "fd00:1::/64", "fd00:2::/64"}


def test_hundreds_of_nodes(node):
    remotes = tuple(ip_network(f"10.{2 + n // 250}.{n % 250}.0/24") for n in range(500))
    apply(node, replace(DUAL, remote_pod_cidrs=remotes))
    assert len(ours(node)) == 502
    assert apply(node, replace(DUAL, remote_pod_cidrs=remotes)) == ()
    apply(node)
    assert len(ours(node)) == 4


def test_a_new_pod_cidr_replaces_the_old_one(node):
    apply(node)
    apply(node, replace(DUAL, pod_cidrs=(ip_network("10.9.0.0/24"), ip_network("fd00:9::/64"))))
    assert addresses(node) == {"10.9.0.1/32", "fd00:9::1/128"}
    assert ("10.1.1.0/24", "10.9.0.0", "10.9.0.1") in ours(node)
    assert {n["dst"] for n in node.show("neigh show dev weft-gw0 nud permanent")} == {"10.9.0.0", "fd00:9::"}


@pytest.mark.parametrize("version", [4, 6])
def test_a_single_family(node, version):
    one = replace(DUAL, pod_cidrs=tuple(cidr for cidr in DUAL.pod_cidrs if cidr.version == version))
    apply(node, one)
    assert {ip_network(to).version for to, _, _ in ours(node)} == {version}
    assert apply(node, one) == ()


def test_a_damaged_state_is_repaired(node):
    apply(node)
    right = state(node)
    node.ip("addr del 10.1.0.1/32 dev weft-gw0")
    node.ip("neigh del fd00:1:: dev weft-gw0")
    node.ip("link set weft-gw0 mtu 1500")
    apply(node)
    assert addresses(node) == {"10.1.0.1/32", "fd00:1::1/128"}
    assert len(ours(node)) == 4
    assert state(node)[3] == right[3]
    assert node.show("link show dev weft-gw0")[0]["mtu"] == 1450


def test_a_route_of_somebody_else_in_the_way_is_an_error_and_nothing_changes(node):
    node.ip("link add eth0 type veth peer name eth0-peer")
    node.ip("link set eth0 up")
    node.ip("route add 10.1.1.0/24 dev eth0 proto static")
    before = state(node)
    with pytest.raises(RouteConflict, match=r"10\.1\.1\.0/24"):
        apply(node)
    assert state(node) == before
    assert sysctl(node, "ipv4/ip_forward") == "0"


def test_router_advertisements_still_count_when_forwarding_is_turned_on(node):
    node.ip("link add eth0 type veth peer name eth1")
    node.command("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_ra=1", "net.ipv6.conf.eth1.accept_ra=0")
    apply(node)
    assert sysctl(node, "ipv6/conf/eth0/accept_ra") == "2"
    assert sysctl(node, "ipv6/conf/eth1/accept_ra") == "0"
    assert apply(node) == ()


def test_remove_undoes_all_and_twice_is_once(node):
    node.ip("link set lo up")
    apply(node)
    node.ip("route add 172.16.0.0/12 dev weft-gw0 proto static")
    assert node.run(lambda: host.remove(DUAL))
    assert ours(node) == set()
    assert addresses(node) & {"10.1.0.1/32", "fd00:1::1/128"} == set()
    assert node.show("neigh show dev weft-gw0 nud permanent") == []
    assert node.run(lambda: host.remove(DUAL)) == ()


def test_remove_leaves_the_routes_of_others(node):
    node.ip("link add eth0 type veth peer name eth0-peer")
    node.ip("link set eth0 up")
    node.ip("route add 172.16.0.0/12 dev eth0 proto static")
    apply(node)
    node.run(lambda: host.remove(DUAL))
    assert [r["dst"] for r in node.show("-4 route show proto static")] == ["172.16.0.0/12"]


def test_remove_without_the_device_succeeds(node):
    apply(node)
    node.ip("link del weft-gw0")
    assert node.run(lambda: host.remove(DUAL)) == ()


def test_the_ranges_in_use_are_those_that_were_applied(node):
    assert node.run(host.pod_cidrs) == ()
    node.ip("link set lo up")
    apply(node)
    node.ip("route add 172.16.0.0/12 dev weft-gw0 proto static")
    assert node.run(host.pod_cidrs) == DUAL.pod_cidrs
    apply(node, replace(DUAL, pod_cidrs=DUAL.pod_cidrs[1:]))
    assert node.run(host.pod_cidrs) == DUAL.pod_cidrs[1:]
