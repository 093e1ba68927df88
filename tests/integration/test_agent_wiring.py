"""A pod's wire in real namespaces: what `ip` shows, what an undo leaves, what is never touched."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from netns_fixture import namespaces

from node_agent import ethtool, wiring
from node_agent.netns import NetNs, NotANamespace, run_in
from node_agent.nlmsg import NetlinkError
from node_agent.wiring import Attachment, InterfaceExists

ROUTER = "0e:57:65:66:74:01"
DUAL = Attachment(
    host_ifname="web-0a1b2c",
    ifname="eth0",
    mac="0a:58:0a:01:00:05",
    addresses=(ip_interface("10.1.0.5/32"), ip_interface("fd00:1::5/128")),
    gateways=(ip_address("10.1.0.1"), ip_address("fd00:1::1")),
    router_mac=ROUTER,
    mtu=1450,
    userspace_datapath=True,
)
ONLY_V4 = replace(DUAL, addresses=DUAL.addresses[:1], gateways=DUAL.gateways[:1])
ONLY_V6 = replace(DUAL, addresses=DUAL.addresses[1:], gateways=DUAL.gateways[1:])


@pytest.fixture
def pair():
    with namespaces("node", "pod") as (node, pod):
        yield node, pod


def create(node, pod, attachment=DUAL):
    with NetNs.open(pod.path) as netns:
        return node.run(lambda: wiring.create(attachment, netns))


def wire(node, pod, attachment=DUAL):
    with NetNs.open(pod.path) as netns:
        node.run(lambda: wiring.create(attachment, netns))
        node.run(lambda: wiring.configure(attachment, netns))


def settled(namespace, ifname, family):
    """(address, prefix length, flags) of what was given, without what the kernel makes by itself."""
    entries = namespace.show(f"-{family} addr show dev {ifname}")
    return [(i["local"], i["prefixlen"], i["scope"]) for entry in entries for i in entry["addr_info"]]


def test_the_pods_end_is_as_the_attachment_says(pair):
    node, pod = pair
    wire(node, pod)
    (eth0,) = pod.show("link show dev eth0")
    assert (eth0["address"], eth0["mtu"]) == ("0a:58:0a:01:00:05", 1450)
    assert {"UP", "LOWER_UP"} <= set(eth0["flags"])
    assert "UP" in pod.show("link show dev lo")[0]["flags"]


@pytest.mark.parametrize("attachment", [DUAL, ONLY_V4])
def test_the_hosts_end_is_up_and_mute(pair, attachment):
    node, pod = pair
    wire(node, pod, attachment)
    (host,) = node.show("addr show dev web-0a1b2c")
    assert host["mtu"] == 1450
    assert {"UP", "LOWER_UP", "NOARP"} <= set(host["flags"])
    assert host["addr_info"] == []
    assert node.command("cat", "/proc/sys/net/ipv6/conf/web-0a1b2c/disable_ipv6").strip() == "1"


def test_addresses_are_host_addresses_and_no_link_local_is_made(pair):
    node, pod = pair
    wire(node, pod)
    assert settled(pod, "eth0", 4) == [("10.1.0.5", 32, "global")]
    assert settled(pod, "eth0", 6) == [("fd00:1::5", 128, "global")]
    (info,) = (i for entry in pod.show("-6 addr show dev eth0") for i in entry["addr_info"])
    assert info["nodad"]
    assert "tentative" not in info


def test_routes_lead_through_the_gateway(pair):
    node, pod = pair
    wire(node, pod)
    routes4 = {(r["dst"], r.get("gateway"), r.get("scope")) for r in pod.show("-4 route show dev eth0")}
    assert routes4 == {("10.1.0.1", None, "link"), ("default", "10.1.0.1", "global")}
    routes6 = {(r["dst"], r.get("gateway")) for r in pod.show("-6 route show dev eth0") if r["protocol"] == "boot"}
    assert routes6 == {("fd00:1::1", None), ("default", "fd00:1::1")}


def test_the_gateways_neighbours_are_permanent(pair):
    node, pod = pair
    wire(node, pod)
    entries = {(n["dst"], n["lladdr"], tuple(n["state"])) for n in pod.show("neigh show dev eth0")}
    assert entries == {("10.1.0.1", ROUTER, ("PERMANENT",)), ("fd00:1::1", ROUTER, ("PERMANENT",))}


def test_ipv6_works_where_the_runtime_turned_it_off(pair):
    node, pod = pair
    pod.command("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    wire(node, pod)
    assert settled(pod, "eth0", 6) == [("fd00:1::5", 128, "global")]
    assert pod.command("cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").strip() == "0"


@pytest.mark.parametrize(("attachment", "absent"), [(ONLY_V4, 6), (ONLY_V6, 4)])
def test_a_single_family_leaves_the_other_alone(pair, attachment, absent):
    node, pod = pair
    wire(node, pod, attachment)
    others = [address for address in settled(pod, "eth0", absent) if address[2] == "global"]
    assert others == []
    assert not [r for r in pod.show(f"-{absent} route show dev eth0") if r["dst"] == "default"]


@pytest.mark.parametrize("userspace", [True, False])
def test_checksums_are_finished_by_the_kernel_only_for_a_userspace_datapath(pair, userspace):
    node, pod = pair
    wire(node, pod, replace(DUAL, userspace_datapath=userspace))
    said = f"tx-checksumming: {'off' if userspace else 'on'}"
    assert said in pod.command("ethtool", "-k", "eth0").splitlines()


def test_the_hosts_end_is_promiscuous_before_the_switch_opens_it(pair):
    node, pod = pair
    create(node, pod)
    (link,) = node.show("link show dev web-0a1b2c")
    assert "PROMISC" in link["flags"]


def test_an_offload_of_an_interface_that_is_not_there_is_an_error_that_names_it(pair):
    node, _ = pair
    with pytest.raises(OSError, match="offloads of nope0"):
        node.run(lambda: ethtool.set_gro("nope0", enabled=False))


def test_undo_takes_both_ends_away(pair):
    node, pod = pair
    undo = create(node, pod)
    node.run(undo)
    assert node.show("link show dev web-0a1b2c") == []
    assert pod.show("link show dev eth0") == []


def test_an_exit_stack_undoes_a_creation_when_a_later_step_fails(pair):
    node, pod = pair

    def attach():
        with NetNs.open(pod.path) as netns, ExitStack() as stack:
            stack.callback(wiring.create(DUAL, netns))
            raise RuntimeError("the database did not answer")

    with pytest.raises(RuntimeError):
        node.run(attach)
    assert node.show("link show dev web-0a1b2c") == []


def test_delete_of_nothing_succeeds(pair):
    node, pod = pair
    create(node, pod)
    assert node.run(lambda: wiring.exists("web-0a1b2c"))
    assert node.run(lambda: wiring.delete("web-0a1b2c")) is True
    assert node.run(lambda: wiring.delete("web-0a1b2c")) is False
    assert not node.run(lambda: wiring.exists("web-0a1b2c"))


def test_delete_takes_no_interface_that_is_not_a_pods(pair):
    node, _ = pair
    node.ip("link add eth0 type veth peer name other")
    assert node.run(lambda: wiring.delete("eth0")) is False
    assert node.show("link show dev eth0")


def test_an_interface_that_the_pod_has_already_is_an_error_and_untouched(pair):
    node, pod = pair
    pod.ip("link add eth0 type veth peer name other")
    before = pod.show("link show dev eth0")
    with pytest.raises(InterfaceExists, match=f"eth0 exists already in the pod's namespace {pod.path}"):
        create(node, pod)
    assert pod.show("link show dev eth0") == before
    assert node.show("link show dev web-0a1b2c") == []


def test_an_interface_that_the_node_has_already_is_an_error_and_untouched(pair):
    node, pod = pair
    node.ip("link add web-0a1b2c type veth peer name other")
    before = node.show("link show dev web-0a1b2c")
    with pytest.raises(InterfaceExists, match="web-0a1b2c exists already in the node's namespace"):
        create(node, pod)
    assert node.show("link show dev web-0a1b2c") == before
    assert pod.show("link show dev eth0") == []


def test_a_refusal_of_the_kernel_names_what_was_tried_and_leaves_nothing(pair):
    node, pod = pair
    with pytest.raises(NetlinkError, match="cannot create veth pair web-0a1b2c and eth0"):
        create(node, pod, replace(DUAL, mtu=20))
    assert node.show("link show dev web-0a1b2c") == []


def test_a_second_interface_leaves_the_first_its_default_route(pair):
    node, pod = pair
    second = replace(
        DUAL,
        host_ifname="web-ffffff",
        ifname="net1",
        mac="0a:58:0a:01:00:06",
        addresses=(ip_interface("10.1.0.6/32"), ip_interface("fd00:1::6/128")),
    )
    wire(node, pod)
    wire(node, pod, second)
    assert settled(pod, "net1", 4) == [("10.1.0.6", 32, "global")]
    for family in (4, 6):
        assert [r["dev"] for r in pod.show(f"-{family} route show default")] == ["eth0"]


def test_configuring_an_interface_that_is_gone_is_an_error_that_names_it(pair):
    node, pod = pair
    with (
        NetNs.open(pod.path) as netns,
        pytest.raises(NetlinkError, match=r"cannot configure eth0.*vanished from the pod"),
    ):
        node.run(lambda: wiring.configure(DUAL, netns))


def test_many_pods_at_a_time_do_not_get_in_each_others_way(pair):
    node, pod = pair
    attachments = [
        replace(DUAL, host_ifname=f"web-{n:06x}", ifname=f"eth{n}", addresses=(ip_interface(f"10.1.0.{n + 2}/32"),))
        for n in range(20)
    ]
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda attachment: wire(node, pod, attachment), attachments))
    assert len(node.run(wiring.host_interfaces)) == 20
    for n in range(20):
        assert settled(pod, f"eth{n}", 4) == [(f"10.1.0.{n + 2}", 32, "global")]


def test_all_pods_host_ends_can_be_found(pair):
    node, pod = pair
    node.ip("link add other0 type veth peer name other1")
    create(node, pod)
    create(node, pod, replace(DUAL, host_ifname="api-000000", ifname="eth1"))
    assert node.run(wiring.host_interfaces) == ("api-000000", "web-0a1b2c")


def test_a_path_that_is_no_network_namespace_says_what_it_is(tmp_path):
    file, fifo, sock = tmp_path / "file", tmp_path / "fifo", tmp_path / "socket"
    file.touch()
    os.mkfifo(fifo)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(sock))
        for path, found in (
            (file, "a regular file"),
            (fifo, "a FIFO"),
            (sock, "a socket"),
            (tmp_path, "a directory"),
            (tmp_path / "nothing", "missing"),
            (Path("/proc/self/ns/mnt"), "a mount namespace"),
            (Path("/dev/null"), "a character device"),
        ):
            with pytest.raises(NotANamespace, match=f"{path} is not a network namespace: it is {found}"):
                NetNs.open(str(path))


def test_a_namespace_is_the_same_by_whatever_path(pair):
    node, pod = pair
    with NetNs.open(pod.path) as a, NetNs.open(f"/run/../run/netns/{pod.name}") as b, NetNs.open(node.path) as c:
        assert a.same_as(b)
        assert not a.same_as(c)
        with run_in(a, NetNs.current) as inside, NetNs.current() as outside:
            assert inside.same_as(a)
            assert not outside.same_as(a)


def test_what_is_raised_inside_a_namespace_arrives_outside(pair):
    _, pod = pair
    with pytest.raises(ZeroDivisionError):
        pod.run(lambda: 1 // 0)


def test_a_namespace_that_cannot_be_entered_is_an_error_that_names_it(tmp_path):
    with closing(tmp_path.joinpath("file").open("w")) as file:
        wrong = NetNs(str(tmp_path), file.fileno())
        with pytest.raises(OSError, match=f"cannot enter the network namespace: .*{tmp_path}"):
            run_in(wrong, lambda: None)


def test_opening_leaves_no_descriptor_behind(tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(NotANamespace):
        NetNs.open(str(tmp_path))
    NetNs.current().close()
    assert set(os.listdir("/proc/self/fd")) == before
