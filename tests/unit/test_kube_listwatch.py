"""The list-and-watch protocol, told in bytes: what it asks next and what it passes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from kube.changes import Applied, Change, Connected, Deleted, Disconnected, Listed, Refused
from kube.errors import ApiError, Unreachable
from kube.listwatch import ListPage, ListWatch, Pace, Watch
from kube.resources import NODES


def node(name: str, version: str = "1", cidr: Any = "10.0.0.0/24") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}, "spec": {"podCIDR": cidr}}


def page(*items: dict[str, Any], version: str = "10", token: str = "") -> bytes:
    return msgspec.json.encode({"metadata": {"resourceVersion": version, "continue": token}, "items": items})


def line(kind: str, obj: Any) -> bytes:
    return msgspec.json.encode({"type": kind, "object": obj})


def gone() -> bytes:
    return line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


class Clock:
    """Time that passes when told to; random numbers that are always the greatest."""

    now = 100.0

    def pace(self) -> Pace:
        return Pace(first=1.0, cap=8.0, settled=5.0, clock=lambda: self.now, random=lambda: 1.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> ListWatch:
    return ListWatch(NODES, clock.pace())


@pytest.fixture
def watching(state: ListWatch) -> ListWatch:
    """Listed nothing at version 10 and opened the watch."""
    state.page(page())
    state.opened()
    return state


def summary(changes: list[Change]) -> list[str]:
    names: list[str] = []
    for change in changes:
        match change:
            case Listed(objects=objects):
                names.append("listed " + ",".join(each.meta.name for each in objects))
            case Applied(object=obj):
                names.append(f"applied {obj.meta.name}")
            case Deleted(key=key):
                names.append(f"deleted {key}")
            case Refused(key=key):
                names.append(f"refused {key}")
            case Connected() | Disconnected():
                names.append(type(change).__name__.lower())
    return names


class TestListing:
    def test_first_asks_for_a_list_at_once(self, state: ListWatch) -> None:
        assert state.step() == ListPage("", 0.0)
        assert state.step() == ListPage("", 0.0)

    def test_a_list_is_passed_on_whole_and_watched_from_its_version(self, state: ListWatch) -> None:
        assert summary(state.page(page(node("a"), node("b"), version="77"))) == ["listed a,b"]
        assert state.step() == Watch("77", 0.0)

    def test_an_empty_list_is_news(self, state: ListWatch) -> None:
        assert state.page(page()) == [Listed("Node", ())]

    def test_null_items_are_none(self, state: ListWatch) -> None:
        assert state.page(b'{"metadata":{"resourceVersion":"1"},"items":null}') == [Listed("Node", ())]

    def test_pages_are_put_together(self, state: ListWatch) -> None:
        assert state.page(page(node("a"), token="t1")) == []
        assert state.step() == ListPage("t1", 0.0)
        assert summary(state.page(page(node("b"), version="11"))) == ["listed a,b"]
        assert state.step() == Watch("11", 0.0)

    def test_an_unreadable_item_is_refused_and_the_rest_listed(self, state: ListWatch) -> None:
        refused, listed = state.page(page(node("a"), node("b", cidr="banana"), node("c")))
        assert isinstance(refused, Refused)
        assert (refused.kind, refused.key) == ("Node", "b")
        assert "spec.podCIDR is 'banana'" in refused.message
        assert isinstance(listed, Listed)
        assert [each.meta.name for each in listed.objects] == ["a", "c"]
        assert listed.refused == {"b"}

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items":[]}', b'{"metadata":{},"items":[]}'])
    def test_an_answer_that_is_no_list_is_asked_for_again(self, state: ListWatch, body: bytes) -> None:
        assert summary(state.page(body)) == ["disconnected"]
        assert state.step() == ListPage("", 1.0)

    def test_a_list_whose_pages_expired_starts_again(self, state: ListWatch) -> None:
        state.page(page(node("a"), token="t1"))
        state.failed(ApiError(410, "Expired", "the token is too old"))
        assert state.step() == ListPage("", 1.0)
        assert summary(state.page(page(node("b")))) == ["listed b"]

    def test_a_connection_lost_between_pages_goes_on_where_it_was(self, state: ListWatch) -> None:
        state.page(page(node("a"), token="t1"))
        state.failed(Unreachable("reset"))
        assert state.step() == ListPage("t1", 1.0)
        assert summary(state.page(page(node("b")))) == ["listed a,b"]


class TestWatching:
    def test_says_once_that_it_is_connected(self, state: ListWatch) -> None:
        state.page(page())
        assert state.opened() == [Connected("Node")]
        state.ended()
        assert state.opened() == []

    @pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
    def test_a_changed_object(self, watching: ListWatch, kind: str) -> None:
        (change,) = watching.line(line(kind, node("a", "11")))
        assert isinstance(change, Applied)
        assert (change.kind, change.object.meta.name) == ("Node", "a")
        assert watching.step() == Watch("11", 0.0)

    def test_a_deleted_object(self, watching: ListWatch) -> None:
        assert watching.line(line("DELETED", node("a", "12"))) == [Deleted("Node", "a")]
        assert watching.step() == Watch("12", 0.0)

    def test_an_unreadable_object_that_is_deleted_is_gone_all_the_same(self, watching: ListWatch) -> None:
        assert watching.line(line("DELETED", node("a", "12", cidr=7))) == [Deleted("Node", "a")]

    def test_a_bookmark_moves_on_in_silence(self, watching: ListWatch) -> None:
        assert watching.line(line("BOOKMARK", {"metadata": {"resourceVersion": "500"}})) == []
        assert watching.step() == Watch("500", 0.0)

    def test_an_unreadable_object_is_refused_and_the_watch_goes_on(self, watching: ListWatch) -> None:
        (change,) = watching.line(line("MODIFIED", node("a", "13", cidr="x")))
        assert isinstance(change, Refused)
        assert change.key == "a"
        assert watching.watching
        assert watching.step() == Watch("13", 0.0)

    def test_a_nameless_object_is_refused_and_the_watch_goes_on(self, watching: ListWatch) -> None:
        assert summary(watching.line(line("ADDED", {"metadata": {"resourceVersion": 3}}))) == ["refused "]
        assert watching.step() == Watch("10", 0.0)

    @pytest.mark.parametrize("text", [b"", b"{", b'{"type":"ADDED"}', b"\x00" * 300, b"[1]"])
    def test_a_line_that_is_none_means_list_again(self, watching: ListWatch, text: bytes) -> None:
        assert summary(watching.line(text)) == ["disconnected"]
        assert not watching.watching
        assert watching.step() == ListPage("", 1.0)

    def test_a_deletion_of_nothing_means_list_again(self, watching: ListWatch) -> None:
        assert summary(watching.line(line("DELETED", {}))) == ["disconnected"]
        assert watching.step() == ListPage("", 1.0)


class TestResuming:
    def test_an_expired_version_means_list_again(self, watching: ListWatch) -> None:
        (change,) = watching.line(gone())
        assert change == Disconnected("Node", "410 Expired: too old")
        assert not watching.watching
        assert watching.step() == ListPage("", 1.0)
        assert summary(watching.page(page(node("a"), version="20"))) == ["listed a"]
        assert watching.opened() == [Connected("Node")]

    @pytest.mark.parametrize("status", [400, 403, 404, 410, 500, 504])
    def test_a_refused_watch_means_list_again(self, state: ListWatch, status: int) -> None:
        state.page(page())
        state.failed(ApiError(status, "No", "no"))
        assert state.step() == ListPage("", 1.0)

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_server_is_not_burdened_with_a_list(self, watching: ListWatch, status: int) -> None:
        watching.failed(ApiError(status, "Busy", "later"))
        assert watching.step() == Watch("10", 1.0)

    def test_a_busy_server_says_how_long(self, watching: ListWatch) -> None:
        watching.failed(ApiError(429, "TooManyRequests", "later", retry_after=4.0))
        assert watching.step() == Watch("10", 4.0)

    def test_but_not_for_ever(self, watching: ListWatch) -> None:
        watching.failed(ApiError(429, "TooManyRequests", "later", retry_after=1e9))
        assert watching.step() == Watch("10", 8.0)

    def test_retry_after_inside_an_error_line(self, watching: ListWatch) -> None:
        status = {"code": 429, "reason": "TooManyRequests", "details": {"retryAfterSeconds": 3}}
        watching.line(line("ERROR", status))
        assert watching.step() == Watch("10", 3.0)

    @pytest.mark.parametrize("status", [{}, {"code": "x"}, "text", None, [1]])
    def test_an_error_line_of_any_shape(self, watching: ListWatch, status: Any) -> None:
        assert summary(watching.line(line("ERROR", status))) == ["disconnected"]
        assert watching.step() == ListPage("", 1.0)

    def test_a_broken_connection_is_resumed(self, watching: ListWatch) -> None:
        assert watching.failed(Unreachable("reset by peer")) == [Disconnected("Node", "reset by peer")]
        assert watching.step() == Watch("10", 1.0)
        assert watching.opened() == [Connected("Node")]

    def test_it_is_lost_only_once(self, watching: ListWatch) -> None:
        assert summary(watching.failed(Unreachable("a"))) == ["disconnected"]
        assert watching.failed(Unreachable("b")) == []

    def test_being_unreachable_from_the_start_is_told(self, state: ListWatch) -> None:
        assert summary(state.failed(Unreachable("refused"))) == ["disconnected"]


class TestPace:
    def test_waits_longer_each_time_up_to_a_limit(self, state: ListWatch) -> None:
        waits = []
        for _ in range(6):
            state.failed(Unreachable("refused"))
            waits.append(state.step().delay)
        assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]

    def test_a_share_of_the_wait_is_random(self, clock: Clock) -> None:
        calm = replace(clock.pace(), random=lambda: 0.0)
        assert [calm.delay(n) for n in range(4)] == [0.0, 0.5, 1.0, 2.0]

    def test_any_number_of_failures(self, clock: Clock) -> None:
        assert clock.pace().delay(10**9) == 8.0

    def test_a_line_is_forgiveness(self, state: ListWatch) -> None:
        for _ in range(5):
            state.failed(Unreachable("refused"))
        state.page(page())
        state.opened()
        state.line(line("ADDED", node("a", "11")))
        state.failed(Unreachable("reset"))
        assert state.step().delay == 1.0

    def test_a_list_alone_is_not_forgiveness(self, state: ListWatch) -> None:
        """Else a server that lists and refuses every watch would be asked without a pause."""
        waits = []
        for _ in range(4):
            state.page(page())
            state.failed(ApiError(400, "BadRequest", "no watch"))
            waits.append(state.step().delay)
        assert waits == [1.0, 2.0, 4.0, 8.0]

    def test_a_server_that_is_back_and_has_forgotten_the_version_is_listed_at_once(self, watching: ListWatch) -> None:
        for _ in range(5):
            watching.failed(Unreachable("refused"))
        assert watching.step() == Watch("10", 8.0)
        watching.failed(ApiError(410, "Expired", "too old resource version"))
        assert watching.step() == ListPage("", 1.0)

    def test_a_server_that_forgets_every_version_is_asked_less_and_less(self, watching: ListWatch) -> None:
        waits = []
        for _ in range(4):
            watching.failed(ApiError(410, "Expired", "too old resource version"))
            waits.append(watching.step().delay)
            watching.page(page())
            watching.opened()
        assert waits == [1.0, 2.0, 4.0, 8.0]

    def test_a_server_that_is_back_and_refuses_otherwise_is_not_hurried(self, watching: ListWatch) -> None:
        watching.failed(Unreachable("refused"))
        watching.failed(ApiError(403, "Forbidden", "no"))
        assert watching.step() == ListPage("", 2.0)

    def test_a_quiet_watch_that_lived_is_forgiveness(self, state: ListWatch, clock: Clock) -> None:
        for _ in range(5):
            state.failed(Unreachable("refused"))
        state.page(page())
        state.opened()
        clock.now += 3600
        state.failed(Unreachable("reset"))
        assert state.step() == Watch("10", 1.0)

    def test_a_watch_that_ends_in_its_time_is_resumed_at_once(self, watching: ListWatch, clock: Clock) -> None:
        clock.now += 300
        assert watching.ended() == []
        assert watching.step() == Watch("10", 0.0)

    def test_a_watch_that_told_something_is_resumed_at_once(self, watching: ListWatch) -> None:
        watching.line(line("ADDED", node("a", "11")))
        watching.ended()
        assert watching.step() == Watch("11", 0.0)

    def test_watches_that_end_at_once_do_not_spin(self, watching: ListWatch) -> None:
        waits = []
        for _ in range(5):
            watching.ended()
            waits.append(watching.step().delay)
            watching.opened()
        assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]

    def test_bookmarks_alone_do_not_excuse_spinning(self, watching: ListWatch) -> None:
        for version in range(3):
            watching.line(line("BOOKMARK", {"metadata": {"resourceVersion": f"5{version}"}}))
            watching.ended()
            assert watching.step().delay > 0
            watching.opened()
