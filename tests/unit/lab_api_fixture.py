"""A store with a clock and ids of its own, small objects, and an ASGI client without a socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from lab.api.app import make_app
from lab.api.builtin import NAMESPACES
from lab.api.handle import LabApi
from lab.api.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def counted_ids() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):08x}-0000"


def new_store(history: int = 100) -> Store:
    """A store with one namespace, `demo`, which took resourceVersion 1."""
    store = Store(Clock(), counted_ids(), history)
    store.create(NAMESPACES, {"metadata": {"name": "demo"}})
    return store


def new_api(history: int = 100) -> LabApi:
    """An API that deletes the content of namespaces at once."""
    return LabApi(Clock(), counted_ids(), history, linger=0)


def pod(name: str, node: str = "", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "demo"} | ({"labels": labels} if labels else {})
    spec = {"containers": [{"name": "c", "image": "i"}]} | ({"nodeName": node} if node else {}) | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def node(name: str, ready: str = "True", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}


def config(name: str, data: str = "", namespace: str = "demo", **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace} | meta, "data": {"value": data}}


def crd(plural: str = "widgets", kind: str = "Widget", scope: str = "Namespaced", **version: Any) -> dict[str, Any]:
    first = {"name": "v1", "served": True, "storage": True} | version
    names = {"plural": plural, "kind": kind, "singular": kind.lower(), "shortNames": [plural[:2]]}
    spec = {"group": "example.dev", "scope": scope, "names": names, "versions": [first]}
    return {"metadata": {"name": f"{plural}.example.dev"}, "spec": spec}


@dataclass(frozen=True)
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def lines(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.body.splitlines()]


def ask(api: LabApi, request: str, body: Any = None, accept: str = "application/json", media: str = "") -> Answer:
    """One request, as in `ask(api, "GET /api/v1/pods?limit=1")`, through the whole application.

    A watch is ended by the server after a moment, in which it has said all there is to say.
    """
    return asyncio.run(asyncio.wait_for(_ask(api, request, body, (accept, media or "application/json")), 10))


async def _ask(api: LabApi, request: str, body: Any, media: tuple[str, str]) -> Answer:
    method, _, url = request.partition(" ")
    path, _, query = url.partition("?")
    headers = [(b"accept", media[0].encode()), (b"content-type", media[1].encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    scope |= {"http_version": "1.1", "server": ("lab", 80), "scheme": "http", "root_path": "", "client": ("c", 1)}
    content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    inbox = [{"type": "http.request", "body": content, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if inbox:
            return inbox.pop()
        return await asyncio.Event().wait()  # The client stays until the answer ends.

    async def send(message: Any) -> None:
        sent.append(message)

    app = make_app(api)
    ending = asyncio.get_running_loop().call_later(0.05, app.state.close)
    await app(scope, receive, send)
    ending.cancel()
    start = next(message for message in sent if message["type"] == "http.response.start")
    headers_out = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers_out, b"".join(message.get("body", b"") for message in sent))
