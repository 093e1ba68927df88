"""Switches that are not as they should be: foreign ports and flows, strange peers, two with one id, one too old."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
from forge_fixture import Frame, Sender, Wire, frames, mac_of, wire
from lab_fixture import (
    agent_problem,
    box,
    connected,
    controller_log,
    end,
    flow_mods,
    flows,
    in_node,
    metrics,
    node_config,
    node_state,
    ofctl,
    pod,
    problems,
    restart_agent,
    run,
    running_lab,
    settled,
    start_controller,
    until,
    vsctl,
)
from openflow_peer_fixture import Peer, peer, raw_peer
from stream_fixture import End, Repeater, stream
from version_fixture import running_version

from cni.errors import ErrorCode
from lab.bringup import CONTROLLER, agent
from lab.lab import Lab
from lab.runtime import RuntimeFailure
from openflow.codec import table_of
from openflow.constants import ROUTER_MAC
from ovsdb.rows import datapath_id

NODES = ("node1", "node2")
PATIENCE = 30.0  # seconds; an unknown switch is given ten
AFTER = 30
STRANGER = 0x00DEAD00BEEF0001


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-bad-switch", pod("one", "node1"), pod("two", "node2")) as lab:
        lab.kill(CONTROLLER)
        start_controller(lab, audit_seconds=1.0)
        settled(lab)
        yield lab


@pytest.fixture(scope="module")
def stranger(lab: Lab) -> Iterator[Future[Peer]]:
    """A switch that is in no Node's annotation. It comes first and is looked at last: being refused takes time."""

    def connect() -> Peer:
        with peer(lab.paths.openflow_socket, STRANGER, PATIENCE) as made:
            made.serve()
            return made

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(connect)


@pytest.mark.usefixtures("stranger")
def test_a_foreign_port_is_reported_and_left_alone_and_nothing_comes_in_by_it(lab: Lab) -> None:
    before, port = node_state(lab, "node1"), f"foreign{secrets.token_hex(2)}"
    near, far = end(lab, "one"), end(lab, "two")
    mac, space = mac_of(near.namespace, "eth0"), node_config(lab, "node1").namespace
    claims = [frame for to in (ROUTER_MAC, mac) for frame in frames("foreign", Sender(mac, far.ips, to), near.ips)]
    vsctl(lab, "node1", "add-port", "br-int", port, "--", "set", "Interface", port, "type=internal")
    try:
        until(lambda: any(port in text and "node1" in text for text in problems(lab, "ForeignPort")), "a report")
        assert metrics(lab)[("weft_problems_total", "ForeignPort")] >= 1
        in_node(lab, "node1", lambda: run("ip", "link", "set", port, "up"))
        with wire(space, port) as outside, wire(near.namespace, "eth0") as inside:
            came, round_of = _received(lab, port), partial(_send_all, outside, claims)
            with Repeater(round_of) as sent:
                sent.wait_rounds(AFTER)
            # The switch got them all: that nothing arrives is its doing.
            least = came + sent.rounds * len(claims)
            until(lambda: _received(lab, port) >= least, f"port {port} received {least} frames")
            assert inside.caught() == set()
            _is_heard(inside, far, near)
        assert node_state(lab, "node1") == before
        assert port in vsctl(lab, "node1", "list-ports", "br-int").split()
    finally:
        vsctl(lab, "node1", "--if-exists", "del-port", port)


def _send_all(mouth: Wire, said: Sequence[Frame]) -> None:
    for frame in said:
        mouth.send(frame)


def _received(lab: Lab, port: str) -> int:
    """Frames that the switch has received by a port."""
    counters = re.search(r"rx pkts=(\d+)", ofctl(lab, "node1", "dump-ports", port))
    assert counters
    return int(counters[1])


def _is_heard(net: Wire, speaker: End, listener: End) -> None:
    """The net catches what may come: frames that the far pod sends in its own name."""
    mine = Sender(mac_of(speaker.namespace, "eth0"), speaker.ips)
    truths = tuple(frames("truth", mine, listener.ips))
    with wire(speaker.namespace, "eth0") as mouth:
        _send_all(mouth, truths)
        assert net.missing(truths) == set()


FOREIGN = (
    "table=0,priority=60000,cookie=0xbad,actions=NORMAL",
    "table=77,priority=1,cookie=0xbad,ip,nw_dst=192.0.2.1,actions=drop",  # beyond our tables
    "table=11,priority=9,cookie=0xbad,hard_timeout=600,ip,nw_dst=192.0.2.1,actions=drop",
    "table=2,priority=5,cookie=0xbad,tcp,vlan_tci=0x1000/0x1000,tcp_flags=+syn,nw_tos=4,metadata=7,"  # never ours
    "actions=push_vlan:0x8100,resubmit(,5),learn(table=3),note:01.02",
    "table=3,priority=0,cookie=0xbad,actions=NORMAL",
    "table=17,priority=0,cookie=0xbad,actions=NORMAL",  # in place of one of ours
)


def test_foreign_flows_are_reported_and_removed(lab: Lab) -> None:
    before = flows(lab, "node1")
    for flow in FOREIGN:
        ofctl(lab, "node1", "add-flow", flow)
    until(lambda: flows(lab, "node1") == before, "the foreign flows are gone, and ours are there")
    until(lambda: any("Classify 60000" in text for text in problems(lab, "ForeignFlows")), "a report by name")
    told = [line for line in controller_log(lab) if line.get("reason") == "ForeignFlows"]
    assert {line["key"] for line in told} == {"node1"}
    assert metrics(lab)[("weft_problems_total", "ForeignFlows")] >= 1


def test_a_flow_of_ours_that_somebody_deleted_comes_back(lab: Lab) -> None:
    before = flows(lab, "node1")
    ofctl(lab, "node1", "del-flows", "table=11")
    assert all(table_of(key) != 11 for key in flows(lab, "node1"))
    until(lambda: flows(lab, "node1") == before, "Route is as it was")


def test_a_second_switch_with_an_id_that_is_connected_is_refused_and_the_first_goes_on(lab: Lab) -> None:
    twice, before = datapath_id("node1"), {name: flows(lab, name) for name in NODES}
    sent = flow_mods(lab)
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        with peer(lab.paths.openflow_socket, twice, PATIENCE) as second:
            second.serve()
        traffic.wait_sent(AFTER)
    assert second.asked == []
    assert traffic.lost() == []
    assert _refused(lab, f"{twice:016x}", "node1", "connected already")
    assert {name: flows(lab, name) for name in NODES} == before
    assert flow_mods(lab) == sent
    with box(lab, "node1", "after-the-second") as made:  # the first still gets its flows
        made.add()


GARBAGE = {
    "nothing": b"",
    "another protocol": b"GET / HTTP/1.1\r\nHost: weft\r\n\r\n",
    "OpenFlow 1.0 only": bytes.fromhex("0100000800000001"),
    "a length shorter than its header": bytes.fromhex("0600000400000001"),
    "no hello": bytes.fromhex("06060020000000010000000000000001") + bytes(16),
    "random bytes": bytes(range(1, 255)) * 8,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_a_peer_that_does_not_speak_openflow_harms_nobody(lab: Lab, data: bytes) -> None:
    before, sent = {name: flows(lab, name) for name in NODES}, flow_mods(lab)
    told = len(controller_log(lab))
    with raw_peer(lab.paths.openflow_socket, PATIENCE) as sock:
        sock.sendall(data)
    with box(lab, "node1", "after-garbage") as made:
        made.add()
    until(lambda: {name: flows(lab, name) for name in NODES} == before, "the pod is gone again")
    assert connected(lab) >= len(NODES)
    assert flow_mods(lab) > sent
    assert [line for line in controller_log(lab)[told:] if "exception" in line] == []


def test_an_open_vswitch_that_is_too_old_is_refused_by_version_and_left_as_it_is(lab: Lab) -> None:
    before = node_state(lab, "node1")
    with stream(end(lab, "one"), end(lab, "two")) as traffic:
        lab.kill(agent("node1"))
        with running_version(lab.paths.node("node1").ovs, "2.16.9"):
            lab.start(agent("node1"))
            until(lambda: "2.16.9" in (agent_problem(lab, "node1") or ""), "the agent says why")
            assert "2.17" in (agent_problem(lab, "node1") or "")
            with box(lab, "node1", "too-old") as made:
                with pytest.raises(RuntimeFailure, match=r"2\.16\.9") as refused:
                    made.add()
                assert refused.value.code == ErrorCode.TRY_AGAIN_LATER
            assert node_state(lab, "node1") == before
        restart_agent(lab, "node1")
        traffic.wait_sent(AFTER)
    assert traffic.lost() == []
    assert node_state(lab, "node1") == before


def test_a_switch_of_no_node_is_asked_nothing_and_refused(lab: Lab, stranger: Future[Peer]) -> None:
    assert stranger.result(PATIENCE).asked == []
    assert _refused(lab, f"{STRANGER:016x}", "weft.dev/datapath-id")
    assert metrics(lab)[("weft_switches_refused_total",)] >= 1


def _refused(lab: Lab, *words: str) -> bool:
    told = [line["event"] for line in controller_log(lab) if line["event"].startswith("switch refused")]
    return any(all(word in text for word in words) for text in told)
