"""Who reaches whom: an ICMP echo and an HTTP request from every pod to every other, over every family.

All cells are measured side by side from this process, through sockets made inside the pods' namespaces: a
process per cell would take longer than the network does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab import netns

TIMEOUT_SECONDS = 2.0
_AT_A_TIME = 16  # More would measure this process instead of the network.

_ECHO = {4: (8, 0), 6: (128, 129)}
"""ICMP types of echo request and reply, by family (RFC 792, RFC 4443)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod as a source and a target. `http_port` is None when it serves nothing; `hostname` is its answer."""

    name: str
    namespace: Path
    ips: tuple[IPv4Address | IPv6Address, ...]
    hostname: str
    http_port: int | None


@dataclass(frozen=True, slots=True)
class Cell:
    """What one pod finds when it talks to another over one family.

    `ping_ms` is the round trip, None without an answer in time. `http` is "ok", "" when the target serves
    nothing, or what went wrong.
    """

    source: str
    target: str
    version: int
    ping_ms: float | None
    http: str

    @property
    def ok(self) -> bool:
        return self.ping_ms is not None and self.http in ("ok", "")


@dataclass(frozen=True, slots=True)
class _Path:
    source: Endpoint
    target: Endpoint
    ip: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class _Limit:
    """How many cells are measured at a time, and how long each step may take, in seconds."""

    places: asyncio.Semaphore
    timeout: float


def measure(endpoints: Sequence[Endpoint], timeout: float = TIMEOUT_SECONDS) -> tuple[Cell, ...]:
    """Every ordered pair of different endpoints, over each family the target has an address of.

    Sorted by source, target and family. `timeout` in seconds bounds each echo and each request. Raises
    node_agent.netns.NotANamespace when a pod is gone.
    """
    return asyncio.run(_measure(endpoints, timeout))


def require_http(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """The same cells for somebody who counts on HTTP everywhere: where it was not tried, it failed."""
    return tuple(cell if cell.http else replace(cell, http="not tried, the target serves none") for cell in cells)


def echo_request(version: int, identifier: int, sequence: int) -> bytes:
    """An ICMP echo request; the kernel fills in the checksum of an IPv6 one."""
    header = struct.pack("!BBHHH", _ECHO[version][0], 0, 0, identifier, sequence)
    if version == 6:
        return header
    return header[:2] + struct.pack("!H", _checksum(header)) + header[4:]


def echo_reply(version: int, packet: bytes) -> tuple[int, int] | None:
    """Identifier and sequence number of an echo reply as a raw socket reads it; None for anything else."""
    # A raw IPv4 socket hands out the IP header too (raw(7)); an IPv6 one does not.
    start = (packet[0] & 0x0F) * 4 if version == 4 and packet else 0
    if len(packet) < start + 8:
        return None
    kind, _, _, identifier, sequence = struct.unpack_from("!BBHHH", packet, start)
    return (identifier, sequence) if kind == _ECHO[version][1] else None


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


async def _measure(endpoints: Sequence[Endpoint], timeout: float) -> tuple[Cell, ...]:
    limit = _Limit(asyncio.Semaphore(_AT_A_TIME), timeout)
    rows = await asyncio.gather(*(_from(source, endpoints, limit) for source in endpoints))
    cells = (cell for row in rows for cell in row)
    return tuple(sorted(cells, key=lambda cell: (cell.source, cell.target, cell.version)))


async def _from(source: Endpoint, endpoints: Iterable[Endpoint], limit: _Limit) -> list[Cell]:
    targets = [(target, ip) for target in endpoints if target.name != source.name for ip in target.ips]
    pingers = netns.run_in(source.namespace, lambda: {version: _Pinger(version) for version in (4, 6)})
    try:
        cells = (_cell(_Path(source, target, ip), pingers[ip.version], limit) for target, ip in targets)
        return list(await asyncio.gather(*cells))
    finally:
        for pinger in pingers.values():
            pinger.close()


async def _cell(path: _Path, pinger: _Pinger, limit: _Limit) -> Cell:
    async with limit.places:
        ping = await pinger.ping(str(path.ip), limit.timeout)
        http = await _http(path, limit.timeout)
    return Cell(path.source.name, path.target.name, path.ip.version, ping, http)


class _Pinger:
    """One raw ICMP socket with any number of echoes under way. Make it inside the source's namespace."""

    def __init__(self, version: int) -> None:
        family, protocol = {
            4: (socket.AF_INET, socket.IPPROTO_ICMP),
            6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
        }[version]
        self._version = version
        self._identifier = os.getpid() & 0xFFFF
        self._waiting: dict[int, asyncio.Future[float]] = {}
        self._sequence = 0
        self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self._socket.setblocking(False)

    async def ping(self, address: str, timeout: float) -> float | None:
        """The round trip in milliseconds, or None."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._receive)
        self._sequence += 1
        sequence = self._sequence
        self._waiting[sequence] = loop.create_future()
        start = time.perf_counter()
        try:
            self._socket.sendto(echo_request(self._version, self._identifier, sequence), (address, 0))
            end = await asyncio.wait_for(self._waiting[sequence], timeout)
        except (OSError, TimeoutError):
            return None
        finally:
            del self._waiting[sequence]
        return (end - start) * 1000

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        reply = echo_reply(self._version, self._socket.recv(2048))
        if reply is None or reply[0] != self._identifier:
            return
        waiting = self._waiting.get(reply[1])
        if waiting is not None and not waiting.done():
            waiting.set_result(time.perf_counter())


async def _http(path: _Path, timeout: float) -> str:
    target = path.target
    if target.http_port is None:
        return ""
    family = socket.AF_INET6 if path.ip.version == 6 else socket.AF_INET
    sock = netns.run_in(path.source.namespace, lambda: socket.socket(family, socket.SOCK_STREAM))
    try:
        answer = await asyncio.wait_for(_get(sock, str(path.ip), target.http_port), timeout)
    except TimeoutError:
        return "timeout"
    except OSError as e:
        return os.strerror(e.errno) if e.errno else type(e).__name__
    finally:
        sock.close()
    return "ok" if answer == target.hostname else f"answered by {answer!r}"


async def _get(sock: socket.socket, address: str, port: int) -> str:
    """The body of `GET /hostname`."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    await loop.sock_connect(sock, (address, port))
    await loop.sock_sendall(sock, b"GET /hostname HTTP/1.0\r\nHost: pod\r\n\r\n")
    received = b""
    while chunk := await loop.sock_recv(sock, 65536):
        received += chunk
    return received.partition(b"\r\n\r\n")[2].decode(errors="replace")
