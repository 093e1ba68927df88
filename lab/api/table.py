"""The objects of one resource and the recent past of them, from which watches resume and lists page consistently."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.api.errors import Obj, expired
from lab.api.resources import Resource
from lab.api.selectors import Query

ObjectName = tuple[str, str]  # namespace ("" for cluster-wide resources) and name
Change = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `object` is what it became (for DELETED: what it last was), `before` what it was until then."""

    version: int
    type: Change
    object: Obj
    before: Obj | None

    def seen_by(self, query: Query) -> tuple[Change, Obj] | None:
        """What a watcher with this query is told: an object that stops matching is DELETED for it, and so on."""
        was = self.before is not None and query.matches(self.before)
        now = self.type != "DELETED" and query.matches(self.object)
        if not (was or now):
            return None
        return ("MODIFIED" if was and now else "ADDED" if now else "DELETED"), self.object


class Table:
    """Objects by namespace and name, and at most `depth` changes; what is older has expired."""

    def __init__(self, resource: Resource, depth: int, floor: int) -> None:
        self.resource = resource
        self.objects: dict[ObjectName, Obj] = {}
        self._log: list[Event] = []
        self._depth = depth
        self._floor = floor

    def record(self, event: Event) -> None:
        at = name_of(event.object)
        if event.type == "DELETED":
            del self.objects[at]
        else:
            self.objects[at] = event.object
        self._log.append(event)
        # Trimmed in halves, so that a change costs the same however deep the history is.
        if len(self._log) >= 2 * self._depth:
            self._floor = self._log[-self._depth - 1].version
            del self._log[: -self._depth]

    def last(self) -> int:
        """The version of the newest change."""
        return self._log[-1].version if self._log else self._floor

    def since(self, version: int) -> Sequence[Event]:
        """The changes after a version. Raises ApiError 410 when some of them are forgotten."""
        if version < self._floor:
            raise expired(version, self._floor)
        return self._log[bisect_right(self._log, version, key=lambda event: event.version) :]

    def at(self, version: int) -> dict[ObjectName, Obj]:
        """All objects as they were at a version, by undoing what came after. Raises ApiError 410 as `since` does."""
        objects = dict(self.objects)
        for event in reversed(self.since(version)):
            if event.before is None:
                del objects[name_of(event.object)]
            else:
                objects[name_of(event.object)] = event.before
        return objects

    def within(self, namespace: str) -> Iterator[Obj]:
        return (obj for (place, _), obj in self.objects.items() if place == namespace)


def name_of(obj: Obj) -> ObjectName:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]
