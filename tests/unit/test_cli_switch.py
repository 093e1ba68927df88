"""Reading flows over a bridge's management socket, from switches that behave and switches that do not."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.switch import records
from openflow import codec

HELLO = struct.pack("!BBHI", 6, 0, 8, 1)
Talk = Callable[[socket.socket], None]


def _message(kind: int, xid: int, body: bytes, version: int = 6) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def _entry(table: int, packets: int) -> bytes:
    """One flow description: match on in_port 3, no instructions, and its counters."""
    oxm = bytes.fromhex("80000004 00000003")
    match = struct.pack("!HH", 1, 4 + len(oxm)) + oxm + bytes(-(4 + len(oxm)) % 8)
    counters = b"".join(
        struct.pack("!HBBQ", 0x8002, field << 1, 8, value) for field, value in ((0, 5 << 32), (4, packets), (5, 60))
    )
    stats = struct.pack("!HH", 0, 4 + len(counters)) + counters
    stats += bytes(-len(stats) % 8)
    size = 24 + len(match) + len(stats)
    return struct.pack("!H2xBxHHHHHQ", size, table, 40000, 0, 0, 0, 0, 0x5F << 56) + match + stats


def _part(*entries: bytes, more: bool = False, xid: int = 2) -> bytes:
    return _message(codec.MULTIPART_REPLY, xid, struct.pack("!HH4x", codec.FLOW_DESC, more) + b"".join(entries))


@contextmanager
def _switch(path: Path, talk: Talk) -> Iterator[Path]:
    """A switch at `path` that says hello, hears hello, and then talks."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.settimeout(10)
                talk(peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            thread.join(10)


def _receive(peer: socket.socket) -> bytes:
    head = peer.recv(8, socket.MSG_WAITALL)
    size = int(struct.unpack("!BBHI", head)[2])
    return head + (peer.recv(size - 8, socket.MSG_WAITALL) if size > 8 else b"")


def _greet(peer: socket.socket) -> bytes:
    """The hello of both sides; returns what is asked after it."""
    peer.sendall(HELLO)
    hello = _receive(peer)
    assert hello[:2] == b"\x06\x00"
    return _receive(peer)


def test_flows_with_their_counters(tmp_path: Path) -> None:
    def talk(peer: socket.socket) -> None:
        assert _greet(peer) == codec.dump_request(2)
        peer.sendall(_part(_entry(0, 7), _entry(1, 8), more=True) + _part(_entry(2, 9)))

    with _switch(tmp_path / "s", talk) as path:
        found = records(path)
    assert [(codec.table_of(each.flow.key), each.packets, each.bytes, each.duration) for each in found] == [
        (0, 7, 60, 5.0), (1, 8, 60, 5.0), (2, 9, 60, 5.0),
    ]  # fmt: skip


def test_messages_in_small_pieces_and_probes_in_between(tmp_path: Path) -> None:
    def talk(peer: socket.socket) -> None:
        _greet(peer)
        peer.sendall(_message(2, 77, b"are you there"))
        assert _receive(peer) == _message(3, 77, b"are you there")
        for byte in _part(_entry(0, 1)):
            peer.sendall(bytes([byte]))

    with _switch(tmp_path / "s", talk) as path:
        assert len(records(path)) == 1


def test_answers_to_somebody_elses_question_are_passed_over(tmp_path: Path) -> None:
    def talk(peer: socket.socket) -> None:
        _greet(peer)
        peer.sendall(_part(_entry(9, 1), xid=99) + _part())

    with _switch(tmp_path / "s", talk) as path:
        assert records(path) == ()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "closed the connection"),
        (_message(1, 2, bytes.fromhex("00010009")), "answers with an error: 00010009"),
        (struct.pack("!BBHI", 6, 19, 4, 2), "claims 4 bytes"),
        (_part(bytes(10)), "ends inside an entry"),
    ],
)
def test_a_switch_that_misbehaves(tmp_path: Path, answer: bytes, complaint: str) -> None:
    def talk(peer: socket.socket) -> None:
        _greet(peer)
        peer.sendall(answer)

    with _switch(tmp_path / "s", talk) as path, pytest.raises(CliError, match=complaint):
        records(path)


def test_a_switch_of_another_version(tmp_path: Path) -> None:
    def talk(peer: socket.socket) -> None:
        _receive(peer)
        peer.sendall(_message(0, 1, b"", version=4))

    with _switch(tmp_path / "s", talk) as path, pytest.raises(CliError, match=r"OpenFlow version 0x4, not 1\.5"):
        records(path)


def test_a_switch_that_says_nothing(tmp_path: Path) -> None:
    done = threading.Event()

    def talk(_: socket.socket) -> None:
        done.wait(10)

    with _switch(tmp_path / "s", talk) as path:
        try:
            with pytest.raises(CliError, match="no answer in time; is ovs-vswitchd running"):
                records(path, timeout=0.05)
        finally:
            done.set()


def test_no_switch_at_all(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no such socket; is ovs-vswitchd running, and is the bridge there"):
        records(tmp_path / "br-int.mgmt")


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with pytest.raises(CliError, match="Connection refused; is ovs-vswitchd running"):
        records(tmp_path / "s")
