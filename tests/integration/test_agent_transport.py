"""The uplink handed to a bridge and back: same addresses, same routes, whenever the agent dies in between."""

from ipaddress import ip_interface

import pytest
from netns_fixture import link, namespaces

from node_agent import ethtool, transport
from node_agent.netlink import Netlink
from node_agent.nlmsg import NetlinkError
from node_agent.transport import Addressing, AddressingError, Transport


@pytest.fixture
def node():
    """A node with an uplink as DHCP and a router would leave it, and a TAP device as br-phy."""
    with namespaces("node", "peer") as (node, peer):
        link(node, "eth0", peer, "eth0")
        node.ip("addr add 192.0.2.1/24 dev eth0")
        node.ip("addr add 2001:db8::1/64 dev eth0 nodad")
        node.ip("route add 203.0.113.7 dev eth0")
        node.ip("route add default via 192.0.2.254 dev eth0 metric 100")
        node.ip("route add 198.51.100.0/24 via 192.0.2.253 dev eth0 src 192.0.2.1")
        node.ip("route add default via fe80::1 dev eth0")
        node.ip("route add 2001:db8:9::/64 via 2001:db8::fe dev eth0")
        add_bridge(node)
        yield node


def add_bridge(node):
    node.ip("tuntap add br-phy mode tap")


def snapshot(node, ifname="eth0"):
    return node.run(lambda: transport.snapshot(ifname))


def attach(node, addressing):
    return node.run(lambda: transport.attach_transport(Transport("eth0", "br-phy", addressing)))


def detach(node, addressing):
    return node.run(lambda: transport.detach_transport(Transport("eth0", "br-phy", addressing)))


def given_routes(node, ifname):
    """Routes on an interface but the kernel's own, in the order of `ip route`."""
    return [
        (r["dst"], r.get("gateway"), r.get("prefsrc"), r.get("metric"))
        for family in (4, 6)
        for r in node.show(f"-{family} route show dev {ifname}")
        if r.get("protocol") != "kernel"
    ]


def addresses(node, ifname):
    shown = node.show(f"addr show dev {ifname} scope global")
    return {f"{i['local']}/{i['prefixlen']}" for entry in shown for i in entry["addr_info"] if i}


BOTH = {"192.0.2.1/24", "2001:db8::1/64"}


def test_a_snapshot_has_what_was_configured_and_not_what_the_kernel_made(node):
    found = snapshot(node)
    assert set(found.addresses) == {ip_interface(ip) for ip in BOTH}
    assert sorted(str(route) for route in found.routes) == [
        "0.0.0.0/0 via 192.0.2.254",
        "198.51.100.0/24 via 192.0.2.253",
        "2001:db8:9::/64 via 2001:db8::fe",
        "203.0.113.7/32",
        "::/0 via fe80::1",
    ]


def test_a_snapshot_survives_being_stored(node):
    found = snapshot(node)
    assert Addressing.parse(found.to_text()) == found


def test_attaching_moves_everything(node):
    before = given_routes(node, "eth0")
    attach(node, snapshot(node))
    assert addresses(node, "br-phy") == BOTH
    assert addresses(node, "eth0") == set()
    assert given_routes(node, "br-phy") == before
    assert given_routes(node, "eth0") == []


def test_the_interface_is_quiet_while_it_is_attached(node):
    attach(node, snapshot(node))
    assert "NOARP" in node.show("link show dev eth0")[0]["flags"]
    assert node.run(lambda: ethtool.gro("eth0")) is False


def test_the_bridge_takes_the_interfaces_mac_address(node):
    attach(node, snapshot(node))
    assert node.show("link show dev br-phy")[0]["address"] == node.show("link show dev eth0")[0]["address"]


def test_attaching_twice_is_attaching_once(node):
    stored = snapshot(node)
    attach(node, stored)
    assert attach(node, stored) == ()


def test_a_bridge_made_anew_gets_everything_again(node):
    before = given_routes(node, "eth0")
    stored = snapshot(node)
    attach(node, stored)
    node.ip("link del br-phy")
    add_bridge(node)
    attach(node, stored)
    assert addresses(node, "br-phy") == BOTH
    assert given_routes(node, "br-phy") == before


def test_detaching_gives_everything_back(node):
    before = given_routes(node, "eth0")
    stored = snapshot(node)
    attach(node, stored)
    detach(node, stored)
    assert addresses(node, "eth0") == BOTH
    assert addresses(node, "br-phy") == set()
    assert given_routes(node, "eth0") == before
    assert "NOARP" not in node.show("link show dev eth0")[0]["flags"]
    assert snapshot(node) == stored
    assert detach(node, stored) == ()


def test_detaching_works_when_the_bridge_is_gone(node):
    stored = snapshot(node)
    attach(node, stored)
    node.ip("link del br-phy")
    detach(node, stored)
    assert snapshot(node) == stored


def test_dying_after_any_step_does_no_harm(node, monkeypatch):
    """Each request alone may be the last one; attaching again completes the work."""
    stored, before = snapshot(node), given_routes(node, "eth0")
    real = Netlink.execute

    class DiedError(Exception):
        pass

    for steps in range(20):

        def execute(self, requests, left=[steps]):  # noqa: B006 - one counter per life of the agent
            for request in requests:
                if left[0] == 0:
                    raise DiedError
                left[0] -= 1
                real(self, [request])

        monkeypatch.setattr(Netlink, "execute", execute)
        try:
            attach(node, stored)
            break
        except DiedError:
            monkeypatch.setattr(Netlink, "execute", real)
            assert addresses(node, "eth0") | addresses(node, "br-phy") == BOTH
            attach(node, stored)
            assert (addresses(node, "br-phy"), addresses(node, "eth0")) == (BOTH, set())
            assert given_routes(node, "br-phy") == before
            detach(node, stored)
            assert given_routes(node, "eth0") == before
    else:
        pytest.fail("attaching took more than 20 steps")


def test_router_advertisements_are_heeded_on_the_bridge(node):
    node.command("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_ra=1")
    attach(node, snapshot(node))
    assert node.command("cat", "/proc/sys/net/ipv6/conf/br-phy/accept_ra").strip() == "2"


def test_a_missing_interface_or_bridge_is_an_error_that_names_it(node):
    stored = snapshot(node)
    node.ip("link del br-phy")
    with pytest.raises(NetlinkError, match="cannot use br-phy as transport"):
        attach(node, stored)
    with pytest.raises(NetlinkError, match="cannot use eth9 as transport"):
        snapshot(node, "eth9")
    assert addresses(node, "eth0") == BOTH


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "{}", '{"addresses": ["x"], "routes": []}', '{"addresses": [], "routes": [["::/0"]]}'],
)
def test_a_stored_text_that_does_not_parse_is_an_error(text):
    with pytest.raises(AddressingError, match="do not parse"):
        Addressing.parse(text)
