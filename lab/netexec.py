"""What `agnhost netexec` answers, for pods of a cluster that has no images.

One event loop in the lab's daemon serves every pod: its sockets were made inside the pods' namespaces. The
paths and UDP commands are those of k8s.io/kubernetes/test/images/agnhost/netexec, so the same YAML runs on a
real cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

from lab import netns

_REQUEST_SECONDS = 10.0
_BACKLOG = 128

T = TypeVar("T")


class NetexecError(ValueError):
    """Arguments that `netexec` does not take."""


@dataclass(frozen=True, slots=True)
class Netexec:
    """Which ports to serve; a UDP port of -1 serves none, as in agnhost."""

    http_port: int = 8080
    udp_port: int = 8081


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise NetexecError(f"netexec: {message}")


def parse_args(arguments: Sequence[str]) -> Netexec:
    """The part of agnhost's `netexec` flags that the lab serves; NetexecError names any other."""
    parser = _Parser(prog="netexec", add_help=False, allow_abbrev=False)
    parser.add_argument("--http-port", type=int, default=8080)
    parser.add_argument("--udp-port", type=int, default=8081)
    found = parser.parse_args(list(arguments))
    return Netexec(found.http_port, found.udp_port)


def http_answer(target: str, hostname: str, peer: str) -> tuple[int, str]:
    """Status and body for a GET of `target` that came from `peer` (`address:port`)."""
    url = urlsplit(target)
    if url.path == "/":
        return 200, f"NOW: {datetime.now(UTC)}"
    if url.path == "/hostname":
        return 200, hostname
    if url.path == "/clientip":
        return 200, peer
    if url.path == "/echo":
        return 200, parse_qs(url.query).get("msg", [""])[0]
    if url.path == "/healthz":
        return 200, ""
    return 404, "404 page not found\n"


def udp_answer(message: str, hostname: str, peer: str) -> str:
    """The answer to one datagram."""
    command, _, argument = message.strip().partition(" ")
    answers = {"hostname": hostname, "clientip": peer, "echo": argument.strip()}
    return answers.get(command.lower(), f"unknown command: {command}")


def peer_text(address: tuple[Any, ...]) -> str:
    """`address:port` as Go prints it: IPv6 in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(slots=True)
class _Served:
    servers: list[asyncio.Server] = field(default_factory=list)
    transports: list[asyncio.BaseTransport] = field(default_factory=list)

    def close(self) -> None:
        for server in self.servers:
            server.close()
        for transport in self.transports:
            transport.close()


class NetexecServers:
    """Serves any number of pods from one thread; `serve` and `stop` may be called from any other."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._served: dict[str, _Served] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="netexec", daemon=True)
        self._thread.start()

    def serve(self, key: str, namespace: Path, hostname: str, config: Netexec) -> None:
        """Listen in `namespace` as the pod called `hostname`, until `stop(key)`.

        Raises OSError, naming the port, when one is taken; nothing is left open then.
        """
        tcp, udp = netns.run_in(namespace, lambda: _open_sockets(config))
        self._call(self._attach(key, hostname, tcp, udp))

    def stop(self, key: str) -> None:
        """Stop listening for `key`; stopping nothing succeeds."""
        self._call(self._detach(key))

    def close(self) -> None:
        """Stop everything and end the thread."""
        for key in list(self._served):
            self.stop(key)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _attach(self, key: str, hostname: str, tcp: list[socket.socket], udp: list[socket.socket]) -> None:
        served = self._served[key] = _Served()
        for sock in tcp:
            server = await asyncio.start_server(_HttpConnection(hostname), sock=sock)
            served.servers.append(server)
        for sock in udp:
            transport, _ = await self._loop.create_datagram_endpoint(lambda: _Datagrams(hostname), sock=sock)
            served.transports.append(transport)

    async def _detach(self, key: str) -> None:
        served = self._served.pop(key, None)
        if served is not None:
            served.close()


@dataclass(frozen=True, slots=True)
class _HttpConnection:
    """Answers one request on a connection and closes it."""

    hostname: str

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_SECONDS)
            writer.write(self._response(head, writer.get_extra_info("peername")))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # A peer that went away or does not speak HTTP is owed nothing.
        finally:
            writer.close()

    def _response(self, head: bytes, peer: tuple[Any, ...]) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3:
            status, body = 400, "400 Bad Request"
        else:
            status, body = http_answer(words[1], self.hostname, peer_text(peer))
        reason = {200: "OK", 400: "Bad Request", 404: "Not Found"}[status]
        content = body.encode()
        lines = (
            f"HTTP/1.1 {status} {reason}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(content)}",
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode() + content


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: Python 3.11's datagram transports do not derive from the class they implement.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._transport is not None:
            answer = udp_answer(data.decode(errors="replace"), self._hostname, peer_text(addr))
            self._transport.sendto(answer.encode(), addr)


def _open_sockets(config: Netexec) -> tuple[list[socket.socket], list[socket.socket]]:
    tcp: list[socket.socket] = []
    udp: list[socket.socket] = []
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            tcp.append(_bound(family, socket.SOCK_STREAM, config.http_port))
            if config.udp_port != -1:
                udp.append(_bound(family, socket.SOCK_DGRAM, config.udp_port))
    except BaseException:
        for sock in (*tcp, *udp):
            sock.close()
        raise
    return tcp, udp


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", port))
        if kind is socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as e:
        sock.close()
        raise OSError(e.errno, f"cannot listen on port {port}: {e.strerror}") from e
    return sock
