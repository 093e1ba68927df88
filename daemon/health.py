"""What a daemon tells about itself over HTTP: /metrics, /healthz, /readyz, and what else it has to tell.

/healthz says whether to restart the daemon, /readyz whether it does its work; each answers 200 "ok", or 503
with one reason a line, so that `curl` is enough to find out what is wrong. Conventions: Kubernetes probes;
Prometheus exposition format.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_SLOW = 5.0  # seconds a client may take for each read or write


@dataclass(frozen=True, slots=True)
class Health:
    """Where the answers come from. `live` and `ready` return what is wrong, nothing when all is well; `documents`
    return JSON, by path.

    They are called from the server's threads, on each request, and must be quick.
    """

    registry: CollectorRegistry
    live: Callable[[], Sequence[str]]
    ready: Callable[[], Sequence[str]]
    documents: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


def parse_address(text: str) -> tuple[str, int]:
    """`host:port` as a pair; an IPv6 host goes in brackets, no host means all addresses. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"address {text!r}: give HOST:PORT such as 127.0.0.1:9100 or [::1]:9100")
    return (host[1:-1] if bracketed else host), int(port)


class HealthServer:
    """Serves `health` on `address` (`host:port`; port 0 takes a free one) from `start` to `close`.

    Raises ValueError on an address that does not parse and OSError, naming it, when it cannot be had.
    """

    def __init__(self, address: str, health: Health) -> None:
        host, port = parse_address(address)
        handler = type("Handler", (_Handler,), {"health": health})
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = type("Server", (_Server,), {"address_family": family})
        try:
            self._server = server((host, port), handler)
        except OSError as error:
            raise OSError(error.errno, f"health address {address}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._serve, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the port back. Twice equals once."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)

    def __enter__(self) -> HealthServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a slow client does not hold up the end of the daemon

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is not news; anything else goes to the log and not raw to stderr."""
        if not isinstance(sys.exception(), OSError):
            logging.getLogger(__name__).warning("request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    health: Health
    timeout = _SLOW
    server_version = "weft"
    sys_version = ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/metrics":
            self._metrics()
        elif path in ("/healthz", "/livez"):
            self._verdict(self.health.live)
        elif path == "/readyz":
            self._verdict(self.health.ready)
        elif path in self.health.documents:
            self._answer(HTTPStatus.OK, self.health.documents[path](), _JSON)
        else:
            others = ", ".join(("/metrics", "/healthz", *self.health.documents))
            self._answer(HTTPStatus.NOT_FOUND, f"try {others} or /readyz\n")

    do_HEAD = do_GET  # noqa: N815 - the name http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Nothing: a probe every few seconds is not news."""

    def _metrics(self) -> None:
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, encode(self.health.registry), kind)

    def _verdict(self, check: Callable[[], Sequence[str]]) -> None:
        try:
            reasons = check()
        except Exception as error:  # a check that cannot be made is not a good sign, and must not look like one
            reasons = [f"the check itself failed: {type(error).__name__}: {error}"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        self._answer(status, "".join(f"{reason}\n" for reason in reasons) or "ok\n")

    def _answer(self, status: HTTPStatus, body: str | bytes, kind: str = _TEXT) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
