"""Tries connections and packets from the node that this runs on, side by side.

None of it needs a capability. A packet through the tunnel is a UDP datagram to a port of the other node where nobody
listens: its kernel answers with an ICMP error, which the datagram's socket is told as ECONNREFUSED.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

from cli.facts import Files, Probe, Probed
from daemon.certificates import names_of
from daemon.tls import Credentials, TlsError, seconds, words

TIMEOUT_SECONDS = 3.0
NO_ANSWER: Final = "no answer"
REFUSED: Final = "connection refused: nothing listens there"
TOO_LONG: Final = "too long for this node's own interface"

_TRIES, _TRY_SECONDS = 3, 1.0
_ALERT_SECONDS = 0.5
"""How long to wait whether the other end refuses our certificate, which TLS 1.3 tells after the handshake."""
_AT_A_TIME = 32
_HEADERS = {4: 20 + 8, 6: 40 + 8}
"""Bytes of the headers of IP and UDP."""
# <linux/in.h>, <linux/in6.h>: never fragment, whatever is known of the path.
_MTU_DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_PROBE = 3
_ANSWERS = (errno.ECONNREFUSED,)


def probe_all(probes: Iterable[Probe]) -> tuple[Probed, ...]:
    """Try all of them, in the caller's network namespace: a thread begins in that of the one that starts it."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return tuple(pool.map(probe, probes))


def probe(asked: Probe) -> Probed:
    """Try one."""
    try:
        return _KINDS[asked.kind](asked)
    except TimeoutError:
        return Probed(asked, NO_ANSWER)
    except ConnectionRefusedError:
        return Probed(asked, REFUSED)
    except OSError as e:
        return Probed(asked, e.strerror or str(e))


def _tcp(asked: Probe) -> Probed:
    with socket.create_connection((asked.address, asked.port), TIMEOUT_SECONDS):
        return Probed(asked)


def _tls(asked: Probe) -> Probed:
    try:
        context = Credentials((asked.files or Files("", "", "")).of_daemon).client()
    except TlsError as e:
        return Probed(asked, str(e))
    with socket.create_connection((asked.address, asked.port), TIMEOUT_SECONDS) as plain:
        try:
            return _handshake(asked, context, plain)
        except ssl.SSLError as e:
            return Probed(asked, f"TLS: {words(e)}")
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            return Probed(asked, "TLS: the other end hung up")


def _handshake(asked: Probe, context: ssl.SSLContext, plain: socket.socket) -> Probed:
    with context.wrap_socket(plain) as secured:
        told = dict(secured.getpeercert() or {})
        found = Probed(asked, "", tuple(sorted(names_of(told))), seconds(told["notAfter"]))
        secured.settimeout(_ALERT_SECONDS)
        try:
            secured.recv(1)
        except TimeoutError:
            return found
        return found


def _udp(asked: Probe) -> Probed:
    version = ip_address(asked.address).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(*_MTU_DISCOVER[version], _PROBE)
        sock.settimeout(_TRY_SECONDS)
        sock.connect((asked.address, asked.port))
        return Probed(asked, _asked_again(sock, bytes(max(0, asked.size - _HEADERS[version]))))


def _asked_again(sock: socket.socket, data: bytes) -> str:
    """Why nobody answers; "" when somebody does. A datagram may get lost, and kernels limit how often they say no."""
    for _ in range(_TRIES):
        try:
            sock.send(data)
            sock.recv(1)
        except TimeoutError:
            continue
        except OSError as e:
            if e.errno == errno.EMSGSIZE:
                return TOO_LONG
            return "" if e.errno in _ANSWERS else (e.strerror or str(e))
        return ""
    return NO_ANSWER


_KINDS = {"tcp": _tcp, "tls": _tls, "udp": _udp}
