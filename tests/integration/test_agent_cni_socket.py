"""The CNI socket itself: who may call, what unreadable bytes are told, and callers that leave."""

import json
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog
from cni_relay_fixture import build

from cni.errors import CniError, ErrorCode
from cni.frame import (
    MAX_STDIN_BYTES,
    MAX_STDOUT_BYTES,
    MAX_VARIABLE_BYTES,
    Answer,
    Request,
    decode_answer,
    encode_request,
)
from cni.netconf import parse
from node_agent.server import CniServer
from node_agent.turns import Gone

LIMIT = 20  # seconds, for what should take milliseconds
NOBODY = 65534
REQUEST = Request({"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "abc"}, b'{"cniVersion":"1.1.0","name":"weft"}')
RESULT = b'{"cniVersion":"1.1.0"}'

# Runs as nobody: what connecting to the socket gives, on stdout. The interpreter is started as root, because
# nobody may not be allowed to read the virtual environment.
AS_NOBODY = """
import os, socket, sys
path, request = sys.argv[1], bytes.fromhex(sys.argv[2])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as peer:
    try:
        peer.connect(path)
    except PermissionError:
        sys.exit("forbidden")
    try:
        peer.sendall(request)
    except BrokenPipeError:
        pass  # refused before it had asked; the answer is there all the same, and the relay reads it too
    while chunk := peer.recv(65536):
        sys.stdout.buffer.write(chunk)
"""


class Calls:
    """What was asked of the agent behind the socket; `says` decides the answer."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.says: Callable[[Request], bytes] = lambda _: RESULT

    def __call__(self, request: Request, gone: Gone) -> bytes:
        self.requests.append(request)
        return self.says(request)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    os.chmod(tmp_path, 0o755)
    return tmp_path / "run" / "cni.sock"


@contextmanager
def serving(path: Path, calls: Calls, read_seconds: float = LIMIT) -> Iterator[CniServer]:
    made = CniServer(str(path), calls, read_seconds)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def served(path: Path, calls: Calls) -> Iterator[CniServer]:
    with serving(path, calls) as made:
        yield made


def connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(LIMIT)
    peer.connect(str(path))
    return peer


def ask(path: Path, data: bytes) -> Answer:
    with connect(path) as peer:
        with suppress(BrokenPipeError):  # it may answer and close before it has read everything
            peer.sendall(data)
        return decode_answer(rest_of(peer))


def rest_of(peer: socket.socket) -> bytes:
    """Everything until the end; a reset after the answer is one too, when the server did not read all it was sent."""
    data = b""
    with suppress(ConnectionResetError):
        while chunk := peer.recv(65536):
            data += chunk
    return data


def refusal(answer: Answer) -> str:
    """The message of an I/O failure (code 5), told in the version of nobody's configuration."""
    assert answer.status == 1
    body = json.loads(answer.stdout)
    assert (body["code"], body["cniVersion"]) == (5, "1.0.0")
    return str(body["msg"])


def test_a_request_is_served_and_its_answer_sent(path: Path, calls: Calls, served: CniServer) -> None:
    assert ask(path, encode_request(REQUEST)) == Answer(0, RESULT)
    assert calls.requests == [REQUEST]


def test_a_refusal_is_an_error_in_the_version_of_the_configuration(
    path: Path, calls: Calls, served: CniServer
) -> None:
    def refuse(_: Request) -> bytes:
        raise CniError(ErrorCode.TRY_AGAIN_LATER, "why", "details")

    calls.says = refuse
    answer = ask(path, encode_request(REQUEST))
    assert answer.status == 1
    assert json.loads(answer.stdout) == {"cniVersion": "1.1.0", "code": 11, "msg": "why", "details": "details"}


def test_a_status_is_logged_when_its_answer_changes_and_everything_else_each_time(
    path: Path, calls: Calls, served: CniServer
) -> None:
    def refuse(_: Request) -> bytes:
        raise CniError(ErrorCode.TRY_AGAIN_LATER, "why")

    status = Request({"CNI_COMMAND": "STATUS"}, REQUEST.stdin)
    with structlog.testing.capture_logs() as logged:
        for says in (calls.says, calls.says, refuse, refuse, calls.says):
            calls.says = says
            ask(path, encode_request(status))
        for _ in range(2):
            ask(path, encode_request(REQUEST))
    assert [(each["event"], each["verb"]) for each in logged] == [
        ("CNI", "STATUS"), ("CNI refused", "STATUS"), ("CNI", "STATUS"), ("CNI", "ADD"), ("CNI", "ADD"),
    ]  # fmt: skip


def test_a_defect_is_told_as_one_and_the_server_goes_on(path: Path, calls: Calls, served: CniServer) -> None:
    def fail(_: Request) -> bytes:
        raise KeyError("gone")

    calls.says = fail
    body = json.loads(ask(path, encode_request(REQUEST)).stdout)
    assert body["code"] == ErrorCode.INTERNAL
    assert "KeyError: 'gone'" in body["msg"]
    calls.says = lambda _: RESULT
    assert ask(path, encode_request(REQUEST)) == Answer(0, RESULT)


def test_a_result_that_no_answer_can_hold_is_told_as_a_defect(path: Path, calls: Calls, served: CniServer) -> None:
    """Of an earlier plugin's result of almost 1 MiB, say: the runtime was told nothing at all."""
    calls.says = lambda _: bytes(MAX_STDOUT_BYTES + 1)
    answer = ask(path, encode_request(REQUEST))
    body = json.loads(answer.stdout)
    assert (answer.status, body["code"]) == (1, ErrorCode.INTERNAL)
    assert f"at most {MAX_STDOUT_BYTES} are allowed" in body["msg"]


def test_an_error_about_a_huge_value_reaches_the_runtime(path: Path, calls: Calls, served: CniServer) -> None:
    calls.says = lambda request: str(parse(request.env, request.stdin)).encode()
    env = REQUEST.env | {"CNI_NETNS": "/run/netns/a", "CNI_IFNAME": "eth0"}
    conf = {"cniVersion": "1.1.0", "name": "weft", "runtimeConfig": {"ips": ["/" * 1_000_000]}}
    answer = ask(path, encode_request(Request(env, json.dumps(conf).encode())))
    assert (answer.status, json.loads(answer.stdout)["code"]) == (1, ErrorCode.INVALID_NETWORK_CONFIG)


def pair(text: bytes) -> bytes:
    return struct.pack("!I", len(text)) + text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x02\x00", "version byte is 2, expected 1"),
        (b"GET / HTTP/1.1\r\n\r\n", "version byte is 71"),
        (b"\x01\xff", "255 variables, at most 64"),
        (b"\x01\x01" + struct.pack("!I", MAX_VARIABLE_BYTES + 1), f"variable 1 of {MAX_VARIABLE_BYTES + 1} bytes"),
        (b"\x01\x01" + pair(b"PATH=/bin"), "variable 1 is b'PATH=/bin', expected CNI_NAME=VALUE"),
        (b"\x01\x01" + pair(b"CNI_COMMAND"), "expected CNI_NAME=VALUE"),
        (b"\x01\x00" + struct.pack("!I", MAX_STDIN_BYTES + 1), f"stdin of {MAX_STDIN_BYTES + 1} bytes"),
        (encode_request(REQUEST) + b"more", "4 bytes after the end of the request"),
        (b"\x02" + bytes(1 << 20), "version byte is 2"),
    ],
)
def test_bytes_that_are_no_request_are_answered_with_what_is_wrong(
    path: Path, calls: Calls, served: CniServer, data: bytes, words: str
) -> None:
    told = refusal(ask(path, data))
    assert told.startswith("the agent cannot read the request: ")
    assert words in told
    assert calls.requests == []


def test_a_request_that_does_not_come_is_told_so(path: Path, calls: Calls) -> None:
    with serving(path, calls, read_seconds=0.05):
        assert "it did not arrive within 0.05 s" in refusal(ask(path, encode_request(REQUEST)[:-1]))
    assert calls.requests == []


def test_a_request_that_comes_byte_by_byte_has_no_more_time_than_others(path: Path, calls: Calls) -> None:
    drops = struct.pack("!BBI", 1, 1, MAX_VARIABLE_BYTES) + bytes(1000)
    with serving(path, calls, read_seconds=0.2), connect(path) as peer:
        with suppress(BrokenPipeError):
            for byte in drops:
                peer.sendall(bytes((byte,)))
                time.sleep(0.01)
        assert "it did not arrive within 0.2 s" in refusal(decode_answer(rest_of(peer)))
    assert calls.requests == []


def test_the_socket_is_roots_alone(path: Path, calls: Calls, served: CniServer) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    done = as_nobody(path)
    assert (done.returncode, done.stderr.strip()) == (1, b"forbidden")


def test_a_peer_that_is_not_root_is_refused_whatever_the_mode(path: Path, calls: Calls, served: CniServer) -> None:
    os.chmod(path, 0o666)
    done = as_nobody(path)
    assert f"runs as user {NOBODY}" in refusal(decode_answer(done.stdout))
    assert calls.requests == []


def as_nobody(path: Path) -> "subprocess.CompletedProcess[bytes]":
    # pytest's directories are for their owner; nobody reaches the socket through a descriptor's name.
    os.chmod(path.parent, 0o755)
    directory = os.open(path.parent, os.O_PATH)
    try:
        argv = [sys.executable, "-c", AS_NOBODY, f"/proc/self/fd/{directory}/{path.name}"]
        argv.append(encode_request(REQUEST).hex())
        return subprocess.run(argv, capture_output=True, timeout=LIMIT, check=False, pass_fds=(directory,))
    finally:
        os.close(directory)


def test_what_a_caller_that_left_had_asked_for_is_not_begun(path: Path, calls: Calls) -> None:
    made = CniServer(str(path), calls)  # it listens, and accepts later
    with connect(path) as gone:
        gone.sendall(encode_request(REQUEST))
    later = Request({"CNI_COMMAND": "DEL"}, REQUEST.stdin)
    try:
        made.start()
        assert ask(path, encode_request(later)) == Answer(0, RESULT)
        assert calls.requests == [later]
    finally:
        made.stop()


def test_a_caller_that_only_stops_to_send_gets_its_answer(path: Path, calls: Calls, served: CniServer) -> None:
    with connect(path) as peer:
        peer.sendall(encode_request(REQUEST))
        peer.shutdown(socket.SHUT_WR)
        assert decode_answer(rest_of(peer)) == Answer(0, RESULT)


def test_a_caller_that_leaves_meanwhile_disturbs_nobody(path: Path, calls: Calls, served: CniServer) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def wait(_: Request) -> bytes:
        entered.set()
        assert go_on.wait(LIMIT)
        return RESULT

    calls.says = wait
    with connect(path) as peer:
        peer.sendall(encode_request(REQUEST))
        assert entered.wait(LIMIT)
    go_on.set()
    assert ask(path, encode_request(REQUEST)) == Answer(0, RESULT)


def test_requests_do_not_wait_for_each_other(path: Path, calls: Calls, served: CniServer) -> None:
    together = threading.Barrier(8)

    def meet(_: Request) -> bytes:
        together.wait(LIMIT)
        return RESULT

    calls.says = meet
    peers = [connect(path) for _ in range(8)]
    for peer in peers:
        peer.sendall(encode_request(REQUEST))
    for peer in peers:
        with peer:
            assert decode_answer(rest_of(peer)) == Answer(0, RESULT)


def test_a_socket_that_a_killed_agent_left_is_taken_over(path: Path, calls: Calls) -> None:
    left = CniServer(str(path), calls)
    with serving(path, calls):
        assert ask(path, encode_request(REQUEST)) == Answer(0, RESULT)
    assert not path.exists()
    left.stop()


def test_a_socket_that_cannot_be_made_is_named(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "file").write_text("")
    for impossible in (tmp_path / "file" / "cni.sock", tmp_path / ("x" * 200)):
        with pytest.raises(OSError, match="cannot listen on cni-socket") as caught:
            CniServer(str(impossible), calls)
        assert str(impossible) in str(caught.value)


def test_the_relay_prints_what_the_server_refuses(path: Path, calls: Calls, tmp_path: Path) -> None:
    """The relay is of this release, so only a peer that is not root makes it see a refusal."""
    relay = build(tmp_path / "build") / "weft"
    os.chmod(relay, 0o755)
    with serving(path, calls):
        os.chmod(path, 0o666)
        os.chmod(path.parent, 0o755)
        directory = os.open(path.parent, os.O_PATH)
        binary = os.open(relay, os.O_PATH)
        try:
            done = subprocess.run(
                [f"/proc/self/fd/{binary}"],
                input=REQUEST.stdin, capture_output=True, timeout=LIMIT, check=False, user=NOBODY, group=NOBODY,
                env={"CNI_COMMAND": "ADD", "WEFT_CNI_SOCKET": f"/proc/self/fd/{directory}/{path.name}"},
                pass_fds=(directory, binary),
            )  # fmt: skip
        finally:
            os.close(directory)
            os.close(binary)
    assert done.returncode == 1
    assert "only root may call the agent" in json.loads(done.stdout)["msg"]


def test_a_request_cut_off_is_not_an_error_of_the_server(path: Path, calls: Calls, served: CniServer) -> None:
    with connect(path) as peer:
        peer.sendall(encode_request(REQUEST)[:7])
    assert ask(path, encode_request(REQUEST)) == Answer(0, RESULT)
    assert calls.requests == [REQUEST]


def test_a_request_for_which_there_is_no_thread_is_not_the_last(path: Path, calls: Calls, served: CniServer) -> None:
    usual = threading.stack_size()
    threading.stack_size(1 << 46)  # more than a process can map: no thread can begin
    try:
        with connect(path) as peer:
            assert rest_of(peer) == b""
    finally:
        threading.stack_size(usual)
    assert ask(path, encode_request(REQUEST)) == Answer(0, RESULT)
    assert calls.requests == [REQUEST]
