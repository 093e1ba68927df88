"""The relay, under AddressSanitizer and UBSan, against a real unix socket that speaks through `cni.frame`."""

import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from cni_relay_fixture import CONF, LIMIT, RESULT, Agent, Relay, Serve, build, error, receive

from cni.frame import (
    MAX_STDIN_BYTES,
    MAX_STDOUT_BYTES,
    MAX_VARIABLE_BYTES,
    MAX_VARIABLES,
    Request,
    encode_answer,
)

PT_INTERP = 3  # the program header of a file that needs a dynamic loader


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("relay"))


@pytest.fixture
def relay(builds: Path, tmp_path: Path) -> Relay:
    return Relay(builds / "weft-asan", tmp_path / "cni.sock")


@pytest.fixture
def start(relay: Relay) -> Iterator[Callable[[Serve], Agent]]:
    with ExitStack() as stack:
        yield lambda serve: stack.enter_context(Agent(relay.socket, serve))


@pytest.fixture
def answering(start: Callable[[Serve], Agent]) -> Callable[[int, bytes], Agent]:
    """An agent that gives every request the same answer."""

    def begin(status: int, stdout: bytes) -> Agent:
        def serve(connection: socket.socket) -> None:
            agent.requests.append(receive(connection))
            connection.sendall(encode_answer(status, stdout))

        agent = start(serve)
        return agent

    return begin


# What is relayed


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS", "UNKNOWN"])
def test_a_request_and_its_answer_pass_unchanged(
    relay: Relay, answering: Callable[[int, bytes], Agent], command: str
) -> None:
    agent = answering(0, RESULT + b"\n")
    env = {"CNI_CONTAINERID": "abc", "CNI_NETNS": "", "CNI_ARGS": "A=1;B=x=y", "HOME": "/"}
    done = relay(command, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, RESULT + b"\n", b"")
    sent = {"CNI_COMMAND": command} | {k: v for k, v in env.items() if k.startswith("CNI_")}
    assert agent.requests == [Request(sent, CONF)]


@pytest.mark.parametrize("command", ["DEL", "CHECK", "GC", "STATUS"])
def test_c16_these_commands_print_nothing(
    relay: Relay, answering: Callable[[int, bytes], Agent], command: str
) -> None:
    answering(0, b"")
    done = relay(command)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("status", [1, 2, 77])
def test_c17_the_agents_error_and_exit_status_pass_unchanged(
    relay: Relay, answering: Callable[[int, bytes], Agent], status: int
) -> None:
    answering(status, b'{"code":7,"msg":"no"}')
    done = relay("ADD")
    assert (done.returncode, done.stdout) == (status, b'{"code":7,"msg":"no"}')


def test_stdin_is_any_bytes_and_up_to_the_limit(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    agent = answering(0, RESULT)
    inputs = [b"", bytes(range(256)) * 8, os.urandom(MAX_STDIN_BYTES)]
    for stdin in inputs:
        assert relay("ADD", stdin).returncode == 0
    assert [request.stdin for request in agent.requests] == inputs


def test_an_answer_may_be_as_long_as_the_limit(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    longest = b"{" + b" " * (MAX_STDOUT_BYTES - 2) + b"}"
    answering(0, longest)
    assert relay("ADD").stdout == longest


def test_an_answer_may_come_in_pieces(relay: Relay, start: Callable[[Serve], Agent]) -> None:
    def trickle(connection: socket.socket) -> None:
        receive(connection)
        for byte in encode_answer(0, RESULT):
            connection.sendall(bytes((byte,)))

    start(trickle)
    assert relay("ADD").stdout == RESULT


def test_variables_up_to_the_limits_pass(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    agent = answering(0, RESULT)
    env = {f"CNI_V{i}": "" for i in range(MAX_VARIABLES - 2)}
    env["CNI_LONG"] = "x" * (MAX_VARIABLE_BYTES - len("CNI_LONG="))
    env["CNI_LIKE"] = "a=b\nc"
    del env["CNI_V0"]
    assert relay("ADD", env=env).returncode == 0
    assert agent.requests[0].env == {"CNI_COMMAND": "ADD", **env}


def test_a_variable_may_be_any_bytes(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    agent = answering(0, RESULT)
    odd = b"/run/\xff\x01\xc3".decode(errors="surrogateescape")
    assert relay("ADD", env={"CNI_NETNS": odd, "CNI_": "x", "CNI": "y", "XCNI_A": "z"}).returncode == 0
    assert agent.requests[0].env == {"CNI_COMMAND": "ADD", "CNI_NETNS": odd, "CNI_": "x"}


def test_c25_calls_side_by_side_get_their_own_answers(relay: Relay, start: Callable[[Serve], Agent]) -> None:
    def echo(connection: socket.socket) -> None:
        request = receive(connection)
        connection.sendall(encode_answer(0, b'{"is":"' + request.env["CNI_CONTAINERID"].encode() + b'"}'))

    start(echo)
    with ThreadPoolExecutor(8) as pool:
        ids = [f"c{i}" for i in range(40)]
        answers = list(pool.map(lambda name: relay("ADD", env={"CNI_CONTAINERID": name}).stdout, ids))
    assert [json.loads(answer)["is"] for answer in answers] == ids


# What needs no agent


def test_c1_version_neither_waits_for_stdin_nor_for_an_agent(relay: Relay) -> None:
    reader, writer = os.pipe()  # stays open and empty
    try:
        process = relay.popen("VERSION", stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stdout, stderr = process.communicate(timeout=LIMIT)
    finally:
        os.close(reader)
        os.close(writer)
    assert (process.returncode, stderr) == (0, b"")
    versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    assert json.loads(stdout) == {"cniVersion": "1.1.0", "supportedVersions": versions}


@pytest.mark.parametrize("command", [None, ""])
def test_c8_without_a_command_it_says_what_it_is(relay: Relay, command: str | None) -> None:
    done = relay(command)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"CNI plugin of the Weft network" in done.stderr


@pytest.mark.parametrize(("command", "code"), [("ADD", 11), ("DEL", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)])
def test_c18_c38_without_an_agent_the_error_says_what_to_check(relay: Relay, command: str, code: int) -> None:
    body = error(relay(command))
    assert (body["code"], body["cniVersion"]) == (code, "1.1.0")
    assert f"{relay.socket}: no such socket; check that weft-agent runs" in body["msg"]


def test_a_socket_nobody_listens_on_is_refused_at_once(relay: Relay) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(relay.socket))
        assert "connection refused" in error(relay("ADD"))["msg"]
    relay.socket.unlink()
    relay.socket.write_text("")
    assert "connection refused" in error(relay("ADD"))["msg"]


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        (b'{"cniVersion":"0.4.0"}', "0.4.0"),
        (b'{"a":1, "cniVersion" : "1.0.0"}', "1.0.0"),
        (b'{"cniVersion":""}', "1.0.0"),
        (b'{"cniVersion":"1.1.0', "1.0.0"),
        (b'{"cniVersion":"1.1.0\\""}', "1.0.0"),
        (b'{"cniVersion":"0.0.0.0.0.0.0.0.0"}', "1.0.0"),
        (b'{"cniVersion":"\xff"}', "1.0.0"),
        (b'{"cniVersion":5}', "1.0.0"),
        (b'{"cniVersion"', "1.0.0"),
        (b'"cniVersion":', "1.0.0"),
        (b"", "1.0.0"),
    ],
)
def test_c17_its_own_errors_echo_the_version_only_if_it_is_plain(relay: Relay, stdin: bytes, version: str) -> None:
    assert error(relay("ADD", stdin))["cniVersion"] == version


def test_a_socket_name_that_json_would_escape_does_not_break_the_error(relay: Relay) -> None:
    body = error(relay("ADD", env={"WEFT_CNI_SOCKET": '/tmp/"\\\x01\udcff'}))
    assert "/tmp/????" in body["msg"]


def test_a_socket_name_that_is_too_long_is_refused(relay: Relay) -> None:
    for length in (108, 5000):
        body = error(relay("ADD", env={"WEFT_CNI_SOCKET": "/" + "x" * (length - 1)}))
        assert body["code"] == 4
        assert "longer than 107 bytes" in body["msg"]
    assert error(relay("ADD", env={"WEFT_CNI_SOCKET": "/" + "x" * 106}))["code"] == 11


# What is refused before the agent sees it


def test_stdin_over_the_limit_is_refused(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    agent = answering(0, RESULT)
    body = error(relay("ADD", b"x" * (MAX_STDIN_BYTES + 1)))
    assert (body["code"], agent.requests) == (6, [])
    assert "larger than 1 MiB" in body["msg"]


def test_c12_stdin_that_cannot_be_read_is_error_5(relay: Relay, tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        process = relay.popen("ADD", stdin=directory, stdout=subprocess.PIPE)
        stdout, _ = process.communicate(timeout=LIMIT)
    finally:
        os.close(directory)
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 5)


def test_c12_stdin_that_never_ends_is_error_5_at_the_deadline(relay: Relay) -> None:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with relay.popen("ADD", {"WEFT_CNI_DEADLINE_MS": "200"}, **streams) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"cniVersion":"0.4.0",')
        process.stdin.flush()
        body = json.loads(process.stdout.read())
    assert (body["code"], body["cniVersion"]) == (5, "0.4.0")
    assert "timed out" in body["msg"]


def test_too_many_or_too_long_variables_are_error_4(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    agent = answering(0, RESULT)
    for count in (MAX_VARIABLES, 300, 5000):
        body = error(relay("ADD", env={f"CNI_V{i}": "x" for i in range(count)}))
        assert (body["code"], "more than 64" in body["msg"]) == (4, True)
    body = error(relay("ADD", env={"CNI_LONG": "x" * MAX_VARIABLE_BYTES}))
    assert (body["code"], "CNI_LONG is longer than 64 KiB" in body["msg"]) == (4, True)
    body = error(relay("ADD", env={"CNI_" + "N" * 70_000: "x"}))
    assert (body["code"], "CNI_NNN" in body["msg"]) == (4, True)
    assert agent.requests == []


# An agent that fails


def raw(data: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(data)

    return serve


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",  # a status for an ADD, and no result
        b"\x01",  # a failure without its error
        b'\x00{"ips":[',
        b"\x00{",
        b"\x00\n",
        b"\x00\x00\x00\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n{}",
        b"\x00{" + b" " * (MAX_STDOUT_BYTES - 1) + b"}",
        b"\x00{" + b"x" * (4 * MAX_STDOUT_BYTES) + b"}",
    ],
)
def test_half_an_answer_and_garbage_are_error_11(relay: Relay, start: Callable[[Serve], Agent], data: bytes) -> None:
    start(raw(data))
    body = error(relay("ADD"))
    assert body["code"] == 11
    assert str(relay.socket) in body["msg"]


def test_c38_half_an_answer_to_status_is_error_50(relay: Relay, start: Callable[[Serve], Agent]) -> None:
    start(raw(b""))
    assert error(relay("STATUS"))["code"] == 50


@pytest.mark.parametrize("stdin", [CONF, b"x" * MAX_STDIN_BYTES])
@pytest.mark.parametrize("read", [0, 1, 10])
def test_an_agent_that_closes_early_is_error_11(
    relay: Relay, start: Callable[[Serve], Agent], stdin: bytes, read: int
) -> None:
    def close_early(connection: socket.socket) -> None:
        for _ in range(read):
            connection.recv(1)

    start(close_early)
    assert error(relay("ADD", stdin))["code"] == 11


def test_an_agent_may_refuse_before_it_has_read_everything(relay: Relay, start: Callable[[Serve], Agent]) -> None:
    refusal = b'{"code":5,"msg":"version byte"}'

    def refuse(connection: socket.socket) -> None:
        connection.recv(2)
        connection.sendall(encode_answer(1, refusal))

    start(refuse)
    for stdin in (CONF, b"x" * MAX_STDIN_BYTES):
        done = relay("ADD", stdin)
        assert (done.returncode, done.stdout) == (1, refusal)


@pytest.mark.parametrize("stdin", [CONF, b"x" * MAX_STDIN_BYTES])
@pytest.mark.parametrize("begin", [b"", b'\x00{"ips":'])
def test_a_silent_agent_is_error_11_at_the_deadline(
    relay: Relay, start: Callable[[Serve], Agent], stdin: bytes, begin: bytes
) -> None:
    """Silent before it reads, or in the middle of its answer."""
    release = threading.Event()

    def stall(connection: socket.socket) -> None:
        connection.sendall(begin)
        release.wait(LIMIT)

    start(stall)
    try:
        body = error(relay("ADD", stdin, {"WEFT_CNI_DEADLINE_MS": "200"}))
    finally:
        release.set()
    assert (body["code"], "timed out" in body["msg"]) == (11, True)


def test_a_full_accept_queue_is_error_11_at_the_deadline(relay: Relay) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(relay.socket))
        listener.listen(0)
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.connect(str(relay.socket))
        body = error(relay("ADD", env={"WEFT_CNI_DEADLINE_MS": "200"}))
    assert (body["code"], "timed out" in body["msg"]) == (11, True)


# A runtime that fails


def test_a_runtime_that_is_gone_costs_no_signal(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    answering(0, RESULT)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = relay.popen("ADD", stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE)
        _, stderr = process.communicate(timeout=LIMIT)
    finally:
        os.close(writer)
    assert (process.returncode, stderr) == (1, b"")


def with_closed(relay: Relay, closed: str) -> subprocess.CompletedProcess[bytes]:
    command = ["/bin/sh", "-c", f'exec "$0" {closed}', str(relay.binary)]
    done = subprocess.run(command, input=CONF, capture_output=True, env=relay.env("ADD"), timeout=LIMIT, check=False)
    relay.sane(done.returncode, done.stderr)
    return done


def test_closed_standard_streams_do_no_harm(relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    """With stdout closed, the socket must not take its number: the request would be its own answer."""
    agent = answering(0, RESULT)
    for closed in (">&-", "<&- >&- 2>&-"):
        done = with_closed(relay, closed)
        assert (done.returncode, done.stdout) == (1, b"")
    assert error(with_closed(relay, "<&-"))["code"] == 5
    assert agent.requests == []
    assert with_closed(relay, "2>&-").stdout == RESULT


# The build for production


def segment_types(elf: bytes) -> set[int]:
    """p_type of every program header of a 64-bit ELF file in this machine's byte order."""
    (start,) = struct.unpack_from("=Q", elf, 32)
    size, count = struct.unpack_from("=HH", elf, 54)
    return {struct.unpack_from("=I", elf, start + i * size)[0] for i in range(count)}


def test_the_production_build_is_static_and_without_test_knobs(builds: Path) -> None:
    data = (builds / "weft").read_bytes()
    assert PT_INTERP not in segment_types(data)
    assert PT_INTERP in segment_types((builds / "weft-asan").read_bytes())
    assert b"WEFT_CNI_DEADLINE_MS" not in data
    assert b"WEFT_CNI_DEADLINE_MS" in (builds / "weft-asan").read_bytes()


def test_the_production_build_relays(builds: Path, relay: Relay, answering: Callable[[int, bytes], Agent]) -> None:
    agent = answering(0, RESULT)
    done = Relay(builds / "weft", relay.socket)("ADD", env={"WEFT_CNI_DEADLINE_MS": "0"})
    assert (done.returncode, done.stdout) == (0, RESULT)
    assert len(agent.requests) == 1
