"""The requests that failed: each is counted once, and the last are kept, of whichever part refused them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cni.errors import CniError, ErrorCode
from cni.frame import Answer, Request, decode_answer, encode_request
from node_agent.failures import KEPT, Failures, Report
from node_agent.metrics import Metrics
from node_agent.server import CniServer
from node_agent.turns import Gone

START = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
WAIT = 10.0
ADD = Request(
    {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1",
    },
    b'{"cniVersion":"1.1.0"}',
)
BUSY = CniError(ErrorCode.TRY_AGAIN_LATER, "the controller does not answer")


class Kept:
    """Failures of node n1, on a clock that ticks once a second and begins with the agent."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self._times = (START + timedelta(seconds=n) for n in range(10 * KEPT))
        self.failures = Failures("n1", self.metrics.failures, lambda: next(self._times))

    def report(self) -> Report:
        return msgspec.json.decode(self.failures.report(), type=Report)

    def counted(self, verb: str, code: int) -> float | None:
        return self.metrics.registry.get_sample_value("weft_cni_failures_total", {"verb": verb, "code": str(code)})


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_a_failure_says_what_failed_when_and_why(kept: Kept) -> None:
    kept.failures.record(ADD, BUSY, 8.25)
    report = kept.report()
    assert (report.node, report.since) == ("n1", START)
    assert msgspec.to_builtins(report.failures) == (
        {
            "time": "2025-01-02T03:04:06Z",
            "verb": "ADD",
            "container": "c1",
            "ifname": "eth0",
            "namespace": "shop",
            "pod": "web-1",
            "code": 11,
            "message": "the controller does not answer",
            "seconds": 8.25,
        },
    )
    assert kept.counted("ADD", 11) == 1


def test_the_last_are_kept_newest_first_and_all_are_counted(kept: Kept) -> None:
    for n in range(KEPT + 5):
        kept.failures.record(ADD, CniError(ErrorCode.INTERNAL, str(n)), 0.0)
    assert [each.message for each in kept.report().failures] == [str(n) for n in range(KEPT + 4, 4, -1)]
    assert kept.counted("ADD", 199) == KEPT + 5


def test_a_status_that_keeps_failing_does_not_crowd_out_what_else_failed(kept: Kept) -> None:
    status = Request({"CNI_COMMAND": "STATUS"}, b"")
    kept.failures.record(ADD, BUSY, 0.0)
    for _ in range(KEPT):
        kept.failures.record(status, BUSY, 0.0)
    kept.failures.record(status, CniError(ErrorCode.TRY_AGAIN_LATER, "another reason"), 0.0)
    said = [(each.verb, each.message) for each in kept.report().failures]
    assert said == [("STATUS", "another reason"), ("STATUS", BUSY.msg), ("ADD", BUSY.msg)]
    assert kept.counted("STATUS", 11) == KEPT + 1


@pytest.mark.parametrize("arguments", ["", "no pair", "K8S_POD_NAME"])
def test_a_request_that_names_no_pod(kept: Kept, arguments: str) -> None:
    kept.failures.record(Request(ADD.env | {"CNI_ARGS": arguments}, b""), BUSY, 0.0)
    (failure,) = kept.report().failures
    assert (failure.namespace, failure.pod, failure.container) == ("", "", "c1")


def test_what_is_not_utf8_or_longer_than_anybody_reads_is_told_all_the_same(kept: Kept) -> None:
    odd = b"\xff".decode(errors="surrogateescape")
    env = {"CNI_COMMAND": odd, "CNI_CONTAINERID": odd, "CNI_IFNAME": "x" * 60_000}
    kept.failures.record(Request(env, b""), CniError(ErrorCode.INVALID_ENVIRONMENT, odd * 60_000), 0.0)
    (failure,) = kept.report().failures
    assert (failure.verb, failure.container) == ("unknown", "?")
    assert failure.ifname == "x" * 1000 + "…"
    assert failure.message == "?" * 1000 + "…"
    assert kept.counted("unknown", 4) == 1


def test_many_threads_at_once(kept: Kept) -> None:
    def record() -> None:
        for _ in range(KEPT):
            kept.failures.record(ADD, BUSY, 0.0)
            kept.report()

    threads = [threading.Thread(target=record) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WAIT)
    assert kept.counted("ADD", 11) == 4 * KEPT
    assert len(kept.report().failures) == KEPT


# Whatever part of the agent refuses a request, the server's answer is what is recorded.


@pytest.fixture
def ask(kept: Kept, tmp_path: Path) -> Iterator[Callable[[bytes], Answer]]:
    """Sends bytes to a server that refuses an ADD, fails at a DEL, and does everything else."""

    def serve(request: Request, gone: Gone) -> bytes:
        if request.env["CNI_COMMAND"] == "ADD":
            raise BUSY
        return b"" if request.env["CNI_COMMAND"] != "DEL" else bytes({}["gone"])

    def ask(data: bytes) -> Answer:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(WAIT)
            peer.connect(str(tmp_path / "cni.sock"))
            peer.sendall(data)
            return decode_answer(b"".join(iter(lambda: peer.recv(65536), b"")))

    server = CniServer(str(tmp_path / "cni.sock"), serve, refused=kept.failures.record)
    server.start()
    yield ask
    server.stop()


def told(kept: Kept) -> list[tuple[str, int, str]]:
    return [(each.verb, each.code, each.message) for each in kept.report().failures]


def test_a_refusal_is_recorded_before_it_is_answered(kept: Kept, ask: Callable[[bytes], Answer]) -> None:
    assert ask(encode_request(ADD)).status == 1
    assert told(kept) == [("ADD", 11, BUSY.msg)]
    assert 0 < kept.report().failures[0].seconds < WAIT


def test_a_defect_is_recorded_as_one(kept: Kept, ask: Callable[[bytes], Answer]) -> None:
    assert ask(encode_request(Request({"CNI_COMMAND": "DEL"}, b""))).status == 1
    ((verb, code, message),) = told(kept)
    assert (verb, code) == ("DEL", 199)
    assert "KeyError: 'gone'" in message
    assert kept.counted("DEL", 199) == 1


def test_a_request_that_cannot_be_read_is_recorded_without_a_verb(kept: Kept, ask: Callable[[bytes], Answer]) -> None:
    assert ask(b"\x09\x00").status == 1
    ((verb, code, message),) = told(kept)
    assert (verb, code) == ("unknown", 5)
    assert "version byte is 9" in message


def test_a_request_that_succeeds_is_not_recorded(kept: Kept, ask: Callable[[bytes], Answer]) -> None:
    assert ask(encode_request(Request({"CNI_COMMAND": "STATUS"}, b""))).status == 0
    assert told(kept) == []
