"""A pod goes and its addresses are given to another: nothing in any switch still knows the first (N27)."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass

import pytest
from agent_fixture import assign
from forge_fixture import Frame, Sender, Wire, frames, mac_of, wire
from lab_fixture import (
    Box,
    agent_problem,
    box,
    flows,
    rows,
    start_agent_and_controller,
    until,
    vsctl,
)
from stream_fixture import End, Repeater, Stream, stream

from lab.bringup import agent
from lab.config import LabConfig
from lab.lab import Lab
from lab.netns import run_in
from openflow.codec import Encoded
from openflow.decode import decode
from openflow.render import Columns, Names, named
from ovsdb import appctl

SMALL = ("10.244.1.0/29", "fd57:244:0:1::/125")
FILLERS = 3  # with two more pods, all that the range has for IPv4; IPv6 has one address more
NODES = ("node1", "node2")
AFTER = 30
MANY = 150
FIRST_PORT = 40000


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabConfig(name="t-reuse", weft=False), replace=True) as lab:
        assign(lab, "node1", *SMALL)
        start_agent_and_controller(lab)
        for name in NODES:
            until(lambda of=name: agent_problem(lab, of) is None, f"{name} is ready")
        yield lab


@dataclass(frozen=True)
class Attached:
    """A pod with everything that a flow could know it by."""

    end: End
    mac: str
    ofport: int
    box: Box
    port: str

    def says(self, title: str, to: Attached) -> tuple[Frame, ...]:
        """Frames from this pod, or from whoever sends them as if he were."""
        return tuple(frames(title, Sender(self.mac, self.end.ips), to.end.ips))

    def wire(self) -> AbstractContextManager[Wire]:
        return wire(self.end.namespace, "eth0")


def attach(lab: Lab, stack: ExitStack, on: str, name: str) -> Attached:
    made = stack.enter_context(box(lab, on, name))
    ips = tuple(each["address"].partition("/")[0] for each in made.add()["ips"])
    port = next(port for port, taken in rows(lab, on) if taken == ",".join(ips))
    number = int(vsctl(lab, on, "get", "Interface", port, "ofport"))
    return Attached(End(name, made.namespace, ips), mac_of(made.namespace, "eth0"), number, made, port)


def test_nothing_of_a_pod_is_left_when_its_addresses_are_given_to_another(lab: Lab) -> None:
    with ExitStack() as stack:
        far, near = attach(lab, stack, "node2", "far"), attach(lab, stack, "node1", "near")
        first = attach(lab, stack, "node1", "first")
        fillers = [attach(lab, stack, "node1", f"filler-{number}") for number in range(FILLERS)]
        # Not across nodes: see "The userspace datapath" in docs/design.md for what a change of links costs there.
        with stream(near.end, fillers[0].end) as bystanders:
            with stream(first.end, far.end) as traffic:
                assert_arrives(traffic)
            have_connections(first.end, near.end)
            first.box.delete()
            assert len(connections(lab, "node1", first.end)) >= 2 * MANY
            second = successor(lab, stack)
            assert second.end.ips == first.end.ips
            assert left(lab, second.end) == []
            assert second.mac != first.mac
            assert [flow for name in NODES for flow in strays(lab, name, first, second)] == []
            assert_only_the_second_is_heard(first, second, near, far)
        assert bystanders.lost() == []


def test_what_a_pod_left_that_went_while_no_agent_ran_is_forgotten_when_one_starts(lab: Lab) -> None:
    with ExitStack() as stack:
        far = attach(lab, stack, "node1", "still")
        gone, stays = attach(lab, stack, "node1", "gone"), attach(lab, stack, "node1", "stays")
        have_connections(gone.end, far.end)
        have_connections(stays.end, far.end)
        lab.kill(agent("node1"))
        vsctl(lab, "node1", "del-port", "br-int", gone.port)
        assert len(connections(lab, "node1", gone.end)) >= 2 * MANY
        lab.start(agent("node1"))
        until(lambda: not left(lab, gone.end), "the connections of the pod that is gone are forgotten")
        assert len(connections(lab, "node1", stays.end)) >= 2 * MANY


def left(lab: Lab, of: End) -> list[str]:
    """What connection tracking should not know any more: all but ICMPv6."""
    return [line for line in connections(lab, "node1", of) if not line.startswith("icmpv6,")]


def have_connections(of: End, to: End) -> None:
    """By UDP, TCP and echo, in both families."""

    def connect() -> None:
        for ip in to.ips:
            subprocess.run(["ping", "-c", "1", ip], check=True, capture_output=True, timeout=10)
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            for port in range(FIRST_PORT, FIRST_PORT + MANY):
                with socket.socket(family, socket.SOCK_DGRAM) as udp:
                    udp.sendto(b"", (ip, port))
            with socket.socket(family, socket.SOCK_STREAM) as tcp, suppress(ConnectionRefusedError):
                tcp.settimeout(10)
                tcp.connect((ip, FIRST_PORT))

    run_in(of.namespace, connect)


def connections(lab: Lab, on: str, of: End) -> list[str]:
    """What the node's switch knows of connections from and to the addresses of a pod."""
    told = appctl.ask(lab.paths.node(on).ovs, "dpctl/dump-conntrack").splitlines()
    return [line for line in told for ip in of.ips if f"={ip}," in line]


def successor(lab: Lab, stack: ExitStack) -> Attached:
    """The next pod but one: the one in between turns IPv6's wheel past the address that was free all the time."""
    with ExitStack() as passing:
        attach(lab, passing, "node1", "passing")
    return attach(lab, stack, "node1", "second")


def assert_only_the_second_is_heard(first: Attached, second: Attached, near: Attached, far: Attached) -> None:
    """What the first would say passes neither at its successor's port nor from another node."""
    with second.wire() as here, far.wire() as there, near.wire() as beside:
        lies = {"across": first.says("from the successor's port", far), "back": first.says("from elsewhere", near)}

        def lie() -> None:
            say(here, lies["across"])
            say(there, lies["back"])

        with stream(second.end, far.end) as traffic, Repeater(lie) as impostor:
            assert_arrives(traffic)
            impostor.wait_rounds(AFTER)
        assert there.caught() & titles(lies["across"]) == set()
        assert beside.caught() & titles(lies["back"]) == set()
        # These ways are open, to who is what he says.
        across, back = second.says("truth", far), far.says("truth", near)
        say(here, across)
        say(there, back)
        assert there.missing(across) == set()
        assert beside.missing(back) == set()


def assert_arrives(traffic: Stream) -> None:
    """Everything that is sent, once the links that were made for its ends are made."""
    traffic.wait_sent(AFTER)
    settled = time.monotonic()
    traffic.wait_sent(AFTER)
    traffic.stop()
    assert traffic.flows_since(settled)
    assert [each for each in traffic.lost() if each.at > settled] == []


def say(mouth: Wire, words: Iterable[Frame]) -> None:
    for frame in words:
        mouth.send(frame)


def titles(words: Iterable[Frame]) -> set[str]:
    return {frame.name for frame in words}


def strays(lab: Lab, on: str, first: Attached, second: Attached) -> list[str]:
    """Flows of the node that name either pod's addresses, MACs or ports, and are not the second's; and all that are
    the first's."""
    ports = {first.ofport: "first-port", second.ofport: "second-port"} if on == "node1" else {}
    pods = [("default", pod.end.name) for pod in (first, second)]
    known = (*first.end.ips, first.mac, second.mac, *ports.values())
    word = re.compile(rf"(?<![\w:.])({'|'.join(map(re.escape, known))})(?![\w:./])")

    def stray(flow: Columns) -> bool:
        if flow.owner == f"pod/default/{second.end.name}":
            return bool({first.mac, "first-port"} & set(word.findall(str(flow))))
        return flow.owner == f"pod/default/{first.end.name}" or bool(word.search(str(flow)))

    names = Names.of(ports, pods, NODES)
    found = [named(decode(Encoded(*flow)), names) for flow in sorted(flows(lab, on).items())]
    assert on != "node1" or {f"pod/default/{second.end.name}"} <= {flow.owner for flow in found}
    return [str(flow) for flow in found if stray(flow)]
