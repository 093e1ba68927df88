"""The CNI socket: one request a connection, answered in the runtime's own terms whatever happens."""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from cni.errors import CniError, ErrorCode
from cni.frame import FrameError, Request, RequestParser, encode_answer
from cni.netconf import error_version
from daemon import logs
from node_agent.turns import CallerGone, Gone

READ_SECONDS = 10.0
_CHUNK = 1 << 16
_BACKLOG = 512
_RETRY_SECONDS = 0.1
_CREDENTIALS = struct.Struct("iII")

log = logs.get("weft.cni")

Serve = Callable[[Request, Gone], bytes]
"""Carries a request out and returns what the plugin prints. Raises CniError, and CallerGone."""

Refused = Callable[[Request, CniError, float], None]
"""Told of each request that was answered with an error, and after how many seconds."""

_UNREAD = Request({}, b"")
"""Stands for a request that the server has not read, or could not."""


def _untold(request: Request, error: CniError, seconds: float) -> None:
    return


class CniServer:
    """Listens on a unix socket that only root may use; every connection has a thread of its own."""

    def __init__(
        self, path: str, serve: Serve, read_seconds: float = READ_SECONDS, refused: Refused = _untold
    ) -> None:
        """Listens from now on, in place of whoever did before. Raises OSError naming the path."""
        self._serve = serve
        self._refused = refused
        self._read_seconds = read_seconds
        self._path = path
        self._socket = _listen(path)
        self._stopped = False
        self._status: str | None = None
        self._thread = threading.Thread(target=self._accept, name="cni", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        Path(self._path).unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError as e:
                if self._stopped:
                    return
                log.error("CNI socket", error=str(e))  # too many open files, which passes
                time.sleep(_RETRY_SECONDS)
                continue
            self._begin(peer)

    def _begin(self, peer: socket.socket) -> None:
        try:
            threading.Thread(target=self._connection, args=(peer,), name="cni-request", daemon=True).start()
        except RuntimeError as e:  # no thread to be had: the relay says so, and the runtime tries again
            log.error("CNI request dropped", error=str(e))
            peer.close()

    def _connection(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):  # the runtime gave up waiting: what was done stands until its DEL
            peer.sendall(self._hear(peer))

    def _hear(self, peer: socket.socket) -> bytes:
        """The answer to what the peer asks; nothing when it has left."""
        started = time.monotonic()
        try:
            _demand_root(peer)
            request = _request(peer, self._read_seconds)
        except CniError as e:
            return self._refuse(_UNREAD, e, started)
        # A runtime that gave up may have sent its DEL already: an ADD begun now would outlive its container.
        try:
            if _gone(peer):
                raise CallerGone
            return self._answer(request, partial(_gone, peer), started)
        except CallerGone:
            log.warning("CNI request dropped: its caller is gone", **_about(request))
            return b""

    def _answer(self, request: Request, gone: Gone, started: float) -> bytes:
        try:
            answer = encode_answer(0, self._serve(request, gone))
        except CallerGone:
            raise
        except CniError as e:
            return self._refuse(request, e, started)
        except Exception as e:
            log.exception("CNI request failed", **_about(request))
            why = f"{type(e).__name__}: {e}; this is a defect of Weft, please report it"
            return self._refuse(request, CniError(ErrorCode.INTERNAL, why), started)
        if self._is_news(request, ""):
            log.info("CNI", **_about(request), ms=round((time.monotonic() - started) * 1000, 1))
        return answer

    def _refuse(self, request: Request, why: CniError, started: float) -> bytes:
        if self._is_news(request, why.msg):
            log.warning("CNI refused", **_about(request), code=why.code, error=why.msg)
        self._refused(request, why, time.monotonic() - started)
        return encode_answer(1, why.to_json(error_version(request.stdin)))

    def _is_news(self, request: Request, why: str) -> bool:
        """Runtimes ask for STATUS ten times a second while it is not well: it is logged when its answer changes."""
        if _verb(request) != "STATUS":
            return True
        before, self._status = self._status, why
        return why != before


def _verb(request: Request) -> str:
    return request.env.get("CNI_COMMAND", "")


def _about(request: Request) -> dict[str, str]:
    """Fields of a log line."""
    return {"verb": _verb(request), "container": request.env.get("CNI_CONTAINERID", "")}


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)  # of an agent that was killed
        old = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(old)
        listener.listen(_BACKLOG)
    except OSError as e:
        listener.close()
        raise OSError(e.errno, f"cannot listen on cni-socket {path}: {e.strerror or e}") from e
    return listener


def _demand_root(peer: socket.socket) -> None:
    """Raises CniError when the peer runs as another user (SO_PEERCRED, unix(7))."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if uid := _CREDENTIALS.unpack(credentials)[1]:
        raise CniError(ErrorCode.IO_FAILURE, f"the caller runs as user {uid}, only root may call the agent")


def _gone(peer: socket.socket) -> bool:
    """Whether the other end is closed: a relay that waits for its answer keeps it open."""
    waiting = select.poll()
    waiting.register(peer, 0)  # POLLHUP is told without being asked for
    return bool(waiting.poll(0))


def _request(peer: socket.socket, seconds: float) -> Request:
    """What the peer asks. Raises CniError when it cannot be read, ConnectionError when the peer has left."""
    try:
        return _receive(peer, seconds)
    except FrameError as e:
        raise CniError(ErrorCode.IO_FAILURE, f"the agent cannot read the request: {e}") from e


def _receive(peer: socket.socket, seconds: float) -> Request:
    """One request. Raises FrameError; ConnectionError when the peer left before it was complete."""
    parser = RequestParser()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        peer.settimeout(left)
        with suppress(TimeoutError):
            request = _feed(parser, peer.recv(_CHUNK))
            if request is not None:
                return request
    raise FrameError(f"it did not arrive within {seconds:g} s")


def _feed(parser: RequestParser, chunk: bytes) -> Request | None:
    if not chunk:
        raise ConnectionAbortedError("the peer left before its request was complete")
    return parser.feed(chunk)
