"""The keeper on a real switch: whatever is damaged by hand is whole again after one round, and the rest is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from keeper_fixture import PEER, ROUTE, V4, VIEW, Host, host

from node_agent.view import NodeView
from ovsdb.rows import AttachmentKey, PodPort

Damage = Callable[[Host], object]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with host(tmp_path_factory.mktemp("keeper")) as made:
        made.kept()
        yield made


@pytest.fixture(scope="module")
def whole(node: Host) -> dict[str, object]:
    """The node with everything in order."""
    return node.look()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Host]:
    """A node on which nothing was kept yet."""
    with host(tmp_path) as made:
        yield made


def test_a_second_round_changes_nothing(node: Host) -> None:
    before = node.look()
    assert node.kept() == 0
    assert node.look() == before


def test_an_agent_that_starts_again_changes_nothing_but_replaces_its_rules(node: Host) -> None:
    before = node.look()
    node.restart_agent()
    assert node.kept() == 1
    assert node.look() == before
    assert node.kept() == 0


def _ip(arguments: str) -> Damage:
    return lambda node: node.space.ip(arguments)


def _vsctl(arguments: str) -> Damage:
    return lambda node: node.ovs.vsctl(*arguments.split())


def _run(arguments: str) -> Damage:
    return lambda node: node.ovs.run(*arguments.split())


DAMAGES: dict[str, Damage] = {
    "the gateway's IPv4 address": _ip("addr del 10.244.1.1/32 dev weft-gw0"),
    "the gateway's IPv6 address": _ip("addr del fd57:244:0:1::1/128 dev weft-gw0"),
    "every address of the gateway": _ip("addr flush dev weft-gw0"),
    "an address added": _ip("addr add 10.9.9.9/32 dev weft-gw0"),
    "a route to the node's pods": _ip("route del 10.244.1.0/24"),
    "a route to another node's pods": _ip("-6 route del fd57:244:0:2::/64"),
    "a route to a node that is gone": _ip("route add 10.244.77.0/24 via 10.244.1.0 dev weft-gw0 onlink proto 87"),
    "the router's neighbour entry": _ip("neigh del 10.244.1.0 dev weft-gw0"),
    "another MAC in it": _ip("neigh replace fd57:244:0:1:: lladdr 02:00:00:00:00:01 dev weft-gw0 nud permanent"),
    "a neighbour added": _ip("neigh add 10.244.1.9 lladdr 02:00:00:00:00:01 dev weft-gw0 nud permanent"),
    "the gateway down": _ip("link set weft-gw0 down"),
    "the gateway's MAC": _ip("link set weft-gw0 address 02:00:00:00:00:01"),
    "the nftables table": _run("nft delete table inet weft"),
    "every nftables rule": _run("nft flush ruleset"),
    "a chain emptied": _run("nft flush chain inet weft prerouting"),
    "a rule of others in our table": _run("nft add rule inet weft postrouting counter drop"),
    "IPv4 forwarding": _run("sysctl -q -w net.ipv4.ip_forward=0"),
    "IPv6 forwarding": _run("sysctl -q -w net.ipv6.conf.all.forwarding=0"),
    "strict reverse path": _run("sysctl -q -w net.ipv4.conf.weft-gw0.rp_filter=1"),
    "the transport's address": _ip("addr del 192.0.2.1/24 dev br-phy"),
    "the transport's route": _ip(f"route del {ROUTE}"),
    "the transport down": _ip("link set br-phy down"),
    "the uplink answering ARP": _ip("link set eth1 arp on"),
    "the uplink's address back": _ip("addr add 192.0.2.1/24 dev eth1"),
    "the controllers": _vsctl("set-controller br-int tcp:192.0.2.66:6653"),
    "no controller": _vsctl("del-controller br-int"),
    "a controller in band": _vsctl("set controller br-int connection_mode=in-band"),
    "fail mode": _vsctl("set-fail-mode br-int standalone"),
    "OpenFlow versions": _vsctl("set bridge br-int protocols=OpenFlow10"),
    "the datapath id": _vsctl("set bridge br-int other_config:datapath-id=0000000000000001"),
    "the node's name": _vsctl("remove bridge br-int external_ids weft-node"),
    "the tunnel's options": _vsctl("set interface weft-tun0 options:remote_ip=192.0.2.2"),
    "the tunnel": _vsctl("del-port weft-tun0"),
    "the gateway": _vsctl("del-port weft-gw0"),
    "the uplink off its bridge": _vsctl("del-port eth1"),
    "the bridge": _vsctl("del-br br-int"),
    "the transport bridge": _vsctl("del-br br-phy"),
    "both bridges": _vsctl("del-br br-int -- del-br br-phy"),
}


MADE_BY_THE_SWITCH = ("the transport bridge", "both bridges")
"""Here the switch has to make a device first, and the round that finds none yet is followed by another."""


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_repaired_within_one_round(node: Host, whole: dict[str, object], what: str) -> None:
    DAMAGES[what](node)
    assert node.look() != whole
    if what in MADE_BY_THE_SWITCH:
        rounds_until_whole(node)
    else:
        node.kept()
    assert settled(node, whole) == whole
    assert node.kept() == 0


def settled(node: Host, expected: object) -> object:
    """What there is once the switch has done what its database says, or after some seconds."""
    deadline = time.monotonic() + 5
    while (seen := node.look()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def test_a_gateway_device_that_was_deleted_is_made_again(node: Host) -> None:
    """The switch does not notice; its port has to be made anew, which takes more than one round."""
    before = node.look()
    node.space.ip("link del weft-gw0")
    rounds_until_whole(node)
    assert node.look() == before


@pytest.mark.parametrize("daemon", ["ovs-vswitchd", "ovsdb-server"])
def test_open_vswitch_that_starts_again_is_filled_again(node: Host, daemon: str) -> None:
    before = node.look()
    if daemon == "ovs-vswitchd":
        stop_with_devices(node)
        node.ovs.start_vswitchd()
    else:
        node.ovs.restart_ovsdb()
    rounds_until_whole(node)
    assert settled(node, before) == before


def stop_with_devices(node: Host) -> None:
    """End the switch, and with it its devices and what is on them, as a reboot or another release of it may."""
    node.ovs.stop("ovs-vswitchd")
    for name in ("weft-gw0", "br-phy", "br-int"):
        node.space.ip(f"link del {name}")


def test_a_database_that_hangs_is_told(node: Host) -> None:
    before = node.look()
    pid = node.ovs.pid("ovsdb-server")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert node.kept() == 0  # there is nothing to write, so nobody has to answer
        node.restart_agent()
        node.keep()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert node.keeper.problem == "no answer from Open vSwitch's database within 5 s: not connected yet"
    rounds_until_whole(node)
    assert node.look() == before


def rounds_until_whole(node: Host) -> None:
    deadline = time.monotonic() + 15
    while node.keep() or node.keeper.problem:
        assert time.monotonic() < deadline, node.keeper.problem
        time.sleep(0.1)


def test_the_datapath_knows_the_way_to_tunnel_peers_also_after_it_started_again(node: Host) -> None:
    for _ in range(2):
        node.ovs.restart_vswitchd()
        assert str(PEER) not in node.ovs.appctl("tnl/neigh/show")
        node.keeper.switch_restarted()
        rounds_until_whole(node)
        assert knows_peer(node)


def knows_peer(node: Host) -> bool:
    """The kernel's question and the peer's answer have passed the datapath, or do so within some seconds."""
    deadline = time.monotonic() + 10
    while str(PEER) not in node.ovs.appctl("tnl/neigh/show"):
        assert time.monotonic() < deadline, "the datapath does not know its tunnel peer"
        time.sleep(0.05)
    return True


# What is left alone.


def test_ports_of_others_are_left_alone(node: Host) -> None:
    node.ovs.vsctl("add-port", "br-int", "theirs", "--", "set", "interface", "theirs", "type=internal")
    try:
        assert node.kept() == 0
        assert "theirs" in node.ovs.vsctl("list-ports", "br-int").split()
    finally:
        node.ovs.vsctl("del-port", "theirs")


def test_routes_rules_and_bridges_of_others_are_left_alone(node: Host) -> None:
    node.space.ip("route add 203.0.113.0/24 via 192.0.2.2")
    node.ovs.run("nft", "add table inet theirs")
    node.ovs.vsctl("add-br", "br-theirs", "--", "set", "bridge", "br-theirs", "datapath_type=netdev")
    before = node.look()
    try:
        assert node.kept() == 0
        node.ovs.run("nft", "delete", "table", "inet", "weft")
        assert node.kept() == 1
        assert sorted(str(node.look()["rules"]).split()) == sorted(str(before["rules"]).split())
        assert "203.0.113.0/24" in str(node.routes())
    finally:
        node.space.ip("route del 203.0.113.0/24")
        node.ovs.run("nft", "delete table inet theirs")
        node.ovs.vsctl("del-br", "br-theirs")


def test_a_route_of_others_where_pods_are_is_told_and_left_alone(node: Host) -> None:
    node.space.ip("route del 10.244.2.0/24")
    node.space.ip("route add 10.244.2.0/24 via 192.0.2.2")
    try:
        node.keep()
        assert "10.244.2.0/24" in node.keeper.problem
        assert ("10.244.2.0/24", "192.0.2.2", "br-phy") in node.routes()
    finally:
        node.space.ip("route del 10.244.2.0/24")
    node.kept()


# What the Node says.


def test_a_node_without_a_range_has_a_bridge_and_no_network(fresh: Host) -> None:
    problem = "Node n1: spec.podCIDRs is empty"
    fresh.keep(NodeView(problem=problem))
    assert (fresh.keeper.problem, fresh.keeper.network) == (problem, None)
    assert fresh.ovs.vsctl("list-ports", "br-int").split() == ["weft-gw0", "weft-tun0"]
    fresh.kept()
    assert fresh.keeper.network is not None
    assert fresh.device("weft-gw0")["addresses"] == ["10.244.1.1/32", "fd57:244:0:1::1/128"]


def test_another_range_replaces_the_first(node: Host) -> None:
    before = node.look()
    node.kept(replace(VIEW, pod_cidrs=(ip_network("10.99.0.0/24"),), remote_pod_cidrs=()))
    assert node.device("weft-gw0")["addresses"] == ["10.99.0.1/32"]
    assert [route for route in node.routes() if route[2] == "weft-gw0"] == [("10.99.0.0/24", "10.99.0.0", "weft-gw0")]
    assert "10.99.0.0/24" in str(node.look()["rules"])
    assert V4.with_prefixlen not in str(node.look()["rules"])
    node.kept()
    assert node.look() == before


NO_RANGE = NodeView(problem="Node n1: spec.podCIDRs is empty")
OTHER = replace(VIEW, pod_cidrs=(ip_network("10.99.0.0/24"),))
WEB = PodPort("web-1a2b3c", AttachmentKey("weft", "c0ffee", "eth0"), "default", "web", "", "0a:58:0a:f4:01:05",
              (ip_address("10.244.1.5"),), "/run/netns/web")  # fmt: skip


def test_a_range_that_goes_leaves_everything_as_it_is_also_over_a_restart(node: Host) -> None:
    before = node.look()
    for _ in range(2):
        node.keep(NO_RANGE)
        assert node.keeper.problem == NO_RANGE.problem
        assert node.look() == before
        node.restart_agent()
    node.kept()
    assert node.look() == before


def test_what_is_damaged_while_there_is_no_range_is_repaired_as_it_was(node: Host) -> None:
    """Masquerading above all: pods of the old range still talk to the world."""
    before = node.look()
    node.ovs.run("nft", "flush", "ruleset")
    node.ovs.vsctl("del-controller", "br-int")
    node.keep(NO_RANGE)
    assert node.look() == before
    node.kept()


def test_a_range_that_pods_contradict_waits_for_them(node: Host) -> None:
    node.bridge.add_port(WEB).result(10)
    before = node.look()
    try:
        node.keep(OTHER)
        assert "spec.podCIDRs is 10.99.0.0/24 now, and 1 of its pods" in node.keeper.problem
        assert "default/web" in node.keeper.problem
        assert node.look() == before
    finally:
        node.bridge.del_port(WEB.name).result(10)
    node.kept(OTHER)
    assert node.device("weft-gw0")["addresses"] == ["10.99.0.1/32"]
    assert node.keeper.network is not None
    assert node.keeper.network.pools.cidrs == OTHER.pod_cidrs
    node.kept()


def test_a_range_does_not_wait_for_pods_that_a_reboot_took(fresh: Host) -> None:
    fresh.kept()
    fresh.bridge.add_port(WEB).result(10)  # a row whose device is gone
    fresh.restart_agent()
    fresh.keep(OTHER)
    fresh.kept(OTHER)
    assert fresh.device("weft-gw0")["addresses"] == ["10.99.0.1/32"]


def test_the_cluster_is_told_once_and_again_when_it_lost_it(node: Host) -> None:
    node.restart_agent()
    node.annotations.clear()
    node.kept()
    assert set(node.annotations) == {f"weft.dev/{key}" for key in ("tunnel-ip", "ovsdb", "datapath-id", "mtu")}
    said = dict(node.annotations)
    node.annotations.clear()
    node.kept(replace(VIEW, annotations=said))
    assert node.annotations == {}
    node.kept(replace(VIEW, annotations={**said, "weft.dev/mtu": "9000"}))
    assert node.annotations == {"weft.dev/mtu": said["weft.dev/mtu"]}


def test_an_api_that_is_away_stops_nothing_here(node: Host) -> None:
    before = node.look()
    node.api_is_up = False
    try:
        node.ovs.run("nft", "flush", "ruleset")
        node.space.ip("addr flush dev weft-gw0")
        node.keep()
        assert "the API does not answer" in node.keeper.problem
        assert node.look() == before
        assert node.keeper.network is not None
    finally:
        node.api_is_up = True
    node.kept()


# The transport's addresses.


def test_the_uplinks_addresses_survive_an_agent_killed_between_write_and_move(fresh: Host) -> None:
    """The switch hangs, so what was written down cannot be moved yet; then the agent is killed."""
    fresh.ovs.stop("ovs-vswitchd")
    fresh.keep()
    assert "br-phy" in fresh.keeper.problem or "br-int" in fresh.keeper.problem
    written = fresh.bridge.transport_addressing("br-phy").result(10)
    assert "192.0.2.1/24" in written
    assert fresh.device("eth1")["addresses"] == ["192.0.2.1/24", "2001:db8::1/64"]
    fresh.restart_agent()
    fresh.ovs.start_vswitchd()
    rounds_until_whole(fresh)
    assert_moved(fresh)


def test_the_uplinks_addresses_survive_an_agent_killed_in_the_middle_of_the_move(fresh: Host) -> None:
    """New before old: at the worst both devices have them, or the old one lacks some."""
    fresh.kept()
    fresh.space.ip("addr add 192.0.2.1/24 dev eth1")
    fresh.space.ip("addr del 2001:db8::1/64 dev br-phy")
    fresh.space.ip(f"route del {ROUTE}")
    fresh.restart_agent()
    fresh.kept()
    assert_moved(fresh)


def test_the_uplinks_addresses_survive_a_switch_that_takes_its_devices_with_it(fresh: Host) -> None:
    fresh.kept()
    stop_with_devices(fresh)
    fresh.restart_agent()
    fresh.ovs.start_vswitchd()
    rounds_until_whole(fresh)
    assert_moved(fresh)


def test_an_address_that_the_uplink_gets_later_moves_too(fresh: Host) -> None:
    fresh.kept()
    fresh.space.ip("addr add 203.0.113.5/24 dev eth1")
    fresh.kept()
    assert fresh.device("eth1")["addresses"] == []
    assert "203.0.113.5/24" in fresh.device("br-phy")["addresses"]
    fresh.restart_agent()
    fresh.kept()
    assert "203.0.113.5/24" in fresh.device("br-phy")["addresses"]


def assert_moved(node: Host) -> None:
    assert node.device("eth1")["addresses"] == []
    assert node.device("br-phy")["addresses"] == ["192.0.2.1/24", "2001:db8::1/64"]
    assert (ROUTE, str(PEER), "br-phy") in node.routes()
    assert node.device("br-phy")["mac"] == node.device("eth1")["mac"]
