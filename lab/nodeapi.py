"""What a kubelet asks of the Kubernetes API, and how it is asked where the API is in the same process.

`remote.RemoteNodeApi` asks the same over HTTP. Source: Kubernetes API reference, core/v1 Node, Pod, Event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol

from lab import status
from lab.api.builtin import EVENTS, NODES, PODS
from lab.api.errors import ApiError
from lab.api.handle import LabApi, Watch
from lab.api.selectors import Query, parse_fields
from lab.api.store import DeleteOptions

Obj = dict[str, Any]
Change = Callable[[Obj], Obj]

GONE = (404, 409)
"""Codes of ApiError that say: this object is not there, or is another by now."""


class NodeApi(Protocol):
    """The API as the kubelet of one node needs it; safe from any thread. Pods go by `<namespace>/<name>`.

    Every method raises ApiError as the API refuses; code 0 is no answer at all.
    """

    @property
    def beat(self) -> float | None:
        """How often, in seconds, the API wants to hear that the node lives; None where nobody listens for that."""

    def register(self, node: Obj, first_status: Obj) -> None:
        """Make the Node; one that this lab has made already stays."""

    def watch(self, changed: Callable[[str], None]) -> AbstractContextManager[None]:
        """In the block, `changed` is called for every pod of the node that there is, and at every change of one."""

    def pod(self, key: str) -> Obj:
        """A pod, whichever node it is on."""

    def change_pod(self, key: str, change: Change) -> None:
        """Replace annotations and status of a pod by those that `change` makes of it."""

    def remove_pod(self, key: str, uid: str) -> None:
        """Let go of the object of a pod that has ended."""

    def change_status(self, change: Change) -> None:
        """Replace the Node's status by what `change` makes of it."""

    def tell(self, event: Obj, now: datetime) -> None:
        """Record an Event, or count the one of the same name."""


class OwnNodeApi:
    """NodeApi on the lab's own API."""

    def __init__(self, api: LabApi, node: str) -> None:
        self._api = api
        self._node = node
        self._mine = Query(fields=parse_fields(f"spec.nodeName={node}", PODS.fields))

    @property
    def beat(self) -> None:
        return None

    def register(self, node: Obj, first_status: Obj) -> None:
        self._api.create(NODES, node)
        self.change_status(lambda _: first_status)

    @contextmanager
    def watch(self, changed: Callable[[str], None]) -> Iterator[None]:
        with self._api.watch(PODS, self._mine) as watch:
            thread = threading.Thread(target=_follow, args=(watch, changed), name=f"pods-{self._node}", daemon=True)
            thread.start()
            try:
                yield
            finally:
                watch.close()
                thread.join()

    def pod(self, key: str) -> Obj:
        namespace, name = key.split("/")
        return self._api.get(PODS, name, namespace)

    def change_pod(self, key: str, change: Change) -> None:
        namespace, name = key.split("/")
        self._api.edit(PODS, (namespace, name), change, "all")

    def remove_pod(self, key: str, uid: str) -> None:
        namespace, name = key.split("/")
        self._api.delete(PODS, name, namespace, DeleteOptions(grace=0, uid=uid))

    def change_status(self, change: Change) -> None:
        def edit(node: Obj) -> Obj:
            return node | {"status": change(node.get("status") or {})}

        self._api.edit(NODES, ("", self._node), edit, "status")

    def tell(self, event: Obj, now: datetime) -> None:
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        try:
            self._api.edit(EVENTS, (namespace, name), lambda old: status.counted(old, now))
        except ApiError as e:
            if e.code != 404:
                raise
            self._api.create(EVENTS, event, namespace)


def _follow(watch: Watch, changed: Callable[[str], None]) -> None:
    while not watch.closed:
        for _, pod in watch.next():
            changed(status.key_of(pod))
