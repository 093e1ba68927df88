"""What the agent does in its switch's database: the bridge, the pods' ports, and waiting for them.

The Interface rows are the ledger of addresses: a pod's port and its address are committed in one transaction, and
`ports()` after a restart is all that IPAM needs. Methods may be called from any thread; futures are completed on
the thread of the OVSDB loop.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Generic, TypeVar

from ovsdb import appctl
from ovsdb.access import Access, ensure_access
from ovsdb.changes import Changed, Lost, SessionEvent, Synced
from ovsdb.errors import OvsdbError
from ovsdb.rows import (
    GATEWAY_PORT,
    LEAVING,
    PURGED,
    TUNNEL_PORT,
    Bridge,
    IpAddress,
    PodPort,
    PortRefused,
    Row,
    SystemPort,
    external_ids,
    parse_port,
)
from ovsdb.session import OvsdbSession
from ovsdb.setup import BridgeConfig, BridgeError, add_port, ensure_bridge, pod_qos, remembered_addressing
from ovsdb.state import BridgeState
from ovsdb.txn import Handle, Txn
from ovsdb.view import BridgeEvent, BridgeView, OvsdbLost

T = TypeVar("T")


class PortFailed(OvsdbError):  # noqa: N818  (reads as what happened)
    """A port that will not come into service: Open vSwitch cannot open its device, or it was deleted meanwhile."""


class NotInTime(OvsdbError):  # noqa: N818
    """Something was not there by the deadline; the message says how far it came and whom that points to."""


OFPORTS = range(16, 65000)
"""OpenFlow port numbers for pods; the first few are left to the bridge's own ports, the last are reserved."""


CONTROLLER_SECONDS = 10.0
"""A controller that starts again is away for less. Open vSwitch writes every 5 s whether it is connected
(Controller.is_connected)."""


class _Waiter(Generic[T]):
    """A question about the bridge, asked again after every change until it has an answer or raises."""

    def __init__(self, ask: Callable[[BridgeState], T | None]) -> None:
        self._ask = ask
        self._outcome: T | OvsdbError | None = None
        self.future: Future[T] = Future()

    def settled(self, state: BridgeState) -> bool:
        """Whether there is an answer now, or nobody waits for one any more."""
        try:
            self._outcome = self._ask(state)
        except OvsdbError as e:
            self._outcome = e
        return self._outcome is not None or self.future.cancelled()

    def answer(self) -> None:
        """Complete the future; to be called without locks, for its callbacks may do anything."""
        outcome = self._outcome
        with suppress(InvalidStateError):  # cancelled at this moment
            if isinstance(outcome, OvsdbError):
                self.future.set_exception(outcome)
            elif outcome is not None:
                self.future.set_result(outcome)


_Question = _Waiter[PodPort] | _Waiter[Bridge] | _Waiter[bool]


class NodeBridge:
    """The node's bridge, over a session made with `ovsdb.schema.OWN` and not yet started.

    `controller_seconds` is how long a controller may be away before that is anybody's business.
    `sink` (if any) gets every `BridgeEvent`, on the loop's thread, after this object knows it: a gateway device that
    was made again shows as a SystemPort with another ifindex, a lost database as OvsdbLost.
    """

    def __init__(
        self,
        session: OvsdbSession,
        bridge: str,
        sink: Callable[[BridgeEvent], None] | None = None,
        *,
        controller_seconds: float = CONTROLLER_SECONDS,
    ) -> None:
        self.session = session
        self.bridge = bridge
        self._sink = sink
        self._controller_seconds = controller_seconds
        self._view = BridgeView(bridge)
        self._state = BridgeState()
        self._lock = threading.Lock()
        self._last_number = 0
        self._abandoned_since: float | None = None
        self._waiters: dict[_Question, None] = {}

    def start(self) -> None:
        """Connect and follow."""
        self.session.start(self._on_event)

    def ensure(self, config: BridgeConfig, timeout_s: float = 10.0) -> "Future[str]":
        """Make the bridge what the settings ask for, in one transaction; twice is once. What is then remembered of
        the host's addresses, as `transport_addressing` says.

        BridgeError: it cannot be, and why; nothing was changed. The ports get their numbers a moment later: see
        `wait_ready`.
        """
        version = appctl.version(appctl.rundir_of(self.session.remote))
        return self.session.submit(lambda txn: ensure_bridge(txn, config, version), timeout_s)

    def ensure_access(self, access: Access, timeout_s: float = 10.0) -> "Future[tuple[str, ...]]":
        """Make the SSL and Manager rows what they shall be; the Managers of others that give the database to the
        network without TLS."""
        return self.session.submit(lambda txn: ensure_access(txn, access), timeout_s)

    def transport_addressing(self, bridge: str, timeout_s: float = 10.0) -> "Future[str]":
        """What the transport bridge remembers of the host's addresses; "" when there is nothing yet."""
        return self.session.submit(lambda txn: remembered_addressing(txn, bridge), timeout_s)

    def wait_ready(self, timeout_s: float) -> Bridge:
        """Wait until ovs-vswitchd has made the bridge, its tunnel and its gateway port. NotInTime: what lacks."""

        def ask(state: BridgeState) -> Bridge | None:
            return None if _lacking(state) else state.bridge()

        try:
            return self._wait(_Waiter(ask), timeout_s)
        except FutureTimeout as e:
            raise NotInTime(self._why_not_ready(timeout_s)) from e

    def add_port(self, port: PodPort, timeout_s: float = 10.0) -> "Future[None]":
        """Write the pod's Port and Interface rows, in one transaction with those that are added at the same time.

        Adding the very same port again succeeds and changes nothing. BridgeError: the name is another attachment's,
        or there is no bridge. RowError: the port breaks the contract of the rows.
        """
        parse_port(*_as_rows(port))
        return self.session.submit(lambda txn: self._add(txn, port), timeout_s)

    def del_port(self, name: str, timeout_s: float = 10.0) -> "Future[bool]":
        """Remove a port's rows and with them its address; False when there was none of the name."""
        return self.session.submit(lambda txn: self._delete(txn, name), timeout_s)

    def leave(self, port: PodPort, timeout_s: float = 10.0) -> "Future[bool]":
        """Say that the port is being removed (Port.external_ids:weft-leaving): the controller takes its flows away
        and `weft-programmed` back. False when there is none of the name."""
        return self.session.submit(lambda txn: self._leave(txn, port), timeout_s)

    def wait_unprogrammed(self, port: PodPort, timeout_s: float) -> bool:
        """Block until the controller has taken `weft-programmed` back, or the port is gone; False when that is not
        within `timeout_s` seconds, or the database is lost."""
        waiter: _Waiter[bool] = _Waiter(_Unprogrammed(port.name))
        self._watch(waiter)
        try:
            return waiter.future.result(timeout_s)
        except FutureTimeout:
            waiter.future.cancel()
            return False

    def set_purged(self, number: int, timeout_s: float = 10.0) -> "Future[bool]":
        """Write Bridge.external_ids:weft-purged, the controller's request (`weft-purge`) that was served last; False
        when there is no bridge."""
        return self.session.submit(lambda txn: self._set_purged(txn, number), timeout_s)

    def programmed(self, name: str, container: str) -> "Future[PodPort]":
        """The port, once the controller says that this container's flows are in place.

        May be asked before the port is added. PortFailed: it never will be. Cancel the future to stop waiting.
        """
        waiter: _Waiter[PodPort] = _Waiter(_Programmed(name, container))
        self._watch(waiter)
        return waiter.future

    def wait_programmed(self, name: str, container: str, timeout_s: float) -> PodPort:
        """Block for `programmed`. NotInTime: not within `timeout_s` seconds; says whether the switch or the
        controller is what it waits for."""
        future = self.programmed(name, container)
        try:
            return future.result(timeout_s)
        except FutureTimeout as e:
            future.cancel()
            raise NotInTime(self.why_not_programmed(name, timeout_s)) from e

    def ports(self) -> Mapping[str, PodPort]:
        """The pods' ports by name: the ledger of addresses, as of now, less rows that cannot be read."""
        with self._lock:
            return {name: port for name, port in self._state.ports.items() if isinstance(port, PodPort)}

    def addresses(self) -> set[IpAddress]:
        """Addresses that the ledger's rows hold."""
        return {ip for port in self.ports().values() for ip in port.ips}

    def controllers(self) -> tuple[str, ...]:
        """The switch's controllers, as its database has them."""
        with self._lock:
            return tuple(self._state.head.controllers) if self._state.head is not None else ()

    def abandoned(self) -> tuple[str, ...]:
        """The switch's controllers, if it has been connected to none of them for too long."""
        with self._lock:
            head, since = self._state.head, self._abandoned_since
            if head is None or since is None or time.monotonic() - since < self._controller_seconds:
                return ()
            return tuple(head.controllers)

    @property
    def lost(self) -> str | None:
        """Why there is no connection to the database; None while there is one."""
        with self._lock:
            return self._state.lost

    def why_not_programmed(self, name: str, waited_s: float) -> str:
        """How far a port has come, for somebody who waited this long."""
        with self._lock:
            port, lost = self._state.ports.get(name), self._state.lost
            controllers = self._state.head.controllers if self._state.head else {}
        start = f"port {name}: not in service after {waited_s:g} s: "
        if lost is not None:
            return f"{start}no connection to the database: {lost}"
        if isinstance(port, PortRefused):
            return start + port.why
        if not isinstance(port, PodPort):
            return f"{start}it is not on bridge {self.bridge}"
        if port.ofport is None:
            return f"{start}ovs-vswitchd gave it no OpenFlow port; is it running?"
        links = ", ".join(f"{target} {'connected' if up else 'NOT connected'}" for target, up in controllers.items())
        return f"{start}the controller has not programmed its flows (controllers: {links or 'none set'})"

    def _why_not_ready(self, waited_s: float) -> str:
        with self._lock:
            lacking = self._state.lost or ", ".join(_lacking(self._state))
        return f"bridge {self.bridge}: not ready after {waited_s:g} s: {lacking}; is ovs-vswitchd running?"

    # Transactions.

    def _add(self, txn: Txn, port: PodPort) -> None:
        bridge = txn.find("Bridge", self.bridge)
        if bridge is None:
            raise BridgeError(f"there is no bridge {self.bridge}: it was deleted; the agent makes it anew, try again")
        present = txn.find("Port", port.name)
        if present is not None and self._is_same(txn, present, port):
            return
        # Interface.type stays "": a device of the host that exists already, which a veth is.
        columns = {"external_ids": external_ids(port), "ofport_request": self._free_number()}
        add_port(txn, bridge, port.name, columns, {"qos": pod_qos(txn)})

    def _free_number(self) -> int:
        """An OpenFlow port number for a new port, so that its flows can be made while Open vSwitch opens it.

        Numbers go up and round, so a freed one rests as long as possible. One that a foreign port has taken
        meanwhile does no harm: Open vSwitch gives another, and the flows follow.
        """
        with self._lock:
            known = {n for port in self._state.ports.values() if (n := _number_of(port)) is not None}
            self._last_number = self._last_number or max(known & set(OFPORTS), default=OFPORTS.start - 1)
            for step in range(1, len(OFPORTS) + 1):
                number = OFPORTS[(self._last_number + step - OFPORTS.start) % len(OFPORTS)]
                if number not in known:
                    self._last_number = number
                    return number
        raise BridgeError(f"bridge {self.bridge}: all {len(OFPORTS)} OpenFlow port numbers are in use")

    @staticmethod
    def _is_same(txn: Txn, present: Handle, port: PodPort) -> bool:
        rows = txn.get(present, "interfaces")
        return len(rows) == 1 and txn.get(rows[0], "external_ids") == external_ids(port)

    def _delete(self, txn: Txn, name: str) -> bool:
        bridge, port = txn.find("Bridge", self.bridge), txn.find("Port", name)
        if bridge is None or port is None:
            return False
        txn.unlink(bridge, "ports", port)
        return True

    @staticmethod
    def _leave(txn: Txn, port: PodPort) -> bool:
        row = txn.find("Port", port.name)
        if row is not None:
            txn.set_keys(row, "external_ids", {LEAVING: port.key.container})
        return row is not None

    def _set_purged(self, txn: Txn, number: int) -> bool:
        bridge = txn.find("Bridge", self.bridge)
        if bridge is not None:
            txn.set_keys(bridge, "external_ids", {PURGED: str(number)})
        return bridge is not None

    # Events, on the loop's thread.

    def _on_event(self, event: SessionEvent) -> None:
        events = self._translate(event)
        with self._lock:
            for told in events:
                self._state.apply(told)
            if self._state.head is None or any(self._state.head.controllers.values()):
                self._abandoned_since = None
            elif self._abandoned_since is None:
                self._abandoned_since = time.monotonic()
            settled = [waiter for waiter in self._waiters if waiter.settled(self._state)]
            for waiter in settled:
                del self._waiters[waiter]
        for waiter in settled:
            waiter.answer()
        if self._sink is not None:
            for told in events:
                self._sink(told)

    def _translate(self, event: SessionEvent) -> list[BridgeEvent]:
        match event:
            case Synced(tables):
                return [self._view.sync(tables)]
            case Changed(changes):
                return self._view.apply(changes)
            case Lost(reason):
                return [OvsdbLost(reason)]

    def _watch(self, waiter: "_Question") -> None:
        with self._lock:
            settled = waiter.settled(self._state)
            if not settled:
                self._waiters[waiter] = None
        if settled:
            waiter.answer()

    def _wait(self, waiter: _Waiter[Bridge], timeout_s: float) -> Bridge:
        self._watch(waiter)
        try:
            return waiter.future.result(timeout_s)
        finally:
            waiter.future.cancel()


class _Programmed:
    """The question whether a container's flows are in place."""

    def __init__(self, name: str, container: str) -> None:
        self.name = name
        self.container = container
        self._seen = False

    def __call__(self, state: BridgeState) -> PodPort | None:
        port = state.pod_port(self.name)
        if port is None:
            if self._seen and state.lost is None:
                raise PortFailed(f"port {self.name}: deleted while it was waited for")
            return None
        self._seen = True
        if port.error is not None:
            raise PortFailed(f"port {self.name}: Open vSwitch: {port.error}")
        return port if port.programmed == self.container else None


class _Unprogrammed:
    """The question whether the controller has taken back that a port's flows are in place."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, state: BridgeState) -> bool | None:
        if state.lost is not None:
            return False
        port = state.pod_port(self.name)
        return True if port is None or port.programmed is None else None


def _number_of(port: object) -> int | None:
    if isinstance(port, PodPort):
        return port.ofport or port.requested
    return port.ofport if isinstance(port, SystemPort) else None


def _lacking(state: BridgeState) -> list[str]:
    """What the bridge still lacks, in words."""
    if state.lost is not None or state.head is None:
        return [state.lost or "no such bridge"]
    ports = {name: state.ports.get(name) for name in (TUNNEL_PORT, GATEWAY_PORT)}
    missing = [name for name, port in ports.items() if not isinstance(port, SystemPort) or port.ofport is None]
    lacking = [f"port {name} has no number" for name in missing]
    return lacking if state.head.datapath_id is not None else ["the bridge has no datapath id", *lacking]


def _as_rows(port: PodPort) -> tuple[Row, Row]:
    """The rows that the port would be, for the reader's side to judge before anything is written."""
    return {"name": port.name, "external_ids": {}}, {
        "external_ids": external_ids(port),
        "ofport": None,
        "error": None,
    }
