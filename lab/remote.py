"""A kubelet's view of an API server over HTTP, for a lab that has joined a cluster.

Statuses go as merge patches that name the object's uid: a pod of the same name that is another by now is not touched.
Source: Kubernetes API concepts ("Patches"), Node heartbeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from kube import client, resources
from kube.changes import Applied, Change, Deleted, Listed, Refused
from kube.endpoint import Endpoint
from kube.reflector import Reflector
from lab import cluster, status
from lab.api.errors import ApiError
from lab.client import ApiClient, ApiClientError

Obj = dict[str, Any]

_BEAT_SECONDS = 10.0  # kube-controller-manager gives a node up after 40
_MERGE = "application/merge-patch+json"


class RemoteNodeApi:
    """nodeapi.NodeApi on an API server. `owner` marks the Node as this lab's."""

    def __init__(self, endpoint: Endpoint, node: str, owner: str) -> None:
        self._endpoint = endpoint
        self._api = ApiClient(endpoint)
        self._node = node
        self._owner = owner

    @property
    def beat(self) -> float:
        return _BEAT_SECONDS

    def register(self, node: Obj, first_status: Obj) -> None:
        try:
            self._ask("POST", "/api/v1/nodes", cluster.as_guest(node, self._owner))
        except ApiError as e:
            if e.code != 409 or not self._is_mine():
                raise
        self.change_status(lambda _: first_status)

    @contextmanager
    def watch(self, changed: Callable[[str], None]) -> Iterator[None]:
        pods = client.ApiClient(self._endpoint)
        reflector = Reflector(pods, resources.PODS, Keys(changed), client.Where(f"spec.nodeName={self._node}"))
        reflector.start()
        try:
            yield
        finally:
            reflector.stop()

    def pod(self, key: str) -> Obj:
        return self._ask("GET", _path_of(key))

    def change_pod(self, key: str, change: Callable[[Obj], Obj]) -> None:
        old = self.pod(key)
        new = change(old)
        uid = {"uid": old["metadata"]["uid"]}
        said, says = (pod["metadata"].get("annotations") or {} for pod in (old, new))
        if says != said:
            self._ask("PATCH", _path_of(key), {"metadata": {**uid, "annotations": says}}, _MERGE)
        if new.get("status") != old.get("status"):
            self._ask("PATCH", f"{_path_of(key)}/status", {"metadata": uid, "status": new["status"]}, _MERGE)

    def remove_pod(self, key: str, uid: str) -> None:
        namespace, name = key.split("/")
        with _as_api_error():
            cluster.delete_pod(self._api, {"namespace": namespace, "name": name, "uid": uid})

    def change_status(self, change: Callable[[Obj], Obj]) -> None:
        path = f"/api/v1/nodes/{self._node}"
        old = self._ask("GET", path).get("status") or {}
        new = change(old)
        if new != old:
            self._ask("PATCH", f"{path}/status", {"status": new}, _MERGE)

    def tell(self, event: Obj, now: datetime) -> None:
        all_events = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        path = f"{all_events}/{event['metadata']['name']}"
        try:
            again = status.counted(self._ask("GET", path), now)
        except ApiError as e:
            if e.code != 404:
                raise
            self._ask("POST", all_events, event)
        else:
            changed = {key: again[key] for key in ("count", "lastTimestamp")}
            self._ask("PATCH", path, changed, _MERGE)

    def _is_mine(self) -> bool:
        labels = self._ask("GET", f"/api/v1/nodes/{self._node}")["metadata"].get("labels") or {}
        return bool(labels.get(cluster.OWNER) == self._owner)

    def _ask(self, method: str, path: str, body: Obj | None = None, kind: str = "application/json") -> Obj:
        with _as_api_error():
            return self._api.request(method, path, body, kind)


class Keys:
    """Tells of which pods a reflector has heard something, those included that went while it did not listen."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._known: set[str] = set()

    def __call__(self, change: Change) -> None:
        match change:
            case Listed(objects=pods, refused=refused):
                there = {pod.meta.key for pod in pods} | refused
                heard = there | self._known
                self._known = set(there)
            case Applied(object=pod):
                heard = {pod.meta.key}
                self._known |= heard
            case Deleted(key=key):
                heard = {key}
                self._known -= heard
            case Refused(key=key):
                heard = {key}
            case _:
                heard = set()
        for key in sorted(heard):
            self._changed(key)


@contextmanager
def _as_api_error() -> Iterator[None]:
    try:
        yield
    except ApiClientError as e:
        raise ApiError(e.code, "", str(e)) from e


def _path_of(key: str) -> str:
    namespace, name = key.split("/")
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
