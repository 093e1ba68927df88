"""The cluster in memory: every object, one growing resourceVersion, and the rules between objects.

Pure: no I/O, no locks, and the clock and the ids are arguments. Objects that go in or come out are shared with the
history, so nobody may change them in place. `handle.LabApi` is the thread-safe way in.
Source: Kubernetes API concepts ("Efficient detection of changes", "Resource versions"), namespaces and finalizers.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from lab.api import lifecycle
from lab.api.builtin import NAMESPACES
from lab.api.errors import ApiError, Obj, already_exists, bad_request, conflict, forbidden, not_found, too_large
from lab.api.resources import GroupResource, Resource
from lab.api.selectors import Query
from lab.api.table import Change, Event, ObjectName, Table, name_of

# Which part of an object an update is about; resources without a status subresource have only "main".
Part = Literal["main", "status", "all"]
_EVERYTHING = Query()
_UNDELETABLE = frozenset({"default", "kube-system", "kube-public"})


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """meta/v1 DeleteOptions, as far as they matter here; grace in seconds, None for the object's own."""

    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` objects (0: all) from where the last page's token says."""

    limit: int = 0
    token: str = ""
    exactly: int | None = None  # the version to show; None for the current one
    not_before: int = 0  # a version that the answer must include


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of objects in order of namespace and name, all as they were at `version`."""

    items: Sequence[Obj]
    version: int
    token: str = ""
    remaining: int = 0


class Store:
    """`history`: how many changes of each resource a watch can catch up on."""

    def __init__(self, clock: Callable[[], datetime], new_uid: Callable[[], str], history: int = 2000) -> None:
        self.version = 0
        self._clock = clock
        self._new_uid = new_uid
        self._history = history
        self._tables: dict[GroupResource, Table] = {}

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj:
        """Raises ApiError 404."""
        found = self._table(resource).objects.get((namespace, name))
        if found is None:
            raise not_found(resource.title, name)
        return found

    def list(self, resource: Resource, query: Query = _EVERYTHING, page: Page | None = None) -> Listing:
        """Raises ApiError 410 when a later page comes too late, 504 for a version from the future."""
        page = page or Page()
        version, after = self._position(page)
        table = self._table(resource)
        objects = table.objects if version == self.version else table.at(version)
        names = sorted(at for at, obj in objects.items() if at > after and query.matches(obj))
        cut = page.limit or len(names)
        items = [objects[at] for at in names[:cut]]
        more = len(names) - len(items)
        return Listing(items, version, _token(version, names[cut - 1]) if more else "", more)

    def events(self, resource: Resource, since: int) -> Sequence[Event]:
        """The changes after a version, oldest first. Raises ApiError 410 when they are no longer known."""
        if since > self.version:
            # The version of an earlier life of this API. Waiting for it would be waiting for ever.
            raise ApiError(410, "Expired", f"resource version {since} is from another history: list again")
        return self._table(resource).since(since)

    def changed(self, since: int) -> Sequence[Resource]:
        """The resources with changes after a version."""
        return [table.resource for table in self._tables.values() if table.last() > since]

    def create(self, resource: Resource, obj: Any, namespace: str = "", *, dry: bool = False) -> Obj:
        """Raises ApiError 400 or 422 for a bad object, 404 or 403 for its namespace, 409 when it exists."""
        birth = lifecycle.Birth(self._new_uid(), self._clock(), namespace)
        new = lifecycle.born(resource, obj, birth)
        place, name = name_of(new)
        if place:
            self._check_namespace(resource, place, name)
        if (place, name) in self._table(resource).objects:
            raise already_exists(resource.title, name)
        if dry:
            return new
        self._make_room(resource)
        return self._record(resource, "ADDED", new, None)

    def replace(self, resource: Resource, obj: Obj, part: Part = "main", *, dry: bool = False) -> Obj:
        """Updates the object of the same name: all but its status, only its status, or all of it.

        Raises ApiError 404, 400 or 422 for a bad object, 409 when its resourceVersion is stale.
        """
        meta = obj["metadata"]
        old = self.get(resource, meta["name"], meta.get("namespace", "") if resource.namespaced else "")
        current = old["metadata"]["resourceVersion"]
        if meta.get("resourceVersion", current) not in (current, ""):
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(resource.title, meta["name"], why)
        if part == "status":
            new = lifecycle.with_status(resource, old, obj)
        else:
            new = lifecycle.updated(resource, old, obj, keep_status=part == "main")
        return self._commit(resource, new, old, dry=dry)

    def delete(self, resource: Resource, name: str, namespace: str = "", options: DeleteOptions | None = None) -> Obj:
        """Deletes, or marks as deleted what a node or a finalizer still holds; see `exists` for which.

        A namespace is only marked, until `empty_namespace`.
        Returns the object as it last was. Raises ApiError 404, 403, or 409 for an unmet precondition.
        """
        options = options or DeleteOptions()
        old = self.get(resource, name, namespace)
        _check_preconditions(resource, old, options)
        if resource.key == NAMESPACES.key:
            return self._delete_namespace(old, options)
        new = lifecycle.marked(old, lifecycle.grace_period(resource, old, options.grace), self._clock())
        return self._commit(resource, new, old, dry=options.dry)

    def empty_namespace(self, name: str) -> None:
        """Deletes what is in a deleted namespace; it goes itself with the last object. Twice is once."""
        for table in list(self._tables.values()):
            for obj in list(table.within(name)):
                self.delete(table.resource, obj["metadata"]["name"], name)
        self._finish_namespace(name)

    def exists(self, resource: Resource, obj: Obj) -> bool:
        """Whether this very object (not a later one of the same name) is still there."""
        found = self._table(resource).objects.get(name_of(obj))
        return found is not None and found["metadata"]["uid"] == obj["metadata"]["uid"]

    def clear(self, resource: Resource) -> None:
        """Removes every object of a resource at once, for a resource that is no longer served."""
        for obj in list(self._table(resource).objects.values()):
            self._record(resource, "DELETED", obj, obj)

    def _table(self, resource: Resource) -> Table:
        table = self._tables.get(resource.key)
        if table is None:
            table = self._tables[resource.key] = Table(resource, self._history, 0)
        return table

    def _commit(self, resource: Resource, new: Obj, old: Obj, *, dry: bool) -> Obj:
        """Stores a new state; one that nothing holds any more is a removal, one that is no change is nothing."""
        if lifecycle.is_finished(new) and not (resource.key == NAMESPACES.key and self._holds_any(new)):
            return new if dry else self._remove(resource, new, old)
        return new if dry or new == old else self._record(resource, "MODIFIED", new, old)

    def _record(self, resource: Resource, change: Change, new: Obj, old: Obj | None) -> Obj:
        self.version += 1
        new = new | {"metadata": new["metadata"] | {"resourceVersion": str(self.version)}}
        self._table(resource).record(Event(self.version, change, new, old))
        return new

    def _make_room(self, resource: Resource) -> None:
        objects = self._table(resource).objects
        if resource.keep and len(objects) >= resource.keep:
            # A dict remembers the order in which its keys came, so the first is the oldest.
            oldest = next(iter(objects.values()))
            self._record(resource, "DELETED", oldest, oldest)

    def _remove(self, resource: Resource, new: Obj, old: Obj) -> Obj:
        gone = self._record(resource, "DELETED", new, old)
        if place := gone["metadata"].get("namespace"):
            self._finish_namespace(place)
        return gone

    def _delete_namespace(self, old: Obj, options: DeleteOptions) -> Obj:
        name = old["metadata"]["name"]
        if name in _UNDELETABLE:
            raise forbidden(NAMESPACES.title, name, "this namespace may not be deleted")
        new = lifecycle.marked(old, 0, self._clock()) | {"status": {"phase": "Terminating"}}
        return new if options.dry or new == old else self._record(NAMESPACES, "MODIFIED", new, old)

    def _finish_namespace(self, name: str) -> None:
        """A namespace that is being deleted goes with the last object in it."""
        namespace = self._table(NAMESPACES).objects.get(("", name))
        if namespace and lifecycle.is_finished(namespace) and not self._holds_any(namespace):
            self._record(NAMESPACES, "DELETED", namespace, namespace)

    def _holds_any(self, namespace: Obj) -> bool:
        name = namespace["metadata"]["name"]
        return any(next(table.within(name), None) is not None for table in self._tables.values())

    def _check_namespace(self, resource: Resource, place: str, name: str) -> None:
        namespace = self.get(NAMESPACES, place)
        if "deletionTimestamp" in namespace["metadata"]:
            why = f"unable to create new content in namespace {place} because it is being terminated"
            raise forbidden(resource.title, name, why)

    def _position(self, page: Page) -> tuple[int, ObjectName]:
        version, after = _read_token(page.token) if page.token else (page.exactly, ("", ""))
        version = self.version if version is None else version
        if max(version, page.not_before) > self.version:
            raise too_large(max(version, page.not_before), self.version)
        return version, after


def _check_preconditions(resource: Resource, old: Obj, options: DeleteOptions) -> None:
    meta = old["metadata"]
    for field, asked in (("uid", options.uid), ("resourceVersion", options.version)):
        if asked not in (None, meta[field]):
            why = f"the {field} in the precondition ({asked}) does not match the {field} in record ({meta[field]})"
            raise conflict(resource.title, meta["name"], why)


def _token(version: int, last: ObjectName) -> str:
    return urlsafe_b64encode(msgspec.json.encode((version, last))).decode()


def _read_token(token: str) -> tuple[int, ObjectName]:
    try:
        return msgspec.json.decode(urlsafe_b64decode(token), type=tuple[int, ObjectName])
    except ValueError as e:
        raise bad_request(f"continue token {token!r} is not one that this API gave out") from e
