"""The lab's API on real sockets: uvicorn in a thread of its own, on sockets that the caller made.

The caller makes the sockets because where a socket lives is decided when it is created: one listens on the host's
127.0.0.1 for kubectl, another inside the network namespace where the lab's nodes are.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

import uvicorn
from starlette.applications import Starlette

# Go clients keep idle connections for 90 s; a server that closed first would race with their next request.
_KEEP_ALIVE_SECONDS = 120
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0


class ServerError(RuntimeError):
    """The API server did not start or stop in time."""


class _Server(uvicorn.Server):
    """uvicorn without its ten wake-ups a second: it sleeps until it is told to stop."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], None]) -> None:
        super().__init__(config)
        self.is_up = threading.Event()
        self._close = close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """From any thread; nothing when it does not run."""
        if self._loop is not None and not self._loop.is_closed():
            # The loop may close between the question and the call: then there is nothing left to stop.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.is_up.set()

    async def main_loop(self) -> None:
        await self._stopped.wait()
        self._close()


class ApiServer:
    """Serves an application made by `app.make_app`. Takes the sockets over: `stop` closes them."""

    def __init__(self, app: Starlette, sockets: Sequence[socket.socket]) -> None:
        self._sockets = list(sockets)
        config = uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            ws="none",
            http="h11",
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config, app.state.close)
        for listener in self._sockets:
            # Accepted connections inherit it. asyncio sets it only on sockets whose protocol was named at creation,
            # and without it each answer waits 40 ms for the acknowledgement of its headers.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._urls = [_url(listener) for listener in self._sockets]
        self._thread = threading.Thread(target=self._run, name="lab-api", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def urls(self) -> list[str]:
        """One http:// address per socket, in the order given."""
        return list(self._urls)

    def start(self) -> None:
        """Returns when requests are answered. Raises ServerError."""
        self._thread.start()
        if not self._server.is_up.wait(_START_SECONDS) or not self._server.started:
            raise ServerError(f"the API server on {', '.join(self.urls)} did not start")

    def stop(self) -> None:
        """Ends all watches and connections and frees the sockets. Stopping twice is stopping once."""
        if self._thread.ident is None:
            return
        self._server.stop()
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise ServerError(f"the API server did not stop within {_STOP_SECONDS} s")

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(self._sockets))
        finally:
            # Also when it failed: whoever waits for the start shall not wait in vain.
            self._server.is_up.set()


def serve(app: Starlette, sockets: Sequence[socket.socket]) -> ApiServer:
    """Starts serving and returns once requests are answered; call `stop` on the result."""
    server = ApiServer(app, sockets)
    server.start()
    return server


def local_socket(port: int = 0) -> socket.socket:
    """A listening socket on 127.0.0.1, by default on a free port."""
    return socket.create_server(("127.0.0.1", port), backlog=128)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
