"""One question to ovs-vswitchd over its control socket."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsdb.appctl import CommandRefused, Hangs, NoAnswer, ask, ask_all, socket_of

PID = 4242


@contextmanager
def _daemon(rundir: Path, *chunks: bytes, keep_open: bool = True) -> Iterator[list[dict[str, object]]]:
    """A daemon that answers one request with these chunks; yields what it was asked."""
    asked: list[dict[str, object]] = []
    done = threading.Event()
    (rundir / "ovs-vswitchd.pid").write_text(f"{PID}\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(rundir / f"ovs-vswitchd.{PID}.ctl"))
        listener.listen(1)

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.settimeout(10)
                first, _ = json.JSONDecoder().raw_decode(peer.recv(65536).decode())
                asked.append(first)
                for chunk in chunks:
                    peer.sendall(chunk)
                if keep_open:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            done.set()
            thread.join(10)


def test_a_question_and_its_answer(tmp_path: Path) -> None:
    answer = json.dumps({"id": 0, "error": None, "result": "Flow: {ip}\n"}).encode()
    with _daemon(tmp_path, answer) as asked:
        assert ask(tmp_path, "ofproto/trace", "br-int", "ip") == "Flow: {ip}\n"
    assert asked == [{"id": 0, "method": "ofproto/trace", "params": ["br-int", "ip"]}]


def test_an_answer_in_pieces_that_look_whole(tmp_path: Path) -> None:
    with _daemon(tmp_path, b'{"id":0,"error":null,"result":"{a}', b' {b}"', b"}\n") as _:
        assert ask(tmp_path, "version") == "{a} {b}"


def test_many_questions_and_their_answers_whichever_way_they_come(tmp_path: Path) -> None:
    answers = b'{"id":0,"error":null,"result":"one"}{"id":0,"err', b'or":"no such thing","result":null}\n'
    with _daemon(tmp_path, *answers) as _:
        told = ask_all(tmp_path, [("first", "a"), ("second",)])
    assert told[0] == "one"
    assert isinstance(told[1], CommandRefused)
    assert "no such thing" in str(told[1])


def test_a_daemon_that_ends_between_two_answers(tmp_path: Path) -> None:
    answer = b'{"id":0,"error":null,"result":"one"}'
    with _daemon(tmp_path, answer, keep_open=False) as _, pytest.raises(NoAnswer, match="in the middle"):
        ask_all(tmp_path, [("first",), ("second",)])


def test_a_command_that_is_refused(tmp_path: Path) -> None:
    with (
        _daemon(tmp_path, b'{"id":0,"error":"br-x: unknown bridge\\n","result":null}') as _,
        pytest.raises(CommandRefused, match=r"ovs-vswitchd: br-x: unknown bridge$"),
    ):
        ask(tmp_path, "ofproto/trace", "br-x", "ip")


def test_a_daemon_that_goes_away_in_the_middle(tmp_path: Path) -> None:
    with (
        _daemon(tmp_path, b'{"id":0,', keep_open=False) as _,
        pytest.raises(NoAnswer, match="closed in the middle of an answer"),
    ):
        ask(tmp_path, "version")


def test_a_daemon_that_hangs(tmp_path: Path) -> None:
    with _daemon(tmp_path) as _, pytest.raises(Hangs, match="does not answer: not in time"):
        ask(tmp_path, "version", timeout=0.05)


def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match=r"ovs-vswitchd\.pid: no such file; is ovs-vswitchd running"):
        ask(tmp_path, "version")


def test_a_daemon_that_has_died(tmp_path: Path) -> None:
    (tmp_path / "ovs-vswitchd.pid").write_text("1\n")
    with pytest.raises(NoAnswer, match="does not answer: No such file") as caught:
        ask(tmp_path, "version")
    assert not isinstance(caught.value, Hangs)


def test_a_pid_file_with_nonsense(tmp_path: Path) -> None:
    (tmp_path / "ovs-vswitchd.pid").write_text("x")
    with pytest.raises(NoAnswer, match="invalid literal"):
        ask(tmp_path, "version")


def test_the_socket_has_the_pid_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "ovs-vswitchd.pid").write_text(f"{os.getpid()}\n")
    assert socket_of(tmp_path) == tmp_path / f"ovs-vswitchd.{os.getpid()}.ctl"
