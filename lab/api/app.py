"""The Kubernetes API over HTTP: an ASGI application around `LabApi`.

Every request becomes a target, options and a verb; every refusal becomes a Status object. Handlers never wait for
anything but the request body, so one event loop serves all clients. Source: Kubernetes API concepts.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lab.api import bodies, discovery, paths
from lab.api.errors import ApiError, Obj, method_not_allowed, no_such_path
from lab.api.handle import LabApi
from lab.api.paths import Target
from lab.api.rendering import View, view_of
from lab.api.resources import Resource
from lab.api.watching import BOOKMARK_SECONDS, Watchers, WatchRequest, stream

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_LONGEST_WATCH = 3600.0
Handler = Callable[[Request], Awaitable[Response]]


def make_app(api: LabApi, bookmark_every: float = BOOKMARK_SECONDS) -> Starlette:
    """A fresh application on an API that may have others, before, after or beside it; bookmarks in seconds."""
    watchers = Watchers(bookmark_every)
    service = _Service(api, watchers)
    routes = [
        *(Route(path, _healthy) for path in ("/healthz", "/readyz", "/livez")),
        Route("/{path:path}", _guarded(service.handle), methods=_METHODS),
    ]
    app = Starlette(routes=routes)
    app.state.close = watchers.close
    return app


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("ok")


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as e:
            return _json(e.status(), e.code)

    return guarded


def _json(body: Any, code: int = 200) -> Response:
    return Response(msgspec.json.encode(body), code, media_type="application/json")


class _Service:
    def __init__(self, api: LabApi, watchers: Watchers) -> None:
        self._api = api
        self._watchers = watchers

    async def handle(self, request: Request) -> Response:
        path = str(request.scope["path"]).strip("/")
        if request.method == "GET" and (found := self._described(path, request)):
            return found
        target = paths.parse_path(path)
        if not target.plural:
            return _json(discovery.resources(self._api.registry, target))
        resource = self._api.find(target.group, target.version, target.plural)
        _check_target(resource, target)
        return await self._verb(request, resource, target)

    def _described(self, path: str, request: Request) -> Response | None:
        """The documents about the API itself, None for a path that is about objects."""
        registry = self._api.registry
        match path.split("/"):
            case ["version"]:
                return _json(discovery.version())
            case ["api"]:
                return _json(discovery.core_versions())
            case ["apis"]:
                return _json(discovery.groups(registry))
            case ["apis", group]:
                return _json(discovery.group(registry, group))
            case ["openapi", "v2"]:
                return _openapi_v2(request.headers.get("accept", ""))
            case ["openapi", "v3"]:
                return _json(discovery.openapi_v3_index(registry))
            case ["openapi", "v3", *place]:
                return _json(discovery.openapi_v3(registry, "/".join(place)))
        return None

    async def _verb(self, request: Request, resource: Resource, target: Target) -> Response:
        match request.method:
            case "GET":
                return self._read(request, resource, target)
            case "POST" if not target.name:
                body = await _body(request)
                new = self._api.create(resource, body, target.namespace, dry=_is_dry(request))
                return _json(resource.shown(new), 201)
            case "PUT" if target.name:
                obj = bodies.addressed(await _body(request), target)
                part = _part(target)
                return _json(resource.shown(self._api.replace(resource, obj, part, dry=_is_dry(request))))
            case "PATCH" if target.name:
                return self._patch(request, resource, target, await _body(request))
            case "DELETE" if not target.subresource:
                return self._delete(request, resource, target, await _body(request))
        raise method_not_allowed(request.method)

    def _read(self, request: Request, resource: Resource, target: Target) -> Response:
        params = request.query_params
        view = view_of(resource, request.headers.get("accept", ""), params.get("includeObject", ""))
        if paths.is_true(params, "watch"):
            return self._watch(request, view, target)
        if target.name:
            found = self._api.get(resource, target.name, target.namespace)
            return _json(view.one(found, self._api.clock()))
        query = paths.query_of(params, resource, target)
        return _json(view.many(self._api.list(resource, query, paths.page_of(params)), self._api.clock()))

    def _watch(self, request: Request, view: View, target: Target) -> Response:
        query = paths.query_of(request.query_params, view.resource, target)
        options = paths.watch_of(request.query_params, _LONGEST_WATCH)
        lines = stream(self._api, WatchRequest(view, query, options), self._watchers)
        return StreamingResponse(lines, media_type="application/json")

    def _patch(self, request: Request, resource: Resource, target: Target, patch: Any) -> Response:
        media, dry = bodies.media_type(request.headers.get("content-type", "")), _is_dry(request)
        if media == bodies.APPLY_PATCH and not target.subresource:
            obj = bodies.addressed(patch, target)
            new, is_new = self._api.apply(resource, obj, target.namespace, dry=dry)
            return _json(resource.shown(new), 201 if is_new else 200)
        media = bodies.STRATEGIC_PATCH if media == bodies.APPLY_PATCH else media

        def change(old: Obj) -> Obj:
            return bodies.addressed(bodies.patched(resource, resource.shown(old), media, patch), target)

        at = (target.namespace, target.name)
        return _json(resource.shown(self._api.edit(resource, at, change, _part(target), dry=dry)))

    def _delete(self, request: Request, resource: Resource, target: Target, body: Any) -> Response:
        options = paths.delete_options(request.query_params, body)
        if not target.name:
            query = paths.query_of(request.query_params, resource, target)
            doomed = self._api.delete_collection(resource, query, options)
            return _json(View(resource).many(doomed, self._api.clock()))
        last = self._api.delete(resource, target.name, target.namespace, options)
        show = resource.returns_deleted or self._api.exists(resource, last)
        return _json(resource.shown(last) if show else _deleted(resource, last))


def _check_target(resource: Resource, target: Target) -> None:
    if target.subresource and not (target.subresource == "status" and resource.status):
        raise no_such_path()
    if target.namespace and not resource.namespaced:
        raise no_such_path()
    if target.name and resource.namespaced and not target.namespace:
        raise no_such_path()


def _deleted(resource: Resource, last: Obj) -> Obj:
    details = {"name": last["metadata"]["name"], "kind": resource.plural, "uid": last["metadata"]["uid"]}
    details |= {"group": resource.group} if resource.group else {}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _openapi_v2(accept: str) -> Response:
    """kubectl reads it as protobuf, where no bytes at all are a valid, empty document."""
    if "protobuf" in accept:
        return Response(b"", media_type=discovery.OPENAPI_V2_PROTOBUF)
    return _json(discovery.openapi_v2())


def _part(target: Target) -> Any:
    return "status" if target.subresource else "main"


def _is_dry(request: Request) -> bool:
    return "dryRun" in request.query_params


async def _body(request: Request) -> Any:
    body = await request.body()
    return bodies.decode(request.headers.get("content-type", ""), body) if body else None
