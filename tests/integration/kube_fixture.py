"""A real HTTP server for tests of kube/, which answers as scripted and misbehaves on purpose."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from kube.changes import Change

WAIT = 10.0  # seconds; a bound on hanging, never the expected time


@dataclass(frozen=True)
class Seen:
    """A request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request as the test scripted it; without a script, 404."""

    protocol_version = "HTTP/1.1"
    server: FakeServer

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers), self.rfile.read(length)))
        try:
            answer = self.server.script.get_nowait()
        except queue.Empty:
            answer = text(404, "not scripted")
        answer(self)

    do_GET = do_POST = do_PATCH = handle_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()


class FakeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: queue.Queue[Answer] = queue.Queue()
        self.seen: list[Seen] = []
        self.over = threading.Event()  # ends answers that would last for ever

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answers(self, *answers: Answer) -> None:
        for each in answers:
            self.script.put(each)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of these tests."""


def text(status: int, body: str, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def listing(*names: str, version: str = "1", token: str = "") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    meta = {"resourceVersion": version, "continue": token}
    return text(200, msgspec.json.encode({"metadata": meta, "items": items}).decode())


def change(kind: str, name: str, version: str) -> bytes:
    obj = {"metadata": {"name": name, "resourceVersion": version}}
    return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"


def stream(*chunks: bytes) -> Answer:
    """A watch that sends these chunks, then ends in good order."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for each in chunks:
            handler.chunk(each)
        handler.chunk(b"")

    return answer


def endless(*chunks: bytes) -> Answer:
    """A watch that sends these chunks and stays open until the test is over."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for each in chunks:
            handler.chunk(each)
        handler.server.over.wait(WAIT)

    return answer


def hang_up(*chunks: bytes) -> Answer:
    """A watch that breaks off in the middle."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for each in chunks:
            handler.chunk(each)
        handler.close_connection = True

    return answer


def serve(server: FakeServer) -> Iterator[FakeServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join(WAIT)
        server.server_close()


@dataclass
class Sink:
    """Collects changes and waits for them."""

    changes: queue.Queue[Change] = field(default_factory=queue.Queue)

    def next(self) -> Change:
        return self.changes.get(timeout=WAIT)

    def until(self, kind: type[Change]) -> list[Change]:
        """All changes up to and with the first of this kind; few, or the test fails."""
        found: list[Change] = []
        for _ in range(50):
            found.append(self.next())
            if isinstance(found[-1], kind):
                return found
        raise AssertionError(f"no {kind.__name__} among {found}")
