"""The reflector against real HTTP servers: one that misbehaves as scripted, and the lab's Kubernetes API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from kube_fixture import WAIT, Answer, FakeServer, Sink, change, endless, hang_up, listing, serve, stream, text

from kube import endpoint
from kube.changes import Applied, Change, Connected, Deleted, Disconnected, Listed, Refused
from kube.client import ApiClient, Where
from kube.errors import ApiError
from kube.events import About, Notice, event
from kube.listwatch import Pace
from kube.objects import parse_node
from kube.reflector import Reflector
from kube.resources import NAMESPACES, NODES, PODS
from lab.api import builtin
from lab.api.app import make_app
from lab.api.handle import LabApi
from lab.api.server import ApiServer, local_socket


@pytest.fixture
def server() -> Iterator[FakeServer]:
    yield from serve(FakeServer())


@pytest.fixture
def client(server: FakeServer) -> Iterator[ApiClient]:
    made = ApiClient(endpoint.from_url(server.url))
    yield made
    made.close()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def reflector(client: ApiClient, sink: Sink) -> Iterator[Reflector]:
    made = Reflector(client, NAMESPACES, sink.changes.put, pace=Pace(first=0.01, cap=0.05))
    yield made
    made.stop()


class TestReflector:
    def test_list_then_changes_in_order(self, server: FakeServer, reflector: Reflector, sink: Sink) -> None:
        server.answers(
            listing("a", version="5"),
            endless(change("ADDED", "b", "6"), change("DELETED", "a", "7")),
        )
        reflector.start()
        found = sink.until(Deleted)
        assert [type(each) for each in found] == [Listed, Connected, Applied, Deleted]
        watch = server.seen[1].path
        assert "watch=true" in watch
        assert "resourceVersion=5" in watch
        assert "allowWatchBookmarks=true" in watch

    def test_a_watch_that_ends_is_resumed_where_it_was(
        self, server: FakeServer, reflector: Reflector, sink: Sink
    ) -> None:
        server.answers(listing(version="5"), stream(change("ADDED", "a", "6")), endless(change("ADDED", "b", "7")))
        reflector.start()
        assert [type(sink.next()) for _ in range(4)] == [Listed, Connected, Applied, Applied]
        assert "resourceVersion=6" in server.seen[2].path

    def test_a_watch_that_breaks_is_told_and_resumed(
        self, server: FakeServer, reflector: Reflector, sink: Sink
    ) -> None:
        server.answers(listing(version="5"), hang_up(change("ADDED", "a", "6")), endless(change("ADDED", "b", "7")))
        reflector.start()
        kinds = [type(sink.next()) for _ in range(6)]
        assert kinds == [Listed, Connected, Applied, Disconnected, Connected, Applied]

    @pytest.mark.parametrize(
        "expired",
        [
            text(410, '{"kind":"Status","code":410,"reason":"Expired","message":"too old"}'),
            stream(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'),
        ],
        ids=["status", "line"],
    )
    def test_an_expired_version_is_listed_again(
        self, server: FakeServer, reflector: Reflector, sink: Sink, expired: Answer
    ) -> None:
        server.answers(listing("a"), expired, listing("b", version="9"), endless())
        reflector.start()
        assert isinstance(sink.next(), Listed)
        again = next(each for each in sink.until(Listed) if isinstance(each, Listed))
        assert [each.meta.name for each in again.objects] == ["b"]
        sink.until(Connected)
        assert "resourceVersion=9" in server.seen[3].path

    def test_a_server_that_comes_late(self, server: FakeServer, reflector: Reflector, sink: Sink) -> None:
        server.answers(*[text(500, "starting")] * 3, listing("a"), endless())
        reflector.start()
        assert [type(sink.next()) for _ in range(3)] == [Disconnected, Listed, Connected]

    def test_bad_objects_are_refused_and_life_goes_on(
        self, server: FakeServer, reflector: Reflector, sink: Sink
    ) -> None:
        server.answers(
            listing("a", ""),
            endless(change("ADDED", "", "6"), b'{"type":"ADDED","object":[]}\n', change("ADDED", "b", "7")),
        )
        reflector.start()
        kinds = [type(sink.next()) for _ in range(6)]
        assert kinds == [Refused, Listed, Connected, Refused, Refused, Applied]

    def test_garbage_in_the_stream_means_list_again(
        self, server: FakeServer, reflector: Reflector, sink: Sink
    ) -> None:
        server.answers(listing(), stream(b"\x00\xff garbage\n"), listing("a"), endless())
        reflector.start()
        kinds = [type(sink.next()) for _ in range(5)]
        assert kinds == [Listed, Connected, Disconnected, Listed, Connected]

    def test_stop_ends_a_silent_watch(self, server: FakeServer, reflector: Reflector, sink: Sink) -> None:
        server.answers(listing(), endless())
        reflector.start()
        sink.until(Connected)
        assert reflector.alive
        reflector.stop()
        assert not reflector.alive
        reflector.stop()

    def test_stop_ends_a_wait(self, client: ApiClient, server: FakeServer, sink: Sink) -> None:
        made = Reflector(client, NAMESPACES, sink.changes.put, pace=Pace(first=3600, cap=3600))
        server.answers(text(500, "no"))
        made.start()
        sink.until(Disconnected)
        made.stop()
        assert not made.alive

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_bug_in_the_sink_does_not_go_unnoticed(self, client: ApiClient, server: FakeServer) -> None:
        called = threading.Event()

        def broken(_: Change) -> None:
            called.set()
            raise KeyError("bug")

        made = Reflector(client, NAMESPACES, broken)
        server.answers(listing("a"), endless())
        made.start()
        assert called.wait(WAIT)
        made.stop()
        assert not made.alive
        assert len(server.seen) == 1

    def test_stop_before_start(self, reflector: Reflector) -> None:
        reflector.stop()
        assert not reflector.alive


def labelled(name: str, value: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"x": value}}}


@dataclass
class Mirror:
    """A consumer as the controller is one: what it holds is what was listed and changed since."""

    sink: Sink
    objects: dict[str, str] = field(default_factory=dict)

    def await_that(self, wanted: Callable[[], bool]) -> None:
        """Takes changes until it is so; a bounded number of them."""
        for _ in range(500):
            if wanted():
                return
            self._take(self.sink.next())
        raise AssertionError(f"still {self.objects}")

    def _take(self, change: Change) -> None:
        match change:
            case Listed(objects=objects):
                self.objects = {each.meta.key: each.meta.labels.get("x", "") for each in objects}
            case Applied(object=obj):
                self.objects[obj.meta.key] = obj.meta.labels.get("x", "")
            case Deleted(key=key):
                self.objects.pop(key, None)


class TestWithTheLabApi:
    """The same reflector against the lab's Kubernetes API on a real socket."""

    @pytest.fixture
    def api(self) -> LabApi:
        return LabApi(history=5, linger=0.0)

    @pytest.fixture
    def port(self) -> int:
        with local_socket() as free:
            return int(free.getsockname()[1])

    @pytest.fixture
    def lab_client(self, port: int) -> Iterator[ApiClient]:
        made = ApiClient(endpoint.from_url(f"http://127.0.0.1:{port}"))
        yield made
        made.close()

    @pytest.fixture
    def mirror(self, lab_client: ApiClient, sink: Sink) -> Iterator[Mirror]:
        """Of the Nodes."""
        reflector = Reflector(lab_client, NODES, sink.changes.put, pace=Pace(first=0.01, cap=0.05))
        reflector.start()
        yield Mirror(sink)
        reflector.stop()
        assert not reflector.alive

    def test_objects_come_change_and_go(self, api: LabApi, port: int, mirror: Mirror) -> None:
        api.create(builtin.NODES, labelled("a", "1"))
        with ApiServer(make_app(api), [local_socket(port)]):
            mirror.await_that(lambda: mirror.objects == {"a": "1"})
            api.create(builtin.NODES, labelled("b", "1"))
            api.apply(builtin.NODES, labelled("a", "2"))
            mirror.await_that(lambda: mirror.objects == {"a": "2", "b": "1"})
            api.delete(builtin.NODES, "a")
            mirror.await_that(lambda: mirror.objects == {"b": "1"})

    def test_a_patch_of_our_own_is_seen(self, api: LabApi, port: int, mirror: Mirror, lab_client: ApiClient) -> None:
        api.create(builtin.NODES, labelled("a", "1"))
        with ApiServer(make_app(api), [local_socket(port)]):
            mirror.await_that(lambda: mirror.objects == {"a": "1"})
            body = lab_client.patch_merge(NODES, "a", {"metadata": {"labels": {"x": "2"}}})
            assert parse_node(body).meta.labels["x"] == "2"
            mirror.await_that(lambda: mirror.objects == {"a": "2"})

    def test_a_server_restart_loses_nothing(self, api: LabApi, port: int, mirror: Mirror) -> None:
        with ApiServer(make_app(api), [local_socket(port)]):
            api.create(builtin.NODES, labelled("a", "1"))
            mirror.await_that(lambda: mirror.objects == {"a": "1"})
        api.delete(builtin.NODES, "a")
        api.create(builtin.NODES, labelled("b", "1"))
        with ApiServer(make_app(api), [local_socket(port)]):
            mirror.await_that(lambda: mirror.objects == {"b": "1"})

    def test_more_changes_than_the_server_remembers(self, api: LabApi, port: int, mirror: Mirror) -> None:
        with ApiServer(make_app(api), [local_socket(port)]):
            api.create(builtin.NODES, labelled("a", "0"))
            mirror.await_that(lambda: mirror.objects == {"a": "0"})
        for value in range(1, 20):
            api.apply(builtin.NODES, labelled("a", str(value)))
        with ApiServer(make_app(api), [local_socket(port)]):
            mirror.await_that(lambda: mirror.objects == {"a": "19"})

    def test_another_cluster_at_the_same_address(self, api: LabApi, port: int, mirror: Mirror) -> None:
        with ApiServer(make_app(api), [local_socket(port)]):
            for name in "abc":
                api.create(builtin.NODES, labelled(name, "1"))
            mirror.await_that(lambda: len(mirror.objects) == 3)
        other = LabApi(linger=0.0)
        other.create(builtin.NODES, labelled("z", "9"))
        with ApiServer(make_app(other), [local_socket(port)]):
            mirror.await_that(lambda: mirror.objects == {"z": "9"})

    def test_only_the_pods_of_one_node(self, api: LabApi, port: int, lab_client: ApiClient, sink: Sink) -> None:
        for name, node in (("here", "w1"), ("there", "w2")):
            pod = {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c"}]}}
            api.create(builtin.PODS, pod, "default")
        mirror = Mirror(sink)
        with ApiServer(make_app(api), [local_socket(port)]):
            reflector = Reflector(lab_client, PODS, sink.changes.put, Where("spec.nodeName=w1"))
            reflector.start()
            try:
                mirror.await_that(lambda: set(mirror.objects) == {"default/here"})
            finally:
                reflector.stop()

    def test_an_event_can_be_read_back(self, api: LabApi, port: int, lab_client: ApiClient) -> None:
        api.create(builtin.NODES, labelled("a", "1"))
        with ApiServer(make_app(api), [local_socket(port)]):
            now = datetime(2026, 11, 23, tzinfo=UTC)
            lab_client.create_event(event(About("Node", "a"), Notice("NoPodCIDR", "give it one"), "weft", now))
        (found,) = api.list(api.find("", "v1", "events")).items
        assert (found["reason"], found["involvedObject"]["name"]) == ("NoPodCIDR", "a")

    def test_kinds_and_errors_of_the_api(self, api: LabApi, port: int, lab_client: ApiClient) -> None:
        with ApiServer(make_app(api), [local_socket(port)]):
            with pytest.raises(ApiError, match="NotFound") as caught:
                lab_client.get(NODES, "gone")
            assert caught.value.status == 404
            (listed,) = lab_client.snapshot(NAMESPACES)
            assert isinstance(listed, Listed)
            assert "kube-system" in {each.meta.name for each in listed.objects}
