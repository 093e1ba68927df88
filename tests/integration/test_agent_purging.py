"""A switch whose flows have changed forwards by them and by nothing older, once the agent has had it purged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from openflow_frames import Datagram, Port
from ovs_fixture import PrivateOvs, private_ovs
from version_fixture import running_version

from node_agent.bridge import NodeBridge
from node_agent.purger import Purger
from ovsdb.appctl import rundir_of, version
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import Purging, datapath_id, parse_purging
from ovsdb.schema import OWN, WATCH
from ovsdb.setup import BridgeConfig, TunnelConfig, needs_purge
from ovsdb.watch import BridgeWatch

WAIT = 10.0
BRIDGE = "br-int"
CONFIG = BridgeConfig(
    name=BRIDGE,
    node="n1",
    version="0.1.0",
    datapath_id=datapath_id("n1"),
    datapath_type="netdev",
    controllers=(),
    tunnel=TunnelConfig(),
    gateway_mac="0e:57:65:66:74:02",
    mtu=1400,
)
HAS_THE_DEFECT = "3.1.0"
SOURCE, OTHER, TARGET, SIX = "10.0.0.1", "10.0.0.2", "10.0.9.9", ("fd00::1", "fd00::2")
SILENCE_SECONDS = 0.3
_numbers = count(1)


@dataclass
class Node:
    """A switch, what the agent runs on it, and the controller's hand in its database; `near` and `far` are ports 11
    and 12."""

    ovs: PrivateOvs
    bridge: NodeBridge
    purger: Purger
    controller: BridgeWatch
    near: Port
    far: Port

    def delivers(self, source: str, target: str = TARGET) -> bool:
        """Whether a datagram gets from the near port to the far one."""
        payload = f"number {next(_numbers)}".encode()
        self.near.send(Datagram("50:54:00:00:00:09", "50:54:00:00:00:0a", source, target, 1, 2, payload).frame())
        return self.far.datagram(payload, SILENCE_SECONDS) is not None

    def flow(self, verb: str, *flow: str) -> None:
        """Change flows, and wait until the switch has worked all datapath flows out anew.

        A round may have begun before the change; the one after it has not.
        """
        self.ovs.ofctl(verb, BRIDGE, *flow)
        for _ in range(2):
            self.ovs.appctl("revalidator/wait")

    def purging(self) -> Purging:
        ids = self.ovs.vsctl("--bare", "--columns=external_ids", "list", "Bridge", BRIDGE)
        return parse_purging(dict(each.split("=", 1) for each in ids.split()))

    def purged(self) -> int:
        """Ask as the controller does, and wait until the agent says that it is done; the number."""
        asked = self.controller.ask_purge()
        assert asked is not None
        number = asked.result(WAIT)
        until(lambda: self.purging().served == number, f"purge {number} served")
        return number


def until(ask: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not ask():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


@contextmanager
def running_node(root: Path) -> Iterator[Node]:
    with private_ovs(root) as ovs, OvsdbLoop() as loop, ExitStack() as stack:
        purger = Purger(rundir_of(ovs.remote), lambda number: bridge.set_purged(number))
        bridge = NodeBridge(loop.session(ovs.remote, OWN), BRIDGE, purger.take)
        controller = BridgeWatch(loop.session(ovs.remote, WATCH), BRIDGE, lambda _: None)
        ovs.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=100")  # ms from round to round
        purger.start()
        stack.callback(purger.stop)
        bridge.start()
        controller.start()
        bridge.ensure(CONFIG).result(WAIT)
        bridge.wait_ready(WAIT)
        near, far = (stack.enter_context(_port(ovs, number)) for number in (1, 2))
        yield Node(ovs, bridge, purger, controller, near, far)


def _port(ovs: PrivateOvs, number: int) -> Port:
    """A veth whose one end has this OpenFlow number, and its other end."""
    ours, theirs = f"p{number}", f"q{number}"
    ovs.ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
    for device in (ours, theirs):
        ovs.run("sysctl", "-q", "-w", f"net.ipv6.conf.{device}.disable_ipv6=1")
        ovs.ip("link", "set", device, "up")
    ovs.vsctl("add-port", BRIDGE, ours, "--", "set", "Interface", ours, f"ofport_request={10 + number}")
    return Port(ovs.netns, theirs)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("purging")) as made:
        yield made


@pytest.fixture
def overlapping(node: Node) -> Node:
    """Two datapath flows overlap: one of packets from one source, the other of packets from anywhere."""
    node.flow("del-flows")
    node.flow("add-flow", "priority=1,ip,actions=12")
    # Which of two is found first depends on which mask is older. This one has the mask of the wider flow.
    node.flow("add-flow", "priority=1,ipv6,actions=12")
    assert node.delivers(*SIX)
    node.flow("add-flow", f"priority=2,ip,nw_src={SOURCE},actions=12")
    assert node.delivers(SOURCE)
    node.flow("del-flows", f"ip,nw_src={SOURCE}")
    assert node.delivers(OTHER)
    return node


def deny_all(node: Node) -> None:
    """Nothing may pass any more, and who sends matters again: the wider datapath flow is too wide then."""
    node.flow("add-flow", "priority=30000,actions=drop")
    node.flow("add-flow", "priority=40000,ip,nw_src=10.0.0.3,actions=drop")


def test_after_a_purge_nothing_passes_that_is_denied(overlapping: Node) -> None:
    deny_all(overlapping)
    passed = overlapping.delivers(SOURCE)
    running = version(overlapping.ovs.root)
    if running == HAS_THE_DEFECT:
        assert passed, "this release has the defect"
    if not needs_purge("netdev", running):
        assert not passed, "this release should not have the defect"
    overlapping.purged()
    assert not overlapping.delivers(SOURCE)
    assert not overlapping.delivers(OTHER)


def test_after_a_purge_what_is_allowed_passes(overlapping: Node) -> None:
    deny_all(overlapping)
    overlapping.purged()
    overlapping.flow("add-flow", "priority=50000,ip,actions=12")
    overlapping.purged()
    assert overlapping.delivers(SOURCE)
    assert overlapping.delivers(OTHER)


def test_numbers_go_up_by_one(node: Node) -> None:
    first = node.purged()
    assert [node.purged(), node.purged()] == [first + 1, first + 2]


def test_numbers_go_on_from_what_is_there(node: Node) -> None:
    node.ovs.vsctl("set", "Bridge", BRIDGE, "external_ids:weft-purge=41")
    until(lambda: node.purging() == Purging(needed=True, asked=41, served=41), "request 41 served")
    assert node.purged() == 42
    node.ovs.vsctl("set", "Bridge", BRIDGE, "external_ids:weft-purge=nonsense")
    until(lambda: node.purging() == Purging(needed=True, asked=0, served=0), "no number served")
    assert node.purged() == 1


def test_requests_that_wait_for_the_database_are_one_and_come_when_it_is_back(node: Node) -> None:
    before = node.purged()
    node.ovs.stop("ovsdb-server")
    first = node.controller.ask_purge()
    assert [node.controller.ask_purge() for _ in range(3)] == [None, None, None]
    node.ovs.db_socket.unlink(missing_ok=True)
    node.ovs.start_ovsdb()
    assert first is not None
    assert first.result(WAIT) == before + 1
    until(lambda: node.purging().served == before + 1, "served")


def test_a_switch_that_was_down_is_served_when_it_is_asked_again(node: Node) -> None:
    before = node.purged()
    node.ovs.stop("ovs-vswitchd")
    asked = node.controller.ask_purge()
    assert asked is not None
    assert asked.result(WAIT) == before + 1
    node.ovs.start_vswitchd()
    assert node.purged() == before + 2


def test_the_need_is_said_and_goes_with_an_upgrade_of_the_switch(node: Node) -> None:
    assert node.purging().needed
    for newer, needed in (("3.3.0", False), ("3.2.4", True), ("4.0.1", False)):
        with running_version(node.ovs.root, newer):
            node.bridge.ensure(CONFIG).result(WAIT)
        assert node.purging().needed == needed
    node.bridge.ensure(CONFIG).result(WAIT)
    assert node.purging().needed


def test_no_need_is_said_of_the_kernels_datapath(tmp_path: Path) -> None:
    with private_ovs(tmp_path) as ovs, OvsdbLoop() as loop:
        bridge = NodeBridge(loop.session(ovs.remote, OWN), BRIDGE)
        bridge.start()
        bridge.ensure(replace(CONFIG, datapath_type="system")).result(WAIT)
        assert "weft-node=n1" in (ids := ovs.vsctl("--bare", "--columns=external_ids", "list", "Bridge", BRIDGE))
        assert "weft-needs-purge" not in ids
