"""The OpenFlow channel on a real Open vSwitch, and against peers that are none."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from channel_bridge import BRIDGE, DPID, GOOD, bare_bridge, connect, many
from channel_process import WAIT, Channel, channel
from ovs_fixture import PrivateOvs, private_ovs

NO_ACTION = struct.pack("!HHI", 99, 8, 0)  # of a type that does not exist
NO_GROUP = struct.pack("!HHI", 22, 8, 77)  # to a group that does not exist
NO_METER = struct.pack("!HHI", 29, 8, 5)
ECHO = 0.2  # seconds: a silent peer is given up after three


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path_factory.mktemp("ovs")) as made:
        yield made


@pytest.fixture
def bridge(ovs: PrivateOvs) -> Iterator[PrivateOvs]:
    """A bridge that connects nowhere yet."""
    with bare_bridge(ovs):
        yield ovs


@pytest.fixture
def path(ovs: PrivateOvs) -> Path:
    return ovs.root / "weft.sock"  # Open vSwitch connects to sockets in its own directory only


@pytest.fixture
def listening(bridge: PrivateOvs, path: Path) -> Iterator[Channel]:
    """A listener to which the bridge is connected as session 0."""
    with channel(f"unix:{path}") as made:
        connect(bridge, f"unix:{path}")
        assert made.next("connected", 0)["datapath"] == DPID
        yield made


def bad_flow(actions: bytes, table: int = 10) -> dict[str, str]:
    body = bytes(8) + struct.pack("!HH4x", 4, 8 + len(actions)) + actions
    return {struct.pack("!BH", table, 77).hex(): body.hex()}


# Sessions.


def test_a_switch_connects_by_tcp(bridge: PrivateOvs) -> None:
    with channel("tcp:127.0.0.1:6653", netns=bridge.netns) as listening:
        connect(bridge, "tcp:127.0.0.1:6653")
        assert listening.next("connected", 0)["datapath"] == DPID
        assert listening.apply(0, add=GOOD) == []
        assert listening.dump(0) == GOOD


def test_an_empty_switch_has_no_flows(listening: Channel) -> None:
    assert listening.dump(0) == {}


def test_what_was_applied_is_what_is_read(listening: Channel) -> None:
    assert listening.apply(0, add=GOOD) == []
    assert listening.dump(0) == GOOD
    gone = sorted(GOOD)[::2]
    assert listening.apply(0, delete=gone) == []
    assert listening.dump(0) == {key: body for key, body in GOOD.items() if key not in gone}


def test_ten_thousand_flows_are_applied_and_read(listening: Channel) -> None:
    wanted = many(10_000)
    assert listening.apply(0, add=wanted) == []
    assert listening.dump(0) == wanted
    assert listening.apply(0, delete=sorted(wanted)) == []
    assert listening.dump(0) == {}


def test_an_addition_replaces_a_flow_and_a_deletion_of_nothing_is_nothing(listening: Channel) -> None:
    (key, body), *_ = GOOD.items()
    listening.apply(0, add={key: body})
    other = bytes(7).hex() + "09" + body[16:]
    assert listening.apply(0, add={key: other}, delete=["0a0001"]) == []
    assert listening.dump(0) == {key: other}


def test_a_session_ends_at_once_when_the_switch_is_killed_and_another_begins(
    bridge: PrivateOvs, listening: Channel
) -> None:
    bridge.stop("ovs-vswitchd", signal.SIGKILL)
    listening.next("gone", 0)
    bridge.start_vswitchd()
    listening.next("connected", 1)
    assert listening.dump(1) == {}


def test_a_refused_session_is_told_gone_and_its_switch_may_come_again(listening: Channel) -> None:
    listening.tell(do="refuse", session=0, reason="for the test")
    listening.next("gone", 0)
    listening.next("connected", 1)


def test_reconnections_leave_no_threads(bridge: PrivateOvs, path: Path) -> None:
    with channel(f"unix:{path}", echo_interval=ECHO) as listening:
        connect(bridge, f"unix:{path}")
        listening.next("connected", 0)
        listening.dump(0)
        with_one = listening.threads()
        for number in range(20):
            bridge.vsctl("del-controller", BRIDGE)
            listening.next("gone", number)
            connect(bridge, f"unix:{path}")
            listening.next("connected", number + 1)
        listening.wait_threads(with_one)


def test_a_switch_that_stops_to_answer_is_given_up(bridge: PrivateOvs, path: Path) -> None:
    with channel(f"unix:{path}", echo_interval=ECHO) as listening:
        connect(bridge, f"unix:{path}")
        listening.next("connected", 0)
        os.kill(bridge.pid(), signal.SIGSTOP)
        try:
            listening.next("gone", 0)
        finally:
            os.kill(bridge.pid(), signal.SIGCONT)
        listening.next("connected", 1)


def test_a_switch_with_other_versions_only_is_turned_away(bridge: PrivateOvs, path: Path) -> None:
    with channel(f"unix:{path}", echo_interval=ECHO) as listening:
        bridge.vsctl("set", "Bridge", BRIDGE, "protocols=OpenFlow13")
        connect(bridge, f"unix:{path}")
        _until(lambda: "last_error" in bridge.vsctl("get", "Controller", BRIDGE, "status"))
        assert listening.quiet()
        bridge.vsctl("set", "Bridge", BRIDGE, "protocols=OpenFlow15")
        listening.next("connected", 0)


# Changes.


def test_a_flow_that_open_vswitch_cannot_allow_is_refused_alone(listening: Channel) -> None:
    """Refused as they come: Open vSwitch does not put them into the bundle, and commits the rest."""
    unknown_action, table_of_its_own = bad_flow(NO_ACTION), bad_flow(b"", table=254)
    for bad, reason in ((unknown_action, "OFPBAC_BAD_TYPE"), (table_of_its_own, "OFPBRC_EPERM")):
        (failure,) = listening.apply(0, add={**GOOD, **bad})
        assert [failure["key"]] == list(bad)
        assert reason in failure["reason"]
        assert listening.dump(0) == GOOD
        listening.apply(0, delete=sorted(GOOD))


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        (NO_GROUP, "OFPBAC_BAD_OUT_GROUP"),
        (struct.pack("!HHI", 29, 8, 5), "OFPMMFC_INVALID_METER"),
    ],
    ids=["no such group", "no such meter"],
)
def test_a_flow_that_cannot_be_carried_out_undoes_the_whole_change(
    listening: Channel, actions: bytes, reason: str
) -> None:
    (kept, body), *_ = many(1).items()
    listening.apply(0, add={kept: body})
    bad = bad_flow(actions)
    (failure,) = listening.apply(0, add={**GOOD, **bad}, delete=[kept])
    assert [failure["key"]] == list(bad), "the commit's own error only repeats it"
    assert reason in failure["reason"]
    assert listening.dump(0) == {kept: body}


def test_a_full_table_names_the_flow_that_did_not_fit_and_undoes_the_change(
    bridge: PrivateOvs, listening: Channel
) -> None:
    bridge.vsctl("--id=@t", "create", "Flow_Table", "flow_limit=3", "overflow_policy=refuse", "--", "set", "Bridge",
                 BRIDGE, "flow_tables:5=@t")  # fmt: skip
    wanted = many(5)
    (failure,) = listening.apply(0, add=wanted)
    assert failure["key"] in wanted
    assert "OFPFMFC_TABLE_FULL" in failure["reason"]
    assert listening.dump(0) == {}


def test_after_a_refused_change_the_next_is_applied(listening: Channel) -> None:
    listening.apply(0, add=bad_flow(NO_GROUP))
    assert listening.apply(0, add=GOOD) == []
    assert listening.dump(0) == GOOD


def test_a_bad_flow_among_ten_thousand_is_named(listening: Channel) -> None:
    bad = bad_flow(NO_ACTION)
    wanted = many(10_000)
    head = dict(list(wanted.items())[:5000])
    (failure,) = listening.apply(0, add={**head, **bad, **wanted})
    assert [failure["key"]] == list(bad)
    assert listening.dump(0) == wanted


def test_a_large_change_does_not_wait_for_the_switch(bridge: PrivateOvs, listening: Channel) -> None:
    wanted = many(20_000)
    os.kill(bridge.pid(), signal.SIGSTOP)
    try:
        listening.tell(do="apply", session=0, add=wanted, delete=[], returned=True)
        listening.next("returned", 0)
        assert listening.quiet(), "the switch stands still"
    finally:
        os.kill(bridge.pid(), signal.SIGCONT)
    assert listening.next("applied", 0)["failures"] == []


def test_a_switch_that_dies_in_the_middle_of_a_change_is_told_gone(bridge: PrivateOvs, listening: Channel) -> None:
    os.kill(bridge.pid(), signal.SIGSTOP)
    try:
        listening.tell(do="apply", session=0, add=many(20_000), delete=[], returned=True)
        listening.next("returned", 0)
    finally:
        bridge.stop("ovs-vswitchd", signal.SIGKILL)
    listening.next("gone", 0)
    bridge.start_vswitchd()
    listening.next("connected", 1)
    assert listening.dump(1) == {}


# The socket.


def test_the_unix_socket_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "of.sock"
    with channel(f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_that_a_dead_listener_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "of.sock"
    for _ in range(2):
        with channel(f"unix:{path}"), socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
        assert path.exists(), "it was killed"


def test_a_listener_that_was_out_of_descriptors_goes_on(bridge: PrivateOvs, path: Path) -> None:
    with channel(f"unix:{path}") as listening:
        pid = listening.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), limits[1]))
        connect(bridge, f"unix:{path}")
        listening.wait_log("cannot accept a switch: [Errno 24]")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        listening.next("connected", 0)
        assert listening.apply(0, add=GOOD) == []


# Peers that are no switches.

HELLO = struct.pack("!BBHI", 6, 0, 8, 1)
GARBAGE = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "OpenFlow 1.0": struct.pack("!BBHI", 1, 0, 8, 1),
    "an unknown version": struct.pack("!BBHI", 99, 0, 8, 1),
    "half a header": HELLO[:5],
    "a length of nothing": struct.pack("!BBHI", 6, 0, 0, 1),
    "the largest message, cut off": struct.pack("!BBHI", 6, 0, 65535, 1) + bytes(1000),
    "the largest message": HELLO + struct.pack("!BBHI", 6, 10, 65535, 1) + bytes(65527),
    "an unknown type": HELLO + struct.pack("!BBHI", 6, 200, 8, 1),
    "a type out of turn": HELLO + struct.pack("!BBHI", 6, 21, 8, 1),
    "a dump nobody asked for": HELLO + struct.pack("!BBHIHH4x", 6, 19, 16, 1, 1, 0),
    "a broken dump": HELLO + struct.pack("!BBHIHH4x", 6, 19, 24, 1, 1, 0) + b"\xff" * 8,
    "half a feature reply": HELLO + struct.pack("!BBHI", 6, 6, 9, 1) + b"\0",
    "nothing": b"",
}


@pytest.fixture
def guarded(bridge: PrivateOvs, path: Path) -> Iterator[Channel]:
    """As `listening`, and quick to give up whoever does not answer."""
    with channel(f"unix:{path}", echo_interval=ECHO) as made:
        connect(bridge, f"unix:{path}")
        made.next("connected", 0)
        yield made


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
def test_a_peer_that_is_no_switch_disturbs_nobody_and_is_given_up(guarded: Channel, path: Path, sent: bytes) -> None:
    before = guarded.threads()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(WAIT)
        peer.connect(str(path))
        peer.sendall(sent)
        assert guarded.apply(0, add=GOOD) == []
        assert guarded.dump(0) == GOOD
        _read_to_the_end(peer)
    guarded.wait_threads(before)
    assert guarded.quiet()


def test_many_peers_that_leave_at_once_leave_nothing(guarded: Channel, path: Path) -> None:
    before = guarded.threads()
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
    guarded.wait_threads(before)
    assert guarded.dump(0) == {}


def _read_to_the_end(peer: socket.socket) -> None:
    """Read until the other end closes; a reset is an end too."""
    try:
        while peer.recv(65536):
            pass
    except ConnectionError:
        pass


def _until(ask: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.05)
