"""A relay built with AddressSanitizer and UBSan, and a unix socket that answers it through `cni.frame`."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from cni.frame import FrameError, Request, RequestParser

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 30  # seconds, for anything that should take milliseconds
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=0:exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}
CONF = b'{"cniVersion":"1.1.0","name":"weft","type":"weft"}'
RESULT = b'{"cniVersion":"1.1.0","ips":[]}'

Serve = Callable[[socket.socket], None]


@dataclass
class Agent(AbstractContextManager["Agent"]):
    """Listens on a unix socket; `serve` gets each connection, one thread each."""

    path: Path
    serve: Serve
    requests: list[Request] = field(default_factory=list)
    failures: list[FrameError] = field(default_factory=list)

    def __enter__(self) -> "Agent":
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in (self._accepting, *self._threads):
            thread.join(LIMIT)
        self._listener.close()
        self.path.unlink()
        assert self.failures == [], "the relay sent what the parser refuses"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # shut down
                return
            connection.settimeout(LIMIT)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.serve(connection)
            except OSError:  # the relay is gone, which some tests intend
                return
            except FrameError as e:
                self.failures.append(e)


def receive(connection: socket.socket) -> Request:
    parser = RequestParser()
    while True:
        data = connection.recv(65536)
        if not data:
            parser.close()
        if (request := parser.feed(data)) is not None:
            return request


class Relay:
    """Runs one build of the relay with one socket."""

    def __init__(self, binary: Path, sock: Path) -> None:
        self.binary, self.socket = binary, sock

    def __call__(
        self, command: str | None, stdin: bytes = CONF, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [str(self.binary)],
            input=stdin,
            capture_output=True,
            env=self.env(command, env),
            timeout=LIMIT,
            check=False,
        )
        self.sane(done.returncode, done.stderr)
        return done

    def env(self, command: str | None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        verb = {} if command is None else {"CNI_COMMAND": command}
        return {**SANITIZERS, "WEFT_CNI_SOCKET": str(self.socket), **verb, **(extra or {})}

    @staticmethod
    def sane(status: int, stderr: bytes) -> None:
        assert status >= 0, (status, stderr)  # not by a signal
        assert b"Sanitizer" not in stderr
        assert b"runtime error" not in stderr

    def popen(self, command: str, env: Mapping[str, str] | None = None, **streams: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([str(self.binary)], env=self.env(command, env), **streams)


def build(where: Path) -> Path:
    """Both builds of the relay in `where`: weft and weft-asan."""
    command = ["make", "-s", "-C", str(ROOT / "cni"), f"BUILD={where}", "weft", "weft-asan"]
    subprocess.run(command, check=True, timeout=120)
    return where


def error(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The CNI error on stdout (C17): exit 1, JSON, nothing on stderr."""
    assert done.returncode == 1
    assert done.stderr == b""
    body = json.loads(done.stdout)
    assert set(body) == {"cniVersion", "code", "msg", "details"}
    assert isinstance(body, dict)
    return body
