"""The OpenFlow channel over TLS: real switches with right and wrong certificates, and peers that are none."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from channel_bridge import BRIDGE, DPID, GOOD, bare_bridge, connect, many
from channel_process import WAIT, Channel, channel
from netns_fixture import Namespace
from ovs_fixture import PrivateOvs, private_ovs
from pki_fixture import RSA, Authority, Certified, Pki

ADDRESS, PORT = "127.0.0.1", 6653
TARGET = f"ssl:{ADDRESS}:{PORT}"
ECHO = 0.2  # seconds: a silent switch is given up after three
HELLO = struct.pack("!BBHI", 6, 0, 8, 1)
HANDSHAKES = 16  # of one host at once


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path_factory.mktemp("ovs")) as made:
        yield made


@pytest.fixture
def bridge(ovs: PrivateOvs, pki: Pki) -> Iterator[PrivateOvs]:
    """A bridge that connects nowhere yet, on a switch with an agent's certificate."""
    with bare_bridge(ovs):
        show(ovs, pki.agent)
        yield ovs
        ovs.vsctl("del-ssl")


def show(ovs: PrivateOvs, certified: Certified) -> None:
    """Have the switch show this certificate from now on."""
    ovs.vsctl("set-ssl", str(certified.key), str(certified.certificate), str(certified.ca))


@pytest.fixture
def open_channel(bridge: PrivateOvs, pki: Pki) -> Iterator[Channel]:
    """A listener that nobody has connected to, and that does not wait long for anybody."""
    with channel(TARGET, netns=bridge.netns, tls=pki.controller, echo_interval=ECHO, tls_seconds=2) as made:
        yield made


@pytest.fixture
def listening(bridge: PrivateOvs, open_channel: Channel) -> Channel:
    """The same with the bridge as session 0."""
    connect(bridge, TARGET)
    assert open_channel.next("connected", 0)["datapath"] == DPID
    return open_channel


# Switches with the right certificate.


def test_a_switch_is_programmed(listening: Channel) -> None:
    assert listening.apply(0, add=GOOD) == []
    assert listening.dump(0) == GOOD


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_listener_on_all_addresses_takes_both_families_and_rsa(ovs: PrivateOvs, pki: Pki, address: str) -> None:
    controller, agent = (pki.authority.issue(dns, algorithm=RSA) for dns in ("weft-controller", "weft-agent"))
    with bare_bridge(ovs), channel(f"ssl:[::]:{PORT}", netns=ovs.netns, tls=controller) as listening:
        show(ovs, agent)
        connect(ovs, f"ssl:{address}:{PORT}")
        listening.next("connected", 0)
        assert listening.apply(0, add=GOOD) == []


def test_changes_and_dumps_at_the_same_time_arrive_whole(listening: Channel) -> None:
    """What is read and what is written share the state of TLS, and belong to two threads."""
    half = many(20_000)
    first, second = dict(list(half.items())[:10_000]), dict(list(half.items())[10_000:])
    assert listening.apply(0, add=first) == []
    for number in range(6):
        change = {"add": second, "delete": []} if number % 2 == 0 else {"add": {}, "delete": sorted(second)}
        listening.tell(do="apply", session=0, **change)
        listening.tell(do="dump", session=0)
        told = {each["event"]: each for each in (listening.any(), listening.any())}
        assert told["applied"]["failures"] == []
        assert first.items() <= told["dumped"]["flows"].items()
    assert listening.dump(0) == first


def test_a_session_ends_when_its_switch_is_killed_and_another_begins(bridge: PrivateOvs, listening: Channel) -> None:
    bridge.stop("ovs-vswitchd", signal.SIGKILL)
    listening.next("gone", 0)
    bridge.start_vswitchd()
    listening.next("connected", 1)
    assert listening.dump(1) == {}


def test_a_switch_that_stops_to_answer_is_given_up(bridge: PrivateOvs, listening: Channel) -> None:
    os.kill(bridge.pid(), signal.SIGSTOP)
    try:
        listening.next("gone", 0)
    finally:
        os.kill(bridge.pid(), signal.SIGCONT)
    listening.next("connected", 1)


def test_a_refused_session_is_told_gone_and_its_switch_may_come_again(listening: Channel) -> None:
    listening.tell(do="refuse", session=0, reason="for the test")
    listening.next("gone", 0)
    listening.next("connected", 1)


def test_reconnections_leave_no_threads(bridge: PrivateOvs, listening: Channel) -> None:
    listening.dump(0)
    with_one = listening.threads()
    for number in range(10):
        bridge.vsctl("del-controller", BRIDGE)
        listening.next("gone", number)
        connect(bridge, TARGET)
        listening.next("connected", number + 1)
    listening.wait_threads(with_one)


# Switches with a wrong one.

WRONG: dict[str, Callable[[Pki], Certified]] = {
    "expired": lambda pki: pki.expired,
    "unknown-ca": lambda pki: pki.stranger,
    "wrong-name": lambda pki: pki.misnamed,
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_switch_with_a_wrong_certificate_is_refused_and_with_the_right_one_let_in(
    bridge: PrivateOvs, open_channel: Channel, pki: Pki, reason: str
) -> None:
    show(bridge, WRONG[reason](pki))
    connect(bridge, TARGET)
    assert open_channel.next("refused")["reason"] == reason
    bridge.vsctl("del-controller", BRIDGE)
    show(bridge, pki.agent)
    connect(bridge, TARGET)
    assert connected_after_refusals(open_channel, reason) == DPID


def connected_after_refusals(listening: Channel, reason: str) -> int:
    """The datapath that is connected, after whatever was refused before for that reason."""
    while (told := listening.any())["event"] == "refused":
        assert told["reason"] == reason
    assert told["event"] == "connected"
    datapath: int = told["datapath"]
    return datapath


def test_a_switch_without_tls_is_refused(bridge: PrivateOvs, open_channel: Channel) -> None:
    connect(bridge, f"tcp:{ADDRESS}:{PORT}")
    assert open_channel.next("refused")["reason"] == "not-tls"


def test_a_switch_that_does_not_accept_our_certificate_is_counted(
    bridge: PrivateOvs, open_channel: Channel, pki: Pki
) -> None:
    show(bridge, pki.agent.accepting(pki.other))
    connect(bridge, TARGET)
    assert open_channel.next("refused")["reason"] == "refused-us"


# Peers that are no switches.


def reach(ovs: PrivateOvs) -> socket.socket:
    """A connection to the listener."""
    made = Namespace(ovs.netns).run(lambda: socket.create_connection((ADDRESS, PORT), WAIT))
    made.settimeout(WAIT)
    return made


def context(certified: Certified | None, pki: Pki) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(pki.authority.certificate))
    made.check_hostname = False
    if certified is not None:
        made.load_cert_chain(certified.certificate, certified.key)
    return made


def read_to_the_end(peer: socket.socket) -> None:
    """Read until the other end closes; a reset or an alert is an end too. TimeoutError: it does not."""
    try:
        while peer.recv(65536):
            pass
    except (ConnectionError, ssl.SSLError):
        pass


def test_a_peer_without_a_certificate_is_refused(bridge: PrivateOvs, listening: Channel, pki: Pki) -> None:
    with reach(bridge) as raw, context(None, pki).wrap_socket(raw) as peer:
        read_to_the_end(peer)
    assert listening.next("refused")["reason"] == "no-certificate"
    assert listening.apply(0, add=GOOD) == []


def test_a_peer_that_is_silent_holds_up_nobody_and_is_given_up(bridge: PrivateOvs, pki: Pki) -> None:
    with (
        channel(TARGET, netns=bridge.netns, tls=pki.controller, tls_seconds=8) as listening,
        reach(bridge) as silent,
    ):
        connect(bridge, TARGET)
        listening.next("connected", 0)
        assert listening.apply(0, add=GOOD) == []
        read_to_the_end(silent)
        assert listening.next("refused")["reason"] == "timeout"


def drip(peer: socket.socket) -> None:
    """A byte now and then, for as long as it is taken."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        peer.sendall(b"\x01")
        time.sleep(0.1)


def test_a_peer_that_is_endlessly_slow_is_given_up(bridge: PrivateOvs, open_channel: Channel) -> None:
    """Each byte comes in time; the handshake does not."""
    with reach(bridge) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00")
        with pytest.raises(ConnectionError):
            drip(slow)
    assert open_channel.next("refused")["reason"] == "timeout"


def test_one_host_has_only_so_many_handshakes_at_a_time(bridge: PrivateOvs, open_channel: Channel) -> None:
    with ExitStack() as stack:
        for _ in range(HANDSHAKES + 1):
            stack.enter_context(reach(bridge))
        reasons = [open_channel.next("refused")["reason"] for _ in range(HANDSHAKES + 1)]
    assert reasons == ["too-many", *["timeout"] * HANDSHAKES]
    connect(bridge, TARGET)
    open_channel.next("connected", 0)


NO_HANDSHAKE = {
    "another protocol": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not-tls"),
    "OpenFlow": (HELLO, "not-tls"),
    "half a record": (b"\x16\x03\x01\x02\x00abc", "timeout"),
    "a record of nonsense": (b"\x16\x03\x01\x00\x05hello", "not-tls"),
    "the start of TLS 1.3, cut off": (b"\x16\x03\x01\x00\x04\x01\x00\x00", "timeout"),
}


@pytest.mark.parametrize("what", NO_HANDSHAKE)
def test_a_peer_that_does_not_shake_hands_is_given_up(bridge: PrivateOvs, listening: Channel, what: str) -> None:
    before = listening.threads()
    sent, reason = NO_HANDSHAKE[what]
    with reach(bridge) as peer:
        peer.sendall(sent)
        read_to_the_end(peer)
    assert listening.next("refused")["reason"] == reason
    assert listening.apply(0, add=GOOD) == []
    listening.wait_threads(before)


def test_a_peer_that_leaves_at_once_is_told_apart(bridge: PrivateOvs, open_channel: Channel) -> None:
    reach(bridge).close()
    assert open_channel.next("refused")["reason"] == "closed"


def test_a_peer_with_nothing_newer_than_tls_1_1_is_refused(
    bridge: PrivateOvs, open_channel: Channel, pki: Pki
) -> None:
    old = context(pki.agent, pki)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with reach(bridge) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw)
    assert open_channel.next("refused")["reason"] == "old-tls"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("sent", [HELLO[:5], struct.pack("!BBHI", 6, 0, 0, 1), b"GET / HTTP/1.1\r\n\r\n", b""])
def test_a_peer_with_a_certificate_that_is_no_switch_is_given_up(
    bridge: PrivateOvs, listening: Channel, pki: Pki, sent: bytes, version: ssl.TLSVersion
) -> None:
    before = listening.threads()
    modern = context(pki.agent, pki)
    modern.minimum_version = modern.maximum_version = version
    with reach(bridge) as raw, modern.wrap_socket(raw) as peer:
        peer.sendall(sent)
        read_to_the_end(peer)
    listening.wait_threads(before)
    assert listening.apply(0, add=GOOD) == []
    assert listening.quiet()


def test_a_connection_whose_tls_breaks_ends_at_once(bridge: PrivateOvs, pki: Pki) -> None:
    """Not by the probes, which go unanswered for a long time here: the error itself ends it."""
    with (
        channel(TARGET, netns=bridge.netns, tls=pki.controller, echo_interval=10 * WAIT),
        reach(bridge) as raw,
        socket.socket(fileno=context(pki.agent, pki).wrap_socket(raw).detach()) as peer,
    ):
        peer.settimeout(WAIT)
        peer.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that nobody has encrypted
        read_to_the_end(peer)


# Certificates that are replaced.


def test_a_certificate_replaced_in_place_is_shown_to_the_next_peer(
    bridge: PrivateOvs, pki: Pki, tmp_path: Path
) -> None:
    mounted = pki.controller.put(tmp_path / "tls")
    with channel(TARGET, netns=bridge.netns, tls=mounted) as listening:
        assert shown(bridge, pki) == ssl.PEM_cert_to_DER_cert(pki.controller.certificate.read_text())
        connect(bridge, TARGET)
        listening.next("connected")
        renewed = pki.authority.issue("weft-controller")
        renewed.put(tmp_path / "tls")
        assert shown(bridge, pki) == ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
        assert listening.dump(0) == {}, "a connection that is up stays up"


def shown(ovs: PrivateOvs, pki: Pki) -> bytes | None:
    """The certificate that a peer is shown; the peer leaves again."""
    with reach(ovs) as raw, context(pki.agent, pki).wrap_socket(raw) as peer:
        return peer.getpeercert(binary_form=True)


def test_a_switch_takes_a_certificate_that_was_replaced_in_place(
    bridge: PrivateOvs, open_channel: Channel, pki: Pki, tmp_path: Path
) -> None:
    show(bridge, pki.expired.put(tmp_path / "tls"))
    connect(bridge, TARGET)
    assert open_channel.next("refused")["reason"] == "expired"
    pki.agent.put(tmp_path / "tls")
    assert connected_after_refusals(open_channel, "expired") == DPID


def test_while_an_authority_is_replaced_both_count(bridge: PrivateOvs, pki: Pki) -> None:
    both = (pki.other, pki.authority)
    with channel(TARGET, netns=bridge.netns, tls=pki.controller.accepting(*both)) as listening:
        for number, signer in enumerate(both):
            show(bridge, signer.issue("weft-agent").accepting(*both))
            connect(bridge, TARGET)
            listening.next("connected", number)
            bridge.vsctl("del-controller", BRIDGE)
            listening.next("gone", number)


def test_what_is_between_a_switch_and_its_authority_belongs_to_the_controllers_authorities(
    bridge: PrivateOvs, pki: Pki
) -> None:
    """Open vSwitch shows only the first certificate of its file."""
    between = Authority(pki.where, "between", pki.authority)
    agent = between.issue("weft-agent").accepting(pki.authority)
    agent.certificate.write_text(agent.certificate.read_text() + between.certificate.read_text())
    show(bridge, agent)
    for authorities, told in (((pki.authority,), "refused"), ((between, pki.authority), "connected")):
        with channel(TARGET, netns=bridge.netns, tls=pki.controller.accepting(*authorities)) as listening:
            connect(bridge, TARGET)
            assert listening.any()["event"] == told
