"""The Kubernetes API over HTTP: few verbs, raw bytes, and watch lines handed on the moment they arrive.

The bytes stay bytes: `kube.objects` and `kube.listwatch` decode them. Every failure is a `KubeError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from kube import wire
from kube.changes import Change, Disconnected
from kube.endpoint import Endpoint
from kube.errors import ApiError, Unreachable
from kube.listwatch import ListPage, ListWatch, Pace, status_error
from kube.resources import Resource

_CONNECT = 5.0  # seconds
_READ = 30.0  # seconds without a byte of an answer; also what a watch may overrun its own end
_ERROR_BODY = 64 * 1024
_LINE_MAX = 16 * 1024 * 1024  # etcd refuses objects over 1.5 MB; ten times that is not an object
_CHUNK = 64 * 1024
_PAGE = 500  # items of a list in one answer, as client-go asks for
_STATUS = msgspec.json.Decoder(wire.WireStatus)


class WatchStream:
    """An open watch: iterate for its lines. `close` may be called from any thread and ends the iteration."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Lines without their newline, each as soon as its last byte is here.

        Ends where the server ends the watch, or on `close`; a cut-off last line is dropped, as the resumed
        watch sends it again. Raises Unreachable when the connection breaks.
        """
        parts: list[bytes] = []
        size = 0
        while chunk := self._read():
            head, *rest = chunk.split(b"\n")
            parts.append(head)
            size += len(head)
            for piece in rest:
                if line := b"".join(parts):
                    yield line
                parts, size = [piece], len(piece)
            if size > _LINE_MAX:
                raise Unreachable(f"a watch line of more than {_LINE_MAX} bytes: this is no API server")

    def _read(self) -> bytes:
        """Whatever has arrived, waiting for at least one byte; b"" at the end.

        `read1`, because `read` and `stream` wait until their buffer is full unless the body is chunked.
        """
        try:
            chunk = self._response.read1(_CHUNK)
        except (HTTPError, OSError, ValueError) as error:
            if self._closed:
                return b""
            raise Unreachable(f"the watch broke: {error}") from error
        return b"" if self._closed else chunk  # what a shut-down TLS socket still gives is not text

    def close(self) -> None:
        """End the watch. Shutting the socket down is what wakes a thread that waits in `recv`."""
        self._closed = True
        with contextlib.suppress(ValueError, OSError):  # it has ended by itself
            self._response.shutdown()

    def __enter__(self) -> WatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._response.close()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, empty query values left out. `silence`: seconds more than usual that an answer may pause."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content: str = "application/json"
    silence: float = 0.0

    @property
    def target(self) -> str:
        """Path and query."""
        given = {name: value for name, value in self.query.items() if value}
        return f"{self.path}?{urlencode(given)}" if given else self.path


@dataclass(frozen=True, slots=True)
class Where:
    """Which objects of a kind: those that match a field selector ("": all), in one namespace ("": in every one)."""

    fields: str = ""
    namespace: str = ""


EVERYWHERE = Where()


class ApiClient:
    """A client of one API server. Safe to use from several threads.

    Every method raises ApiError when the server refuses and Unreachable when there is no (whole) answer. `seconds`
    is how long to wait for a connection, and for every piece of an answer.
    """

    def __init__(self, endpoint: Endpoint, seconds: float = _READ) -> None:
        self._endpoint = endpoint
        self._seconds = seconds

    @property
    def server(self) -> str:
        """The base URL, for messages."""
        return self._endpoint.server

    def get(self, resource: Resource[Any], name: str, namespace: str = "") -> bytes:
        """One object as JSON."""
        return self._call(Request("GET", resource.path(name, namespace)))

    def list_page(self, resource: Resource[Any], where: Where = EVERYWHERE, token: str = "") -> bytes:
        """At most 500 objects as JSON; metadata.continue is the `token` of the next page."""
        query = {"limit": str(_PAGE), "fieldSelector": where.fields, "continue": token}
        return self._call(Request("GET", resource.path(namespace=where.namespace), query))

    def read(self, path: str, **query: str) -> bytes:
        """What is at a path, whatever it is: a list of another kind, a pod's log."""
        return self._call(Request("GET", path, query))

    def snapshot(self, resource: Resource[Any], field_selector: str = "") -> Sequence[Change]:
        """All objects: one Listed, and before it one Refused for each object that cannot be read."""
        state = ListWatch(resource, Pace())
        changes: list[Change] = []
        while isinstance(step := state.step(), ListPage):
            page = state.page(self.list_page(resource, Where(field_selector), step.continue_token))
            changes.extend(page)
            if broken := [each for each in page if isinstance(each, Disconnected)]:
                raise Unreachable(f"{self.server}{resource.path()}: {broken[0].reason}")
        return changes

    def watch(
        self, resource: Resource[Any], resource_version: str, *, where: Where = EVERYWHERE, timeout: int = 300
    ) -> WatchStream:
        """Changes after `resource_version`, until the server ends the watch after `timeout` seconds."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout),
            "fieldSelector": where.fields,
        }
        request = Request("GET", resource.path(namespace=where.namespace), query, silence=timeout)
        return WatchStream(self._open(request))

    def patch_merge(
        self, resource: Resource[Any], name: str, patch: Mapping[str, Any], *, namespace: str = "", part: str = ""
    ) -> bytes:
        """Change one object by a JSON merge patch (RFC 7386); `part` is a subresource such as "status"."""
        path = resource.path(name, namespace) + (f"/{part}" if part else "")
        return self._call(Request("PATCH", path, body=patch, content="application/merge-patch+json"))

    def create(self, resource: Resource[Any], body: Mapping[str, Any], namespace: str = "") -> bytes:
        """Create an object; ApiError 409 AlreadyExists when there is one."""
        return self._call(Request("POST", resource.path(namespace=namespace), body=body))

    def create_event(self, event: Mapping[str, Any]) -> None:
        """Record a core/v1 Event as made by `kube.events.event`."""
        self._call(Request("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", body=event))

    def close(self) -> None:
        """Close idle connections."""
        self._endpoint.pool.clear()

    def _call(self, request: Request) -> bytes:
        response = self._open(request)
        try:
            return response.read()
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{request.method} {request.path}: the answer broke off: {error}") from error
        finally:
            response.release_conn()

    def _open(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Send a request; the answer with its head read and its body not."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "weft"}
        headers |= self._endpoint.authorize()
        if request.body is not None:
            headers["Content-Type"] = request.content
        try:
            response = self._endpoint.pool.request(
                request.method,
                self.server + request.target,
                headers=headers,
                body=None if request.body is None else msgspec.json.encode(request.body),
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT, self._seconds), read=self._seconds + request.silence),
            )
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{request.method} {self.server}{request.path}: {error}") from error
        if response.status >= 300:
            raise _refused(response)
        return response


def _refused(response: urllib3.BaseHTTPResponse) -> ApiError:
    """The error that an answer stands for, whether or not its body is a Status object."""
    try:
        body = response.read(_ERROR_BODY)
        status = _STATUS.decode(body)
    except (HTTPError, OSError, msgspec.DecodeError):
        status = wire.WireStatus(message=f"HTTP {response.status} {response.reason or ''}".strip())
    finally:
        response.close()
    error = status_error(response.status, status)
    asked = response.headers.get("Retry-After", "")
    error.retry_after = max(error.retry_after, float(asked) if asked.isdecimal() else 0.0)
    return error
