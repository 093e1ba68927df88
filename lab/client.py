"""A small client of a lab's API, for `weftctl lab`, kubelets and tests: find, list, apply and delete by manifest.

It asks the API which resources there are instead of knowing them, so a resource registered later works too.
Sources: Kubernetes API concepts ("Discovery", "Server-side apply").
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
import yaml
from urllib3.exceptions import HTTPError

from kube.endpoint import Endpoint, from_url
from kube.errors import KubeError

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
    """Talks to an API server: on a port of 127.0.0.1, or where an endpoint says. Any number of threads may use it."""

    def __init__(self, server: int | Endpoint, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._endpoint = server if isinstance(server, Endpoint) else from_url(f"http://127.0.0.1:{server}")
        self._timeout = timeout
        self._resources: dict[str, list[Obj]] = {}

    @property
    def server(self) -> str:
        """The URL of the server."""
        return self._endpoint.server

    @property
    def port(self) -> int:
        """The port in that URL, 0 when it names none."""
        return urlsplit(self.server).port or 0

    def request(self, method: str, path: str, body: Obj | None = None, kind: str = "application/json") -> Obj:
        """One request; raises ApiClientError with the API's own message."""
        try:
            headers = {"Content-Type": kind, "Accept": "application/json", **self._endpoint.authorize()}
            answer = self._endpoint.pool.request(
                method,
                self.server + path,
                body=None if body is None else json.dumps(body),
                headers=headers,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(self._timeout),
            )
        except (HTTPError, OSError, KubeError) as e:
            raise ApiClientError(f"the API at {self.server} does not answer: {e}") from e
        if answer.status >= 300:
            raise ApiClientError(_refusal(answer.data) or f"{method} {path}: HTTP {answer.status}", answer.status)
        result: Obj = json.loads(answer.data or b"{}")
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


def _refusal(content: bytes) -> str:
    """The message of a Status object (meta/v1); "" for anything else, such as a proxy's page."""
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _unpacked(document: Any) -> list[Any]:
    if isinstance(document, dict) and document.get("kind") == "List":
        return list(document.get("items") or ())
    return [document]
