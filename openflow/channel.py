"""The OpenFlow channel: os-ken's sessions, with Weft's bytes on them.

os-ken listens, shakes hands, keeps the session alive and parses what switches say. What is large goes past its
encoder and parser: changes are sent as bytes from `openflow.codec`, flow dumps are taken as bytes. Nothing is
decided here: every event is posted to whoever owns the state, and commands are carried out.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.controller import Datapath
from os_ken.controller.handler import (
    CONFIG_DISPATCHER,
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    set_ev_handler,
)
from os_ken.controller.ofp_handler import OFPHandler
from os_ken.lib import hub
from os_ken.ofproto import ofproto_parser, ofproto_v1_5, ofproto_v1_5_parser

from openflow import codec
from openflow.codec import Change
from openflow.errors import DecodeError
from openflow.listening import TLS_SECONDS, Gate, Tls, listen
from openflow.tables import Table

log = logging.getLogger("weft.openflow")

ECHO_INTERVAL = 5.0
"""Seconds between liveness probes of a switch; it is given up after `UNANSWERED_ECHOES` of them."""
UNANSWERED_ECHOES = 2

_ACCEPT_PAUSE = 0.2
_CHUNK = 1 << 18
_INLINE = 256
_XIDS = 1 << 30


@dataclass(frozen=True, slots=True)
class FlowFailure:
    """The switch refused a flow: its key and OpenFlow's error type and code by name."""

    key: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class SwitchConnected:
    """A switch finished its handshake. Nothing has been asked of it yet."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class SwitchGone:
    session: "Session"


@dataclass(frozen=True, slots=True)
class FlowsDumped:
    """All flows of a switch: key → body; and how many packets those in Commit have met since they were added."""

    session: "Session"
    flows: dict[bytes, bytes]
    packets: dict[bytes, int]


@dataclass(frozen=True, slots=True)
class ChangeApplied:
    """The barrier behind a change was answered; without failures all of it is in place.

    With a failure, what is in place depends on when Open vSwitch refused the flow. One that it cannot decode or allow
    is refused as it comes, and the rest is committed. One that cannot be carried out (no such group or meter, a full
    table) is refused at the commit, and nothing is. So read the flows to learn what took effect.
    """

    session: "Session"
    failures: tuple[FlowFailure, ...]


ChannelEvent = SwitchConnected | SwitchGone | FlowsDumped | ChangeApplied
Post = Callable[[ChannelEvent], None]


@dataclass(slots=True)
class _Pending:
    """A change on its way: its flow-mods carry xids from `first` on, its commit the one after them."""

    first: int
    change: Change
    failures: list[FlowFailure] = field(default_factory=list)

    def flow_of(self, xid: int) -> bytes | None:
        place = xid - self.first
        return self.change.key_of(place) if 0 <= place < len(self.change) else None

    def fail(self, xid: int, reason: str) -> None:
        key = self.flow_of(xid)
        if key is not None:
            self.failures.append(FlowFailure(key, reason))
        elif not self.failures:  # the commit only repeats what a flow-mod's own error said
            self.failures.append(FlowFailure(b"", reason))


class Session(Datapath):  # type: ignore[misc]
    """One connected switch. Commands may come from any thread; at most one change is on its way at a time."""

    def __init__(
        self, sock: socket.socket, address: object, post: Post, echo_interval: float = ECHO_INTERVAL
    ) -> None:
        self._post = post
        self._next = 1
        self._pending: dict[int, _Pending] = {}
        self._dump: dict[bytes, bytes] = {}
        self._packets: dict[bytes, int] = {}
        self._announced = False
        super().__init__(sock, address)
        self.echo_request_interval = echo_interval
        self.max_unreplied_echo_requests = UNANSWERED_ECHOES

    @property
    def datapath_id(self) -> int:
        return int(self.id)

    def dump_flows(self) -> None:
        """Ask for every flow; `FlowsDumped` follows."""
        self._dump, self._packets = {}, {}
        self.send(codec.dump_request(self._xids(1)))

    def apply(self, change: Change) -> None:
        """Send a change as one atomic bundle with a barrier behind it; `ChangeApplied` follows."""
        first = self._xids(len(change) + 3)
        last = first + len(change)
        self._pending[last + 2] = _Pending(first, change)
        if len(change) <= _INLINE:
            self._send_change(change, first)
        else:  # the send queue is short: a large change must not make the caller wait for the switch
            hub.spawn(self._send_change, change, first)

    def refuse(self, reason: str) -> None:
        """Close the session, saying why in the log."""
        log.warning("switch refused: %s", reason, extra={"peer": str(self.address), "datapath": self.id})
        self.close()

    def close(self) -> None:
        """End the session. Twice is once."""
        super().close()
        with suppress(OSError):  # wakes the receiver, which would else wait for the peer to say something
            self.socket.shutdown(socket.SHUT_RDWR)

    def set_state(self, state: str) -> None:
        super().set_state(state)
        if state == MAIN_DISPATCHER:
            self._announced = True
            self._post(SwitchConnected(self))
        elif state == DEAD_DISPATCHER and self._announced:
            self._announced = False
            self._post(SwitchGone(self))

    def _recv_loop(self) -> None:
        try:
            super()._recv_loop()
        finally:  # os-ken's sender would wait for work for ever, and nobody would hear that the peer has left
            self.set_state(DEAD_DISPATCHER)
            self.send(b"")

    def _xids(self, count: int) -> int:
        first = self._next
        self._next = 1 if first + count >= _XIDS else first + count
        return first

    def _send_change(self, change: Change, first: int) -> None:
        last = first + len(change)
        number = first  # bundle ids only need to differ from those still open
        if len(change) <= _INLINE:
            messages = (codec.bundle_open(number, last), *codec.bundle(number, first, change))
            self.send(b"".join((*messages, codec.bundle_commit(number, last + 1), codec.barrier(last + 2))))
            return
        self.send(codec.bundle_open(number, last))
        for chunk in codec.join(codec.bundle(number, first, change), _CHUNK):
            self.send(chunk)
        self.send(codec.bundle_commit(number, last + 1) + codec.barrier(last + 2))

    def _part_of_dump(self, message: bytes) -> None:
        codec.dump_into(message, self._dump, self._packets, Table.COMMIT)
        if not codec.dump_more(message):
            self._post(FlowsDumped(self, self._dump, self._packets))

    def _barrier_answered(self, xid: int) -> None:
        done = self._pending.pop(xid, None)
        if done is not None:
            self._post(ChangeApplied(self, tuple(done.failures)))

    def _error(self, xid: int, reason: str) -> None:
        for pending in list(self._pending.values()):  # another thread may be adding one
            if pending.first <= xid <= pending.first + len(pending.change) + 1:
                pending.fail(xid, reason)
                return
        log.warning("OpenFlow error outside any change: %s", reason, extra={"datapath": self.id})


def _parse(datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: bytearray) -> Any:
    """os-ken's parser for OpenFlow 1.5, but flow dumps stay bytes: decoding 100,000 of them takes it 10 seconds."""
    if msg_type == codec.MULTIPART_REPLY and isinstance(datapath, Session):
        message = bytes(buf)
        try:
            if codec.multipart_type(message) == codec.FLOW_DESC:
                datapath._part_of_dump(message)
                return None
        except DecodeError as e:
            datapath.refuse(f"its flow dump cannot be read: {e}")
            return None
    return ofproto_v1_5_parser.msg_parser(datapath, version, msg_type, msg_len, xid, buf)


class _Handler(OFPHandler):  # type: ignore[misc]
    """os-ken's handshake and keep-alive, on a listener of our choice."""

    OFP_VERSIONS = (ofproto_v1_5.OFP_VERSION,)

    def __init__(self, listener: "Listener") -> None:
        super().__init__()
        self._listener = listener

    def start(self) -> Any:
        OSKenApp.start(self)
        return hub.spawn(self._listener.serve)

    @set_ev_handler(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def barrier_handler(self, ev: Any) -> None:
        ev.msg.datapath._barrier_answered(ev.msg.xid)

    @set_ev_handler(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])  # type: ignore[untyped-decorator]
    def failure_handler(self, ev: Any) -> None:
        ofp = ofproto_v1_5
        names = (ofp.ofp_error_type_to_str(ev.msg.type), ofp.ofp_error_code_to_str(ev.msg.type, ev.msg.code))
        ev.msg.datapath._error(ev.msg.xid, "/".join(str(name) for name in names))


class Listener:
    """Accepts switches on `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`; the last needs `tls`, and both ends are
    verified.

    os-ken keeps its applications in one registry for the process, so there is one listener in a process.
    """

    def __init__(
        self,
        target: str,
        post: Post,
        tls: Tls | None = None,
        *,
        echo_interval: float = ECHO_INTERVAL,
        tls_seconds: float = TLS_SECONDS,
    ) -> None:
        """Listens at once. ValueError: no such kind of target. OSError, naming the target: it cannot be had."""
        secured = target.startswith("ssl:")
        if secured and tls is None:
            raise ValueError(f"cannot listen on {target!r} without certificates")
        self._post = post
        self._gate = Gate(tls if secured else None, tls_seconds)
        self._echo_interval = echo_interval
        self._stopped = False
        self._socket = listen(target)
        self.address = self._socket.getsockname()

    def start(self) -> None:
        ofproto_parser.register_msg_parser(ofproto_v1_5.OFP_VERSION)(_parse)
        manager = AppManager.get_instance()
        manager.instantiate(_Handler, self).start()

    def stop(self) -> None:
        self._stopped = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def serve(self) -> None:
        while True:
            try:
                peer, address = self._socket.accept()
            except OSError as e:
                if self._stopped:
                    return
                # Out of descriptors, say. The peer tries again, and so does this.
                log.error("cannot accept a switch: %s", e)
                hub.sleep(_ACCEPT_PAUSE)
            else:
                hub.spawn(self._session, peer, address)

    def _session(self, peer: socket.socket, address: object) -> None:
        with closing(peer):
            sock = self._gate.let_in(peer, address)
            if sock is not None:
                with closing(Session(sock, address, self._post, self._echo_interval)) as session:
                    session.serve()
