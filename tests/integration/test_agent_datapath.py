"""Wiring and the node's side on a real userspace datapath: packets arrive whole, and come back after a crash.

The flows are three lines made here, not Weft's pipeline: this is about the edges of the switch.
"""

import signal
import socket
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from netns_fixture import Namespace, link, namespaces
from ovs_fixture import PrivateOvs, private_ovs

from node_agent import ethtool, host, nft, transport, wiring
from node_agent.netns import NetNs

ROUTER, GATEWAY = "0e:57:65:66:74:01", "0e:57:65:66:74:02"
CIDRS = (ip_network("10.1.0.0/24"), ip_network("fd00:1::/64"))
CONFIG = host.HostConfig("weft-gw0", GATEWAY, ROUTER, 1450, CIDRS)
GATEWAYS = (ip_address("10.1.0.1"), ip_address("fd00:1::1"))
PAYLOAD = bytes(range(256)) * 4096  # 1 MiB: many segments, so that segmentation and checksums matter


@dataclass(frozen=True)
class Node:
    ovs: PrivateOvs
    namespace: Namespace
    pods: tuple[Namespace, Namespace]

    def program(self):
        """Send each address to its port, with its MAC."""
        ends = [(1, GATEWAY, GATEWAYS), *((n, _mac(n), _addresses(n)) for n in (2, 3))]
        for port, mac, addresses in ends:
            for ip in addresses:
                match = f"ip,nw_dst={ip}" if ip.version == 4 else f"ipv6,ipv6_dst={ip}"
                self.ovs.ofctl("add-flow", "br-int", f"{match},actions=mod_dl_dst:{mac},output:{port}")

    def apply(self):
        return self.namespace.run(lambda: host.apply(host.desired(CONFIG)))


def _mac(n):
    return f"0a:58:0a:01:00:0{n}"


def _addresses(n):
    return ip_address(f"10.1.0.{n}"), ip_address(f"fd00:1::{n}")


def _wire(ovs, pod, n):
    name = f"pod{n}-00000{n}"
    attachment = wiring.Attachment(
        name,
        "eth0",
        _mac(n),
        tuple(map(ip_interface, _addresses(n))),
        GATEWAYS,
        ROUTER,
        1450,
        userspace_datapath=True,
    )
    with NetNs.open(pod.path) as netns:
        Namespace(ovs.netns).run(lambda: wiring.create(attachment, netns))
        wiring.configure(attachment, netns)
    ovs.vsctl("add-port", "br-int", name, "--", "set", "Interface", name, f"ofport_request={n}")


def add_gateway(ovs):
    ovs.vsctl(
        "add-port", "br-int", "weft-gw0", "--", "set", "Interface", "weft-gw0",
        "type=internal", "ofport_request=1", f'mac="{GATEWAY}"', "mtu_request=1450",
    )  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with private_ovs(tmp_path_factory.mktemp("ovs")) as ovs, namespaces("a", "b") as pods:
        ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail_mode=secure")
        add_gateway(ovs)
        for n, pod in enumerate(pods, 2):
            _wire(ovs, pod, n)
        made = Node(ovs, Namespace(ovs.netns), pods)
        rules = nft.render(nft.Ruleset("weft-gw0", CIDRS, wiring.POD_GROUP))
        made.namespace.run(lambda: nft.apply(rules))
        made.apply()
        made.program()
        yield made


def transfer(source, target, ip):
    """What arrives over TCP of PAYLOAD, and the address that it seems to come from."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with ExitStack() as stack:
        listener = stack.enter_context(closing(target.run(lambda: socket.create_server((str(ip), 0), family=family))))
        listener.settimeout(10)
        address = (str(ip), listener.getsockname()[1])
        client = stack.enter_context(closing(source.run(lambda: socket.create_connection(address, timeout=10))))
        server, peer = listener.accept()
        stack.enter_context(closing(server))
        server.settimeout(10)
        sender = threading.Thread(target=_send, args=(client,))
        sender.start()
        stack.callback(sender.join)
        return b"".join(iter(lambda: server.recv(65536), b"")), peer[0]


def _send(client):
    client.sendall(PAYLOAD)
    client.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_pod_to_pod(node, family):
    received, sender = transfer(node.pods[0], node.pods[1], _addresses(3)[family])
    assert received == PAYLOAD
    assert sender == str(_addresses(2)[family])


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_node_to_pod(node, family):
    received, sender = transfer(node.namespace, node.pods[0], _addresses(2)[family])
    assert received == PAYLOAD
    assert sender == str(GATEWAYS[family])


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_pod_to_node(node, family):
    received, sender = transfer(node.pods[0], node.namespace, GATEWAYS[family])
    assert received == PAYLOAD
    assert sender == str(_addresses(2)[family])


def test_the_gateway_set_up_twice_is_set_up_once(node):
    assert node.apply() == ()


def test_the_gateway_outlives_a_switch_that_is_killed(node):
    node.ovs.restart_vswitchd(signal.SIGKILL)
    assert node.apply() == ()
    node.program()
    _reachable(node)


def test_the_gateway_is_set_up_again_when_its_port_was_made_anew(node):
    node.ovs.vsctl("del-port", "weft-gw0")
    with pytest.raises(host.DeviceMissing):
        node.apply()
    add_gateway(node.ovs)
    assert "add address 10.1.0.1/32 to weft-gw0" in node.apply()
    _reachable(node)


def _reachable(node):
    for ip in _addresses(2):
        assert transfer(node.namespace, node.pods[0], ip)[0] == PAYLOAD


def test_a_transport_interface_works_through_its_bridge_and_without_it_again(tmp_path):
    with private_ovs(tmp_path) as ovs, namespaces("peer") as (peer,):
        node = Namespace(ovs.netns)
        link(node, "eth0", peer, "eth0")
        _address(node, 1)
        _address(peer, 2)
        # What a neighbour on a wire does anyway: finish checksums before the packet leaves.
        peer.run(lambda: ethtool.set_tx_checksum("eth0", enabled=False))
        moved = transport.Transport("eth0", "br-phy", node.run(lambda: transport.snapshot("eth0")))
        node.run(lambda: nft.apply(nft.render(nft.Ruleset("weft-gw0", CIDRS, wiring.POD_GROUP, ("eth0",)))))
        mac = node.show("link show dev eth0")[0]["address"]
        hwaddr = f'other_config:hwaddr="{mac}"'
        ovs.vsctl("add-br", "br-phy", "--", "set", "Bridge", "br-phy", "datapath_type=netdev", hwaddr)
        ovs.vsctl("add-port", "br-phy", "eth0")
        node.run(lambda: transport.attach_transport(moved))
        _both_ways(node, peer)

        ovs.vsctl("del-br", "br-phy")
        node.run(nft.remove)
        node.run(lambda: transport.detach_transport(moved))
        _both_ways(node, peer)


def _address(namespace, n):
    namespace.ip(f"addr add 192.0.2.{n}/24 dev eth0")
    namespace.ip(f"addr add 2001:db8::{n}/64 dev eth0 nodad")


def _both_ways(node, peer):
    for network in ("192.0.2.", "2001:db8::"):
        assert transfer(peer, node, ip_address(f"{network}1"))[0] == PAYLOAD
        assert transfer(node, peer, ip_address(f"{network}2"))[0] == PAYLOAD
