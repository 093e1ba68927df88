"""The cluster's part of a support bundle: objects, and logs of Weft's pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cli.bundle.nodes import Part, missing
from cli.bundle.objects import INSTALLED, KINDS, Kind, Obj
from kube.client import ApiClient
from kube.endpoint import Endpoint
from kube.errors import KubeError

_PAGE = "500"
_LABEL = "app.kubernetes.io/name=weft"


def of_cluster(endpoint: Endpoint, namespace: str, log_bytes: int) -> list[Part]:
    """Everything that the API tells. `namespace` is where Weft is installed, "" where it is not, as in a lab."""
    api = ApiClient(endpoint)
    try:
        return [*_objects(api, namespace), *(_logs(api, namespace, log_bytes) if namespace else ())]
    finally:
        api.close()


def _objects(api: ApiClient, namespace: str) -> Iterator[Part]:
    yield _version(api)
    for kind in (*KINDS, *(INSTALLED if namespace else ())):
        name = f"{kind.file}.json"
        try:
            yield Part(name, [*_kept(api, kind, namespace)])
        except KubeError as e:
            yield missing(name, e)


def _version(api: ApiClient) -> Part:
    try:
        return Part("version.json", msgspec.json.decode(api.read("/version")))
    except (KubeError, msgspec.DecodeError) as e:
        return missing("version.json", e)


def _kept(api: ApiClient, kind: Kind, namespace: str) -> Iterator[Obj]:
    for obj in _listed(api, kind.path.format(namespace=namespace)):
        kept = kind.keep(obj)
        if kept is not None:
            yield kept


def _listed(api: ApiClient, path: str, **query: str) -> Iterator[Any]:
    """Every object of a list, page by page. Raises KubeError."""
    token: str | None = ""
    while token is not None:
        page = msgspec.json.decode(api.read(path, limit=_PAGE, **{"continue": token}, **query))
        yield from page.get("items") or ()
        token = (page.get("metadata") or {}).get("continue") or None


def _logs(api: ApiClient, namespace: str, log_bytes: int) -> Iterator[Part]:
    """The logs of Weft's pods, of containers that ran before as well."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    try:
        pods = [*_listed(api, path, labelSelector=_LABEL)]
    except KubeError as e:
        yield missing("logs", e)
        return
    for pod in pods:
        name, said = pod["metadata"]["name"], pod.get("status") or {}
        for status in (*(said.get("initContainerStatuses") or ()), *(said.get("containerStatuses") or ())):
            yield _log(api, f"{path}/{name}/log", name, status["name"], log_bytes, previous=False)
            if status.get("restartCount"):
                yield _log(api, f"{path}/{name}/log", name, status["name"], log_bytes, previous=True)


def _log(api: ApiClient, path: str, pod: str, container: str, log_bytes: int, *, previous: bool) -> Part:
    name = f"logs/{pod}.{container}{'.previous' if previous else ''}.log"
    query = {"previous": "true"} if previous else {}
    try:
        # `limitBytes` would keep the beginning; lines of Weft's logs have some 200 bytes.
        lines = str(max(1, log_bytes // 200))
        return Part(name, api.read(path, container=container, tailLines=lines, **query).decode(errors="replace"))
    except KubeError as e:
        return missing(name, e)
