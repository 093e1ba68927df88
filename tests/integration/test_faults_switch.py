"""ovs-vswitchd dies and comes back: forwarding returns by itself, and no forged packet finds a gap."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest
from forge_fixture import Frame, Sender, Wire, frames, gratuitous_arp, listener, mac_of, wire
from lab_fixture import end, flows, in_node, node_config, pod, rows, run, running_lab, settled, until
from stream_fixture import End, Repeater, stream

from lab import names, netns
from lab.bringup import vswitchd
from lab.lab import Lab
from openflow.constants import GATEWAY_MAC, ROUTER_MAC

BACK_SECONDS = 5.0  # the bar
TRUTH_SECONDS = 5.0
ROUNDS = 20  # of every lie, in each phase of the fault

OUTSIDE = ("192.0.2.9", "2001:db8::9")
_INDEX = re.compile(r"^\d+: ")
NOWHERE = ("0.0.0.0", "::", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    pods = (pod("liar", "node1"), pod("near", "node1"), pod("far", "node2"))
    with running_lab("t-switch", *pods) as lab:
        settled(lab)
        yield lab


@dataclass(frozen=True)
class Scene:
    """The liar's socket with what it says, and every place where a lie could come out. `truths`: by the place where
    they must."""

    lies: tuple[Frame, ...]
    truths: dict[str, tuple[Frame, ...]]
    mouth: Wire
    nets: dict[str, Wire]
    heard: dict[str, set[str]]

    def lie(self) -> None:
        for frame in self.lies:
            self.mouth.send(frame)

    def caught_lies(self) -> dict[str, set[str]]:
        """By the place where they came out, since the beginning."""
        self._listen()
        told = {frame.name for frame in self.lies}
        return {place: found & told for place, found in self.heard.items() if found & told}

    def hear_truths(self) -> None:
        """Every net catches what the switch lets through to it: else that it caught no lie would mean nothing."""
        truths = {place: {frame.name for frame in said} for place, said in self.truths.items()}
        assert truths.keys() == self.nets.keys()
        for place, expected in truths.items():
            self.heard[place] -= expected
        for frame in dict.fromkeys(frame for said in self.truths.values() for frame in said):
            self.mouth.send(frame)

        def missing() -> dict[str, set[str]]:
            self._listen()
            return {place: lack for place, expected in truths.items() if (lack := expected - self.heard[place])}

        deadline = time.monotonic() + TRUTH_SECONDS
        while missing() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert missing() == {}

    def _listen(self) -> None:
        for place, net in self.nets.items():
            self.heard[place] |= net.caught()


@pytest.fixture
def scene(lab: Lab) -> Iterator[Scene]:
    liar, near, far = (end(lab, name) for name in ("liar", "near", "far"))
    mine = Sender(mac_of(liar.namespace, "eth0"), liar.ips)
    places = _places(lab, near, far)
    with ExitStack() as stack:
        nets = _nets(lab, stack, near, far)
        yield Scene(
            lies=tuple(_lies(lab, mine, (near, far), sorted({ip for ips in places.values() for ip in ips}))),
            truths={place: tuple(frames("truth", mine, ips)) for place, ips in places.items()},
            mouth=stack.enter_context(wire(liar.namespace, "eth0")),
            nets=nets,
            heard={place: set() for place in nets},
        )


def _places(lab: Lab, near: End, far: End) -> dict[str, tuple[str, ...]]:
    """The addresses at which a net is to be found. The gateway's are the node's own, so both see what is for them."""
    world = tuple(str(i.address) for i in names.gateway_interfaces(lab.config.family))
    own = (*_gateways(lab, 1), *_host(lab, 1))
    other = _host(lab, 2)
    return {"near": near.ips, "far": far.ips, "gateway": own, "node1": own, "node2": other, "outside": world}


def _gateways(lab: Lab, node: int) -> tuple[str, ...]:
    return tuple(str(cidr.network_address + 1) for cidr in names.pod_cidrs(node, lab.config.family))


def _host(lab: Lab, node: int) -> tuple[str, ...]:
    """A node's addresses for people and the API."""
    return tuple(str(i.address) for i in names.host_interfaces(names.Underlay.MANAGEMENT, node, lab.config.family))


def _nets(lab: Lab, stack: ExitStack, near: End, far: End) -> dict[str, Wire]:
    node1, node2 = (node_config(lab, name).namespace for name in ("node1", "node2"))
    outside = netns.path_of(names.underlay_namespace(lab.config.name))
    nets = {each.name: stack.enter_context(wire(each.namespace, "eth0")) for each in (near, far)}
    nets["gateway"] = stack.enter_context(wire(node1, "weft-gw0"))
    stacks = {"node1": node1, "node2": node2, "outside": outside}
    return nets | {name: stack.enter_context(listener(space)) for name, space in stacks.items()}


def _lies(lab: Lab, mine: Sender, others: tuple[End, ...], targets: Iterable[str]) -> Iterator[Frame]:
    near, _ = others
    everywhere = (*targets, *_gateways(lab, 2))
    for mac in (mac_of(near.namespace, "eth0"), ROUTER_MAC, GATEWAY_MAC, "0a:00:00:00:00:99"):
        yield from frames("forged MAC", Sender(mac, mine.ips), everywhere)
        yield gratuitous_arp(mac, mine.ips[0], f"forged MAC: ARP {mac}")
    # The kernel of the node would take what is addressed to the veth's own end, whether the switch lives or not.
    for to in (ROUTER_MAC, mac_of(node_config(lab, "node1").namespace, _port(lab, "liar"))):
        for ips in (*(other.ips for other in others), _gateways(lab, 1), _host(lab, 1), OUTSIDE, NOWHERE):
            yield from frames("forged IP", Sender(mine.mac, ips, to), everywhere)
    for ips in (near.ips, _gateways(lab, 1)):
        yield gratuitous_arp(mine.mac, ips[0], f"forged IP: ARP {ips[0]}")


def _port(lab: Lab, name: str) -> str:
    own = set(end(lab, name).ips)
    return next(port for port, ips in rows(lab, "node1") if own == set(ips.split(",")))


def test_a_switch_that_dies_forwards_again_and_lets_no_forged_packet_through(lab: Lab, scene: Scene) -> None:
    before = {name: flows(lab, name) for name in ("node1", "node2")}
    with stream(end(lab, "near"), end(lab, "far")) as traffic, Repeater(scene.lie, 0.02) as liar:
        scene.hear_truths()
        liar.wait_rounds(ROUNDS)
        assert scene.caught_lies() == {}, "before"
        lab.kill(vswitchd("node1"))
        liar.wait_rounds(ROUNDS)
        assert scene.caught_lies() == {}, "while ovs-vswitchd was dead"
        started = lab.start(vswitchd("node1"))
        assert started
        moment = time.monotonic()
        until(lambda: traffic.flows_since(moment), "traffic flows again", 2 * BACK_SECONDS)
        liar.wait_rounds(ROUNDS)
        assert scene.caught_lies() == {}, "after"
        scene.hear_truths()
    back = {lane: seconds for lane, seconds in traffic.outages().items() if seconds > BACK_SECONDS}
    assert back == {}
    assert {name: flows(lab, name) for name in before} == before


def test_devices_that_vanish_with_the_switch_come_back_as_they_were(lab: Lab) -> None:
    """As after a reboot: ovs-vswitchd makes its devices anew and empty, and the agent fills them again."""
    devices = ("weft-gw0", "br-phy", "br-int")
    before = _configured(lab)
    with stream(end(lab, "near"), end(lab, "far")) as traffic:
        lab.kill(vswitchd("node1"))
        for device in devices:
            in_node(lab, "node1", partial(run, "ip", "link", "delete", device))
        lab.start(vswitchd("node1"))
        moment = time.monotonic()
        until(lambda: traffic.flows_since(moment), "traffic flows again", 2 * BACK_SECONDS)
    assert {lane: seconds for lane, seconds in traffic.outages().items() if seconds > BACK_SECONDS} == {}
    until(lambda: _configured(lab) == before, "addresses, routes and neighbours of the node are as they were")


def _configured(lab: Lab) -> set[str]:
    """Addresses, routes and permanent neighbours of the node, of every family; link-local ones are the kernel's."""
    asked = ("-o address", "route", "-6 route", "neighbour show nud permanent")
    told = (in_node(lab, "node1", partial(run, "ip", *what.split())) for what in asked)
    lines = {line for text in told for line in text.splitlines() if "fe80::" not in line}
    return {_INDEX.sub("", line) for line in lines}
