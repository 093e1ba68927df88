"""Clients and servers in network namespaces: HTTP of any size, datagrams of any size."""

from __future__ import annotations

import http.server
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

from lab import netns

SECONDS = 10.0
_TICK = 0.05


def page(namespace: Path, host: str, port: int = 80, seconds: float = SECONDS) -> str:
    """What a web server answers to whoever asks from the namespace. Raises OSError, TimeoutError when it does not."""
    return netns.run_in(namespace, lambda: _get(host, port, seconds))


@contextmanager
def serving(namespace: Path, host: str, body: str) -> Iterator[int]:
    """A web server there that answers everything with `body`; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    # Not http.server's own, which asks for the host's name, and there is no DNS.
    class Server(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    server = netns.run_in(namespace, lambda: Server((host, 0), Handler))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def echoing(namespace: Path, address: tuple[str, int]) -> Iterator[None]:
    """Datagrams that come to the address there are sent back."""
    with netns.run_in(namespace, lambda: _udp(address[0])) as sock:
        sock.bind(address)
        sock.settimeout(_TICK)
        over = threading.Event()
        thread = threading.Thread(target=_echo, args=(sock, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def echo(namespace: Path, target: tuple[str, int], size: int) -> int:
    """How many bytes come back when so many are sent. Raises TimeoutError."""
    with netns.run_in(namespace, lambda: _udp(target[0])) as sock:
        sock.settimeout(SECONDS)
        sock.sendto(bytes(size), target)
        return len(sock.recv(1 << 16))


def _get(host: str, port: int, seconds: float) -> str:
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _udp(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)


def _echo(sock: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            sock.sendto(*sock.recvfrom(1 << 16))
