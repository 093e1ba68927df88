"""The law of the reflector: whatever happens on the way, the consumer ends with what the server has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube.changes import Applied, Change, Deleted, Listed
from kube.errors import ApiError, Unreachable
from kube.listwatch import ListPage, ListWatch, Pace
from kube.resources import NAMESPACES

NAMES = ("a", "b", "c", "d")


@dataclass
class Server:
    """A store with a history, of which it may forget the beginning."""

    version: int = 1
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[tuple[int, bytes]] = field(default_factory=list)
    oldest: int = 0

    def put(self, name: str, label: str) -> None:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        self.objects[name] = {
            "metadata": {"name": name, "resourceVersion": str(self.version), "labels": {"x": label}}
        }
        self._record(kind, self.objects[name])

    def delete(self, name: str) -> None:
        if name in self.objects:
            self.version += 1
            obj = self.objects.pop(name)
            obj["metadata"]["resourceVersion"] = str(self.version)
            self._record("DELETED", obj)

    def _record(self, kind: str, obj: dict[str, Any]) -> None:
        self.history.append((self.version, msgspec.json.encode({"type": kind, "object": obj})))

    def listed(self) -> bytes:
        meta = {"resourceVersion": str(self.version)}
        return msgspec.json.encode({"metadata": meta, "items": list(self.objects.values())})

    def since(self, version: int) -> list[bytes]:
        return [text for at, text in self.history if at > version]


class Consumer(dict[str, str]):
    def take(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if isinstance(change, Listed):
                self.clear()
                self.update((each.meta.key, each.meta.labels["x"]) for each in change.objects)
            elif isinstance(change, Applied):
                self[change.object.meta.key] = change.object.meta.labels["x"]
            elif isinstance(change, Deleted):
                self.pop(change.key, None)


def run_one(state: ListWatch, server: Server, consumer: Consumer, lines: int) -> None:
    """One request; a watch breaks off after so many lines, -1: it does not break."""
    step = state.step()
    if isinstance(step, ListPage):
        consumer.take(state.page(server.listed()))
        return
    version = int(step.resource_version)
    if version < server.oldest:
        consumer.take(state.failed(ApiError(410, "Expired", "too old")))
        return
    consumer.take(state.opened())
    pending = server.since(version)
    for text in pending if lines < 0 else pending[:lines]:
        consumer.take(state.line(text))
    consumer.take(state.ended() if lines < 0 else state.failed(Unreachable("reset")))


actions = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from("xyz")),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("forget"), st.just(""), st.just("")),
    st.tuples(st.just("unreachable"), st.just(""), st.just("")),
    st.tuples(st.just("run"), st.just(""), st.sampled_from(["0", "1", "2", "-1"])),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(actions, max_size=40))
def test_the_consumer_ends_with_what_the_server_has(script: list[tuple[str, str, str]]) -> None:
    server, consumer = Server(), Consumer()
    state = ListWatch(NAMESPACES, Pace(clock=lambda: 0.0, random=lambda: 0.0))
    for what, name, text in script:
        if what == "put":
            server.put(name, text)
        elif what == "delete":
            server.delete(name)
        elif what == "forget":
            server.oldest = server.version
        elif what == "unreachable":
            consumer.take(state.failed(Unreachable("refused")))
        else:
            run_one(state, server, consumer, int(text))
    for _ in range(3):  # at worst: an expired watch, a list, a watch
        run_one(state, server, consumer, -1)
    assert consumer == {name: obj["metadata"]["labels"]["x"] for name, obj in server.objects.items()}
