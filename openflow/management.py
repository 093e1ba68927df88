"""Reads the flows of a bridge over its management socket (`<rundir>/<bridge>.mgmt`), with their counters.

The controller's channel serves thousands of flows a millisecond to many switches at once; a command, or an agent that
looks at one pod, asks one switch one question and waits. So this is a client of its own: connect, say hello, ask,
read to the end. Source: OpenFlow 1.5.1, sections 6.3.1 (connection setup), 7.3.5.2 (flow descriptions), 7.5.4
(errors).
"""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from openflow import codec
from openflow.codec import Record
from openflow.errors import DecodeError, ManagementError

TIMEOUT_SECONDS = 10.0

_HEADER = struct.Struct("!BBHI")
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY = 0, 1, 2, 3
_VERSION_BITMAP = struct.pack("!HHI", 1, 8, 1 << codec.VERSION)
_HELLO_XID, _DUMP_XID = 1, 2
_CHUNK = 1 << 18


def socket_of(rundir: Path, bridge: str) -> Path:
    """The management socket of a bridge of the Open vSwitch with this run directory."""
    return rundir / f"{bridge}.mgmt"


def records(management: Path, timeout: float = TIMEOUT_SECONDS, cookie: int | None = None) -> tuple[Record, ...]:
    """Every flow of the bridge, or those with this cookie, in the switch's order. `timeout` is in seconds.

    ManagementError: it does not answer as it should; the message names the socket.
    """
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(str(management))
            return tuple(_dump(sock, codec.dump_request(_DUMP_XID, cookie)))
    except FileNotFoundError as e:
        raise ManagementError(
            f"{management}: no such socket; is ovs-vswitchd running, and is the bridge there?"
        ) from e
    except PermissionError as e:
        raise ManagementError(f"{management}: permission denied; this needs root") from e
    except OSError as e:
        why = e.strerror or "no answer in time"
        raise ManagementError(f"{management}: cannot read the flows: {why}; is ovs-vswitchd running?") from e
    except DecodeError as e:
        raise ManagementError(f"{management}: cannot read the flows: {e}") from e


def _dump(sock: socket.socket, request: bytes) -> Iterator[Record]:
    sock.sendall(_message(_HELLO, _HELLO_XID, _VERSION_BITMAP))
    for message in _messages(sock):
        version, kind, _, xid = _HEADER.unpack_from(message)
        if kind == _HELLO:
            if version < codec.VERSION:
                raise DecodeError(f"the switch speaks OpenFlow version {version:#x}, not 1.5 ({codec.VERSION:#x})")
            sock.sendall(request)
        elif kind == _ECHO_REQUEST:
            sock.sendall(_message(_ECHO_REPLY, xid, message[_HEADER.size :]))
        elif kind == _ERROR:
            raise DecodeError(f"the switch answers with an error: {message[_HEADER.size :].hex()}")
        elif kind == codec.MULTIPART_REPLY and xid == _DUMP_XID:
            yield from codec.dump_records(message)
            if not codec.dump_more(message):
                return


def _messages(sock: socket.socket) -> Iterator[bytes]:
    held = b""
    while True:
        while len(held) >= _HEADER.size and len(held) >= (size := _size(held)):
            yield held[:size]
            held = held[size:]
        chunk = sock.recv(_CHUNK)
        if not chunk:
            raise DecodeError("the switch closed the connection")
        held += chunk


def _size(held: bytes) -> int:
    size = int(_HEADER.unpack_from(held)[2])
    if size < _HEADER.size:
        raise DecodeError(f"a message that claims {size} bytes: this is not OpenFlow")
    return size


def _message(kind: int, xid: int, body: bytes) -> bytes:
    return _HEADER.pack(codec.VERSION, kind, _HEADER.size + len(body), xid) + body
