"""A small client of the lab's API, for `weftctl lab` and tests: find, list, apply and delete by manifest.

It asks the API which resources there are instead of knowing them, so a resource registered later works too.
Sources: Kubernetes API concepts ("Discovery", "Server-side apply").
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

Obj = dict[str, Any]

_TIMEOUT_SECONDS = 30.0
_APPLY = "application/apply-patch+yaml"


class ApiClientError(RuntimeError):
    """The API refused a request, or does not answer. `code` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ManifestError(ValueError):
    """A manifest that is not a list of Kubernetes objects; the message names the file."""


def load_manifests(path: Path) -> list[Obj]:
    """The objects of a YAML or JSON file, those of a List one by one."""
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
    except yaml.YAMLError as e:
        raise ManifestError(f"{path}: {e}") from e
    found = [obj for document in documents for obj in _unpacked(document)]
    for obj in found:
        if not isinstance(obj, dict) or not {"apiVersion", "kind", "metadata"} <= obj.keys():
            raise ManifestError(f"{path}: expected objects with apiVersion, kind and metadata, got {str(obj)[:80]!r}")
    return found


class ApiClient:
    """Talks to the API on a port of 127.0.0.1. Holds no connection, so any number of threads may use it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._resources: dict[str, list[Obj]] = {}

    def request(self, method: str, path: str, body: Obj | None = None, kind: str = "application/json") -> Obj:
        """One request; raises ApiClientError with the API's own message."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except OSError as e:
            raise ApiClientError(f"the lab's API on 127.0.0.1:{self.port} does not answer: {e}") from e
        finally:
            connection.close()
        result: Obj = json.loads(content or b"{}")
        if answer.status >= 400:
            raise ApiClientError(result.get("message", f"{method} {path}: {answer.status}"), answer.status)
        return result

    def items(self, path: str) -> list[Obj]:
        """The items of a collection, as in `/api/v1/pods`."""
        items: list[Obj] = self.request("GET", path)["items"]
        return items

    def apply(self, objects: Iterable[Obj]) -> list[Obj]:
        """Create or update each object, in order (server-side apply); returns them as stored."""
        query = "?fieldManager=weftctl&force=true"
        return [self.request("PATCH", self.path_of(obj) + query, obj, _APPLY) for obj in objects]

    def delete(self, objects: Iterable[Obj]) -> None:
        """Delete each object; one that is not there is fine."""
        for obj in objects:
            try:
                self.request("DELETE", self.path_of(obj))
            except ApiClientError as e:
                if e.code != 404:
                    raise

    def path_of(self, obj: Obj) -> str:
        """The path of an object, from its apiVersion, kind and metadata; ApiClientError for an unknown kind."""
        version, kind, meta = obj["apiVersion"], obj["kind"], obj["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        resource = self._resource(root, version, kind)
        namespace = f"/namespaces/{meta.get('namespace', 'default')}" if resource["namespaced"] else ""
        return f"{root}{namespace}/{resource['name']}/{meta['name']}"

    def _resource(self, root: str, version: str, kind: str) -> Obj:
        # Looked up again when unknown: a CustomResourceDefinition may have been applied a moment ago.
        for fresh in (False, True):
            if fresh or root not in self._resources:
                self._resources[root] = self._discover(root)
            for resource in self._resources[root]:
                if resource["kind"] == kind and "/" not in resource["name"]:
                    return resource
        raise ApiClientError(f"no matches for kind {kind!r} in version {version!r}", 404)

    def _discover(self, root: str) -> list[Obj]:
        try:
            found: list[Obj] = self.request("GET", root)["resources"]
        except ApiClientError as e:
            if e.code != 404:
                raise
            return []
        return found


def _unpacked(document: Any) -> list[Any]:
    if isinstance(document, dict) and document.get("kind") == "List":
        return list(document.get("items") or ())
    return [document]
