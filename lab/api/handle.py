"""The API for code in the same process: typed calls, safe from any thread, and watches that block.

One lock guards the store, and no call holds it for longer than a change in memory takes. What follows from a change
(a pod gets a node, a CustomResourceDefinition becomes a resource) happens before the call returns; then the watchers
of the changed resources are woken. Objects are shared with the store: read them, never change them in place.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from lab.api import crd, lifecycle, scheduler
from lab.api.builtin import CRDS, NAMESPACES, NODES, PODS, builtin
from lab.api.errors import ApiError, Obj, no_such_path
from lab.api.resources import GroupResource, Resource
from lab.api.selectors import Query
from lab.api.store import DeleteOptions, Listing, Page, Part, Store
from lab.api.strategic import strategic_merge
from lab.api.table import Change, Event, ObjectName, name_of

EVERYTHING = Query()
# A deleted namespace keeps what is in it for a moment, as in a real cluster: `kubectl delete -f` names the namespace
# and then what is inside, and would report each of those as not found.
NAMESPACE_LINGER_SECONDS = 1.0
_FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def utc_now() -> datetime:
    return datetime.now(UTC)


def random_uid() -> str:
    return str(uuid.uuid4())


class LabApi:
    """The embedded API. Every method raises ApiError as the API server would refuse the same request.

    `history`: changes of each resource that a watch can catch up on; `linger`: seconds, see
    NAMESPACE_LINGER_SECONDS.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = utc_now,
        new_uid: Callable[[], str] = random_uid,
        history: int = 2000,
        linger: float = NAMESPACE_LINGER_SECONDS,
    ) -> None:
        self._linger = linger
        self.clock = clock
        self.registry = builtin()
        self._store = Store(clock, new_uid, history)
        self._lock = threading.RLock()
        self._wakes: dict[GroupResource, list[Callable[[], None]]] = {}
        for name in _FIRST_NAMESPACES:
            self.create(NAMESPACES, {"metadata": {"name": name}})

    @property
    def version(self) -> int:
        """The current resourceVersion."""
        return self._store.version

    def register(self, resource: Resource) -> None:
        """Serves a resource from now on; clients that discover resources again will see it."""
        with self._lock:
            self.registry.add(resource)

    def find(self, group: str, version: str, plural: str) -> Resource:
        """Raises ApiError 404 for a resource that is not served."""
        with self._lock:
            found = self.registry.find(group, version, plural)
        if found is None:
            raise no_such_path()
        return found

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj:
        with self._lock:
            return self._store.get(resource, name, namespace)

    def list(self, resource: Resource, query: Query = EVERYTHING, page: Page | None = None) -> Listing:
        with self._lock:
            return self._store.list(resource, query, page)

    def events(self, resource: Resource, since: int) -> tuple[Sequence[Event], int]:
        """The changes after a version, and the version up to which these are all. Raises ApiError 410."""
        with self._lock:
            events = self._store.events(resource, since)
            if not events and self.registry.find(resource.group, resource.version, resource.plural) is None:
                raise no_such_path()
            return events, self._store.version

    def create(self, resource: Resource, obj: Obj, namespace: str = "", *, dry: bool = False) -> Obj:
        with self._writing():
            return self._store.create(resource, obj, namespace, dry=dry)

    def replace(self, resource: Resource, obj: Obj, part: Part = "main", *, dry: bool = False) -> Obj:
        """Updates an object (`part`: all but the status, the status, or both); see `Store.replace`."""
        with self._writing():
            return self._store.replace(resource, obj, part, dry=dry)

    def edit(
        self,
        resource: Resource,
        at: ObjectName,
        change: Callable[[Obj], Obj],
        part: Part = "main",
        *,
        dry: bool = False,
    ) -> Obj:
        """Reads the object at (namespace, name), replaces it by `change` of it, with nobody in between."""
        with self._writing():
            old = self._store.get(resource, at[1], at[0])
            return self._store.replace(resource, change(old), part, dry=dry)

    def apply(self, resource: Resource, obj: Obj, namespace: str = "", *, dry: bool = False) -> tuple[Obj, bool]:
        """Server-side apply: creates, or merges into what is there. Returns the object and whether it is new."""
        place = (obj["metadata"].get("namespace") or namespace) if resource.namespaced else ""
        with self._writing():
            try:
                old = self._store.get(resource, obj["metadata"]["name"], place)
            except ApiError:
                return self._store.create(resource, obj, namespace, dry=dry), True
            merged = strategic_merge(old, obj, resource.list_keys)
            return self._store.replace(resource, merged, dry=dry), False

    def delete(self, resource: Resource, name: str, namespace: str = "", options: DeleteOptions | None = None) -> Obj:
        with self._writing():
            last = self._store.delete(resource, name, namespace, options)
            if resource.key == NAMESPACES.key:
                self._soon(lambda: self._empty(last))
            return last

    def delete_collection(self, resource: Resource, query: Query, options: DeleteOptions | None = None) -> Listing:
        """Deletes everything the query matches; returns what it was."""
        with self._writing():
            doomed = self._store.list(resource, query)
            for obj in doomed.items:
                namespace, name = name_of(obj)
                self._store.delete(resource, name, namespace, options)
            return doomed

    def exists(self, resource: Resource, obj: Obj) -> bool:
        """Whether this object, by its uid, is still there (it may be on its way out)."""
        with self._lock:
            return self._store.exists(resource, obj)

    @contextmanager
    def watch(self, resource: Resource, query: Query = EVERYTHING, since: int | None = None) -> Iterator["Watch"]:
        """Changes from a version on; without one, first everything there is as ADDED."""
        watch = Watch(self, resource, query, since)
        with self.subscribed(resource, watch.wake):
            yield watch

    @contextmanager
    def subscribed(self, resource: Resource, wake: Callable[[], None]) -> Iterator[None]:
        """Calls `wake` after changes of a resource. It is called under the lock: it must only set something."""
        with self._lock:
            self._wakes.setdefault(resource.key, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakes[resource.key].remove(wake)

    def _soon(self, follow_up: Callable[[], None]) -> None:
        if not self._linger:
            follow_up()
            return
        timer = threading.Timer(self._linger, follow_up)
        timer.daemon = True
        timer.start()

    def _empty(self, namespace: Obj) -> None:
        """Empties a namespace, unless it is another of the same name by now, or was only to be deleted for show."""
        with self._writing():
            if not self._store.exists(NAMESPACES, namespace):
                return
            current = self._store.get(NAMESPACES, namespace["metadata"]["name"])
            if "deletionTimestamp" in current["metadata"]:
                self._store.empty_namespace(current["metadata"]["name"])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            before = self._store.version
            try:
                yield
            finally:
                if self._store.version > before:
                    self._follow(before)

    def _follow(self, before: int) -> None:
        changed = {resource.key for resource in self._store.changed(before)}
        if CRDS.key in changed:
            self._serve_definitions(before)
        if NODES.key in changed or (PODS.key in changed and self._has_waiting(before)):
            self._schedule()
        for resource in self._store.changed(before):
            for wake in self._wakes.get(resource.key, ()):
                wake()

    def _serve_definitions(self, before: int) -> None:
        for event in self._store.events(CRDS, before):
            resources = crd.from_crd(event.object)
            self.registry.remove(resources[0].key)
            if event.type == "DELETED":
                self._store.clear(resources[0])
                continue
            for resource in resources:
                self.registry.add(resource)
            if not event.object.get("status"):
                served = crd.established(event.object, lifecycle.timestamp(self.clock()))
                self._store.replace(CRDS, served, "status")

    def _has_waiting(self, before: int) -> bool:
        try:
            return any(scheduler.is_waiting(event.object) for event in self._store.events(PODS, before))
        except ApiError:
            return True  # More changes than the history holds: ask about all pods.

    def _schedule(self) -> None:
        now = lifecycle.timestamp(self.clock())
        for decision in scheduler.decide(self._store.list(PODS).items, self._store.list(NODES).items):
            self._store.replace(PODS, scheduler.scheduled(decision, now), "all")


class Watch:
    """A blocking watch: take from it with `next`, end it from any thread with `close`."""

    def __init__(self, api: LabApi, resource: Resource, query: Query, since: int | None) -> None:
        self._api = api
        self._resource = resource
        self._query = query
        self._woken = threading.Event()
        self._closed = False
        self._pending: list[tuple[Change, Obj]] = []
        self._cursor = since if since is not None else self._start()

    @property
    def closed(self) -> bool:
        return self._closed

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """A waiting `next` returns at once. Closing twice is closing once."""
        self._closed = True
        self._woken.set()

    def next(self, timeout: float | None = None) -> Sequence[tuple[Change, Obj]]:
        """The changes since the last call, oldest first; waits for one, at most `timeout` seconds.

        Empty after a timeout and once closed. Raises ApiError 410 if the caller was too slow: watch anew.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._take():
            if not self._woken.wait(None if end is None else max(end - time.monotonic(), 0)):
                break
        taken, self._pending = self._pending, []
        return taken

    def _start(self) -> int:
        listing = self._api.list(self._resource, self._query)
        self._pending = [("ADDED", obj) for obj in listing.items]
        return listing.version

    def _take(self) -> bool:
        """Fetches what happened; whether there is a reason to return."""
        # The flag is cleared before looking: a change or a close after that sets it again, so none is missed.
        self._woken.clear()
        if self._closed:
            return True
        events, self._cursor = self._api.events(self._resource, self._cursor)
        self._pending += [seen for event in events if (seen := event.seen_by(self._query))]
        return bool(self._pending)
