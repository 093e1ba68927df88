"""`weftctl cni`: latencies, failures by code, and the last failures, for people and programs."""

from __future__ import annotations

import json

from cni_told_fixture import Agent

from cli.cni import Choice, as_json, lines
from cli.layout import plain
from cli.measured import Told
from cli.view import Silent
from cni.errors import ErrorCode

LATE = "the controller has not programmed port web-1"


def _told() -> list[Told]:
    one = Agent("n1").served("ADD", 0.004, allocate=0.0004).served("ADD", 20.0)
    two = Agent("n2", later=3).served("ADD", 0.004, allocate=0.0004).served("DEL", 0.15)
    one.refused("ADD", ErrorCode.TRY_AGAIN_LATER, LATE, "web-1")
    two.refused("", ErrorCode.IO_FAILURE, "cannot be read").refused("ADD", ErrorCode.TRY_AGAIN_LATER, LATE, "cart")
    return [one.told(), two.told()]


def _text(told: list[Told], choice: Choice) -> list[str]:
    return [plain(line) for line in lines(told, choice, None)]


def test_all_nodes_together() -> None:
    assert _text(_told(), Choice()) == [
        "CNI requests on 2 nodes since their agents started, the last agent at 2026-01-02 03:00:03 UTC",
        "",
        "VERB  STEP           COUNT  P50-MS  P90-MS  P99-MS",
        "ADD   whole request      3    3.79  > 10 s  > 10 s",
        "ADD   allocate           2    0.36    0.39    0.40",
        "DEL   whole request      1     130     154     159",
        "",
        "VERB     CODE  FAILURES  MEANING",
        "ADD        11         2  not now; the runtime is to try again",
        "unknown     5         1  the request could not be read, or its caller is not root",
        "",
        "TIME-UTC             NODE  VERB     POD         CODE  AFTER-MS  REASON",
        f"2026-01-02 03:00:23  n2    ADD      shop/cart     11       500  {LATE}",
        "2026-01-02 03:00:13  n2    unknown  -              5       500  cannot be read",
        f"2026-01-02 03:00:10  n1    ADD      shop/web-1    11       500  {LATE}",
    ]


def test_each_node_by_itself() -> None:
    found = _text(_told(), Choice(by_node=True))
    assert found[2:7] == [
        "NODE  VERB  STEP           COUNT  P50-MS  P90-MS  P99-MS",
        "n1    ADD   whole request      2    4.00  > 10 s  > 10 s",
        "n1    ADD   allocate           1    0.36    0.39    0.40",
        "n2    ADD   whole request      1    3.58    3.92    3.99",
        "n2    ADD   allocate           1    0.36    0.39    0.40",
    ]
    assert "n2    ADD        11         1  not now; the runtime is to try again" in found


def test_fewer_failures_than_there_are_say_so() -> None:
    found = _text(_told(), Choice(last=1))
    assert found[-2:] == [
        f"2026-01-02 03:00:23  n2    ADD   shop/cart    11       500  {LATE}",
        "2 more: `--last 3` shows all that the agents remember",
    ]
    assert len([line for line in _text(_told(), Choice(last=0)) if LATE in line]) == 0


def test_nothing_served() -> None:
    assert _text([Agent("n1").told()], Choice()) == [
        "no CNI requests on n1 since 2026-01-02 03:00:00 UTC, when its agent started"
    ]


def test_a_long_reason_is_folded_on_a_terminal() -> None:
    told = [Agent("n1").refused("ADD", ErrorCode.INTERNAL, "word " * 40).told()]
    found = [plain(line) for line in lines(told, Choice(), 100)]
    assert max(map(len, found)) <= 100
    assert sum(line.count("word") for line in found) == 40


def test_for_programs() -> None:
    found = json.loads(json.dumps(as_json(_told(), [Silent("n3", "gone")], Choice(last=1))))
    assert found["nodes"] == [
        {"node": "n1", "since": "2026-01-02T03:00:00Z", "unseen": ""},
        {"node": "n2", "since": "2026-01-02T03:00:03Z", "unseen": ""},
        {"node": "n3", "since": None, "unseen": "gone"},
    ]
    assert found["latencies"][0] == {
        "node": None, "verb": "ADD", "step": None, "count": 3,
        "p50": 0.0037875, "p90": None, "p99": None, "largest": 10.0,
    }  # fmt: skip
    assert [each["step"] for each in found["latencies"]] == [None, "allocate", None]
    assert found["failures"][0] == {
        "node": None, "verb": "ADD", "code": 11, "meaning": "not now; the runtime is to try again", "count": 2,
    }  # fmt: skip
    assert found["last"] == [
        {
            "node": "n2", "time": "2026-01-02T03:00:23Z", "verb": "ADD", "container": "c1", "ifname": "",
            "namespace": "shop", "pod": "cart", "code": 11, "message": LATE, "seconds": 0.5,
        }
    ]  # fmt: skip


def test_for_programs_each_node_by_itself() -> None:
    found = as_json(_told(), [], Choice(by_node=True))
    assert [each["node"] for each in found["latencies"]] == ["n1", "n1", "n2", "n2", "n2"]
    assert [each["node"] for each in found["failures"]] == ["n1", "n2", "n2"]


def test_a_code_of_a_later_release() -> None:
    told = Agent("n1")
    told.metrics.failures.labels("ADD", 150).inc()
    assert _text([told.told()], Choice())[-1].endswith("150         1  a code that this weftctl does not know")
