"""Electors against the lab's API, over HTTP: one Lease, and an API that refuses, hangs and goes away."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from kube_fixture import FakeServer, Handler, serve, text

from kube import endpoint
from kube.annotations import OPENFLOW
from kube.election import Candidate, Election, Times
from kube.elector import Elector, Held, Lost, Taken, Told, Troubled
from kube.errors import ApiError, Unreachable
from kube.lease import Lease, LeaseKey, parse_lease
from lab.api import builtin
from lab.api.app import make_app
from lab.api.handle import LabApi
from lab.api.server import ApiServer, local_socket

WAIT = 20.0  # seconds; a bound on hanging, never the expected time
TIMES = Times(lease=5, deadline=4.0, retry=0.2)
KEY = LeaseKey("weft-system", "weft-controller")


@pytest.fixture
def api() -> LabApi:
    made = LabApi()
    made.create(builtin.NAMESPACES, {"metadata": {"name": KEY.namespace}})
    return made


@pytest.fixture
def server(api: LabApi) -> Iterator[ApiServer]:
    with ApiServer(make_app(api), [local_socket()]) as server:
        yield server


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Member:
    """An elector with all that it has told."""

    def __init__(self, name: str, url: str, stack: ExitStack, willing: Callable[[], bool] = lambda: True) -> None:
        self.name = name
        self.told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        candidate = Candidate(name, {OPENFLOW: f"unix:/{name}.sock"})
        at = endpoint.from_url(url)
        self.elector = Elector(at, KEY, Election(candidate, TIMES), self.told.put, willing)
        stack.callback(self._end)
        self.elector.start()

    def hears(self, *expected: Told) -> None:
        assert [self.told.get(timeout=WAIT) for _ in expected] == list(expected)

    def hears_at_last(self, kind: type[Told]) -> Told:
        while not isinstance(told := self.told.get(timeout=WAIT), kind):
            pass
        return told

    def rest(self) -> Iterator[Told]:
        """What it has told and nobody has listened to."""
        while not self.told.empty():
            yield self.told.get()

    def _end(self) -> None:
        try:
            self.elector.release()
        except (ApiError, Unreachable):
            return


def lease(api: LabApi) -> Lease:
    return parse_lease(json.dumps(api.get(builtin.LEASES, KEY.name, KEY.namespace)).encode())


def holder_of(api: LabApi) -> str:
    return lease(api).term.holder if api.list(builtin.LEASES).items else ""


def change(api: LabApi, **spec: Any) -> None:
    api.edit(builtin.LEASES, (KEY.namespace, KEY.name), lambda old: old | {"spec": old["spec"] | spec})


def annotate(api: LabApi, **annotations: str) -> None:
    def edit(old: Any) -> Any:
        meta = old["metadata"]
        return old | {"metadata": meta | {"annotations": {**meta.get("annotations", {}), **annotations}}}

    api.edit(builtin.LEASES, (KEY.namespace, KEY.name), edit)


def until(ask: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not ask():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


def test_the_first_makes_the_lease_and_says_where_it_listens(
    api: LabApi, server: ApiServer, started: ExitStack
) -> None:
    one = Member("one", server.urls[0], started)
    one.hears(Taken())
    made = lease(api)
    assert (made.term.holder, made.term.seconds, made.term.transitions) == ("one", 5, 0)
    assert made.meta.annotations == {OPENFLOW: "unix:/one.sock"}
    until(lambda: lease(api).term.renewed != made.term.renewed, "renewed")
    assert lease(api).term.acquired == made.term.acquired


def test_a_lease_that_is_released_goes_to_the_next_with_what_others_have_written_on_it(
    api: LabApi, server: ApiServer, started: ExitStack
) -> None:
    one = Member("one", server.urls[0], started)
    one.hears(Taken())
    two = Member("two", server.urls[0], started)
    two.hears(Held("one"))
    annotate(api, other="x")
    assert one.elector.release()
    two.hears(Taken())
    assert (lease(api).term.holder, lease(api).term.transitions) == ("two", 1)
    assert lease(api).meta.annotations == {OPENFLOW: "unix:/two.sock", "other": "x"}
    assert one.told.empty()


def test_who_is_killed_is_followed(api: LabApi, server: ApiServer, started: ExitStack) -> None:
    """What a killed process leaves is a record that nobody renews."""
    term = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2099-01-01T00:00:00.000000Z"}
    named = {"metadata": {"name": KEY.name}, "spec": term}
    api.create(builtin.LEASES, named, KEY.namespace)
    Member("two", server.urls[0], started).hears(Held("dead"), Taken())


def test_nothing_is_taken_before_one_is_willing(api: LabApi, server: ApiServer, started: ExitStack) -> None:
    ready: list[bool] = []
    asked: list[bool] = []

    def willing() -> bool:
        asked.append(True)
        return bool(ready)

    one = Member("one", server.urls[0], started, willing)
    until(lambda: len(asked) > 3, "asked again and again")
    assert api.list(builtin.LEASES).items == []
    ready.append(True)
    one.hears(Taken())


def test_of_many_at_once_there_is_always_one(api: LabApi, server: ApiServer, started: ExitStack) -> None:
    members = [Member(f"m{number}", server.urls[0], started) for number in range(8)]
    active: list[str] = []
    for turn in range(8):
        until(lambda: holder_of(api) not in {"", *active}, "the next")
        (holder,) = (each for each in members if each.name == holder_of(api))
        holder.hears_at_last(Taken)
        active.append(holder.name)
        assert lease(api).term.transitions == turn
        holder.elector.release()
    assert sorted(active) == sorted(each.name for each in members)
    assert not [told for each in members for told in each.rest() if isinstance(told, Lost | Taken)]


def test_a_write_of_somebody_else_in_between_is_no_loss(api: LabApi, server: ApiServer, started: ExitStack) -> None:
    one = Member("one", server.urls[0], started)
    one.hears(Taken())
    for number in range(5):
        before = lease(api).term.renewed
        annotate(api, number=str(number))
        until(lambda since=before: lease(api).term.renewed != since, "renewed after the conflict")
    assert one.told.empty()


@pytest.mark.parametrize("holder", ["thief", ""])
def test_a_holder_whose_lease_is_given_to_another_is_told(
    api: LabApi, server: ApiServer, started: ExitStack, holder: str
) -> None:
    one = Member("one", server.urls[0], started)
    one.hears(Taken())
    change(api, holderIdentity=holder)
    one.hears(Lost(f"{holder or 'nobody'} holds it now"))
    assert not one.elector.release()
    assert lease(api).term.holder == holder


def test_a_holder_whose_lease_is_deleted_is_told(api: LabApi, server: ApiServer, started: ExitStack) -> None:
    one = Member("one", server.urls[0], started)
    one.hears(Taken())
    api.delete(builtin.LEASES, KEY.name, KEY.namespace)
    one.hears(Lost("it was deleted"))


def test_an_api_that_goes_away_ends_the_holder_and_another_takes_it_afterwards(
    api: LabApi, started: ExitStack
) -> None:
    with ApiServer(make_app(api), [local_socket()]) as server:
        one = Member("one", server.urls[0], started)
        one.hears(Taken())
        two = Member("two", server.urls[0], started)
        two.hears(Held("one"))
        port = int(server.urls[0].rpartition(":")[2])
    told = one.hears_at_last(Troubled)
    assert isinstance(told, Troubled)
    assert "127.0.0.1" in told.problem
    one.hears(Lost("it could not be renewed for 4 s"))
    with pytest.raises(Unreachable):
        one.elector.release()
    two.hears_at_last(Troubled)
    with ApiServer(make_app(api), [local_socket(port)]):
        two.hears(Troubled(""), Taken())


def test_an_api_that_is_away_for_a_moment_ends_nobody(api: LabApi, started: ExitStack) -> None:
    with ApiServer(make_app(api), [local_socket()]) as server:
        one = Member("one", server.urls[0], started)
        one.hears(Taken())
        port = int(server.urls[0].rpartition(":")[2])
    one.hears_at_last(Troubled)
    with ApiServer(make_app(api), [local_socket(port)]):
        one.hears(Troubled(""))
        before = lease(api).term.renewed
        until(lambda: lease(api).term.renewed != before, "renewed again")
        assert one.told.empty()


def test_a_right_that_is_missing_is_a_problem_that_lasts(started: ExitStack) -> None:
    def forbidden(handler: Handler) -> None:
        status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "leases is forbidden"}
        text(403, json.dumps(status))(handler)

    for server in serve(FakeServer()):
        server.answers(*[forbidden] * 1000)
        one = Member("one", server.url, started)
        one.hears(Troubled("403 Forbidden: leases is forbidden"))
        assert one.elector.problem == "403 Forbidden: leases is forbidden"
        assert one.elector.alive


def test_a_holder_is_done_in_time_though_an_answer_never_ends(started: ExitStack) -> None:
    """The thread that waits for it hangs; what looks at the clock does not."""
    stored = {
        "metadata": {"name": KEY.name, "namespace": KEY.namespace, "resourceVersion": "1"},
        "spec": {"holderIdentity": "one", "leaseDurationSeconds": 5},
    }

    def dripping(handler: Handler) -> None:
        handler.begin_stream()
        while not handler.server.over.wait(0.1):
            handler.chunk(b" ")

    for server in serve(FakeServer()):
        server.answers(text(404, "{}"), text(201, json.dumps(stored)), *[dripping] * 3)
        one = Member("one", server.url, started)
        one.hears(Taken(), Lost("it could not be renewed for 4 s"))
        server.over.set()
