"""Traffic between network namespaces: who answers whom, in whose name, and how fast."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import netns

PATIENCE = 10.0  # seconds for an answer that has to come
BRIEF = 1.0  # seconds for one that must not
STREAM, DATAGRAM = "tcp", "udp"
_KINDS = {STREAM: socket.SOCK_STREAM, DATAGRAM: socket.SOCK_DGRAM}


class _Stream(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(_plain(self.client_address[0]))


class _Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        _, answering = self.request
        answering.sendto(_plain(self.client_address[0]), self.client_address)


class _StreamServer(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


class _DatagramServer(socketserver.ThreadingUDPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


def _plain(address: str) -> bytes:
    return address.removeprefix("::ffff:").encode()


@contextmanager
def answering(namespace: Path, port: int) -> Iterator[None]:
    """Whoever asks at the port, by TCP or UDP and over either family, is told his own address."""
    kinds = ((_StreamServer, _Stream), (_DatagramServer, _Datagram))
    servers = [netns.run_in(namespace, lambda pair=pair: pair[0](("::", port), pair[1])) for pair in kinds]
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@dataclass(frozen=True)
class Sender:
    """Somebody in a namespace, who sends from an address of his own or by an interface where these are given."""

    namespace: Path
    own: str = ""
    device: str = ""

    def heard_as(self, target: tuple[str, int], kind: str = STREAM, seconds: float = PATIENCE) -> str:
        """As whom somebody who is `answering` hears him; "" when no answer comes."""
        return netns.run_in(self.namespace, lambda: self._ask(target, kind, seconds))

    def unanswered(self, target: tuple[str, int], kind: str = STREAM) -> bool:
        """Whether no answer comes."""
        return not self.heard_as(target, kind, BRIEF)

    def _ask(self, target: tuple[str, int], kind: str, seconds: float) -> str:
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        with socket.socket(family, _KINDS[kind]) as asking:
            asking.settimeout(seconds)
            try:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
                if self.own:
                    asking.bind((self.own, 0))
                asking.connect(target)
                if kind == DATAGRAM:
                    asking.send(b"who am I?")
                return asking.recv(100).decode()
            except OSError:
                return ""


def qdiscs(namespace: str, ifname: str) -> list[dict[str, Any]]:
    """What `tc` says of the queueing disciplines of an interface."""
    argv = ["tc", "-j", "-s", "-n", namespace, "qdisc", "show", "dev", ifname]
    return list(json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=PATIENCE).stdout))


def transfer(source: Path, sink: Path, address: str, size: int) -> float:
    """Seconds that `size` bytes take from one namespace to an address in another, all of which arrive."""
    listener = netns.run_in(sink, lambda: socket.create_server((address, 0)))
    with listener:
        sender = threading.Thread(target=netns.run_in, args=(source, lambda: _send(listener.getsockname(), size)))
        sender.start()
        taken, _ = listener.accept()
        with taken:
            taken.settimeout(PATIENCE)
            began = time.monotonic()
            received = sum(len(chunk) for chunk in iter(lambda: taken.recv(1 << 16), b""))
        elapsed = time.monotonic() - began
        sender.join(PATIENCE)
    assert received == size
    return elapsed


def _send(address: tuple[str, int], size: int) -> None:
    with socket.create_connection(address, timeout=PATIENCE) as sender:
        sender.sendall(bytes(size))
