"""The edge to the nodes' databases: one watch a node, told as the core's events."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

from controller import commands as c
from controller.bridge import bridge_state
from daemon import logs, targets
from kube.membership import Problem
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import ForeignPort, PortRefused, SystemPort
from ovsdb.schema import WATCH
from ovsdb.state import BridgeState
from ovsdb.view import BridgeEvent, BridgeGone, BridgeSeen, OvsdbLost, PortChanged, PortEvent, PortGone, Snapshot
from ovsdb.watch import BridgeWatch

log = logs.get("weft.nodes")

Post = Callable[[c.Event], None]


class NodeDatabases:
    """Follows every node's bridge and writes `weft-programmed`, `weft-purge` and `next_cfg`."""

    def __init__(self, bridge: str, post: Post) -> None:
        self._bridge = bridge
        self._post = post
        self._loop = OvsdbLoop()
        self._watches: dict[str, BridgeWatch] = {}

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    def watch(self, node: str, remote: str) -> None:
        """Follow the node's database at `remote`, instead of where it was before. A remote that this controller
        cannot use is told as the node's problem."""
        self.unwatch(node)
        try:
            targets.check_encrypted("remote", remote, tls=True)  # whether there is TLS, the session knows
            session = self._loop.session(remote, WATCH)
        except ValueError as e:
            problem = Problem("Node", node, "DatabaseUnusable", f"annotation weft.dev/ovsdb: {e}")
            self._post(c.PortProblem(node, _key(node, "(database)"), (problem,)))
            return
        watch = BridgeWatch(session, self._bridge, partial(self._told, Follower(node)))
        self._watches[node] = watch
        watch.start()

    def unwatch(self, node: str) -> None:
        watch = self._watches.pop(node, None)
        if watch is not None:
            watch.close()

    def announce(self, node: str, port: str, container: str | None) -> None:
        """Write (or take back) the container whose flows are in place."""
        watch = self._watches.get(node)
        if watch is not None:
            watch.set_programmed(port, container).add_done_callback(partial(_announced, node, port))

    def purge(self, node: str) -> None:
        """Ask the node's agent to have its switch forget its datapath flows."""
        watch = self._watches.get(node)
        asked = watch.ask_purge() if watch is not None else None
        if asked is not None:
            asked.add_done_callback(partial(_asked, node))

    def reconfigure(self, node: str) -> None:
        """Have the node's switch give its OpenFlow connections their settings."""
        watch = self._watches.get(node)
        if watch is not None:
            watch.reconfigure().add_done_callback(partial(_reconfigured, node))

    def _told(self, follower: "Follower", event: BridgeEvent) -> None:
        for told in follower.take(event):
            self._post(told)


def _announced(node: str, port: str, done: "Future[bool]") -> None:
    error = done.exception()
    if error is not None:
        log.warning("weft-programmed not written", node=node, port=port, error=str(error))


def _asked(node: str, done: "Future[int]") -> None:
    error = done.exception()
    if error is not None:
        log.warning("weft-purge not written", node=node, error=str(error))


def _reconfigured(node: str, done: "Future[None]") -> None:
    error = done.exception()
    if error is not None:
        log.warning("next_cfg not written", node=node, error=str(error))


class Follower:
    """What one node's database tells, as the core's events. Pure but for its log.

    Nothing is told of a bridge that another node's agent has claimed, or none yet; once it is this node's, it is
    told as a whole.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._state = BridgeState()
        self._ours = False
        self._needs_purge = False

    def take(self, event: BridgeEvent) -> Iterator[c.Event]:
        self._state.apply(event)
        if isinstance(event, OvsdbLost):
            log.warning("database lost", node=self._node, reason=event.reason)
            return
        before, head = self._ours, self._state.head
        self._ours = head is not None and head.node == self._node
        if isinstance(event, Snapshot) or self._ours != before:
            yield from self._whole()
        elif isinstance(event, BridgeSeen):
            yield from self._need(event) if self._ours else ()
        elif self._ours and not isinstance(event, BridgeGone):
            yield from _translate(self._node, event)

    def _need(self, head: BridgeSeen) -> Iterator[c.Event]:
        if head.purging.needed != self._needs_purge:
            self._needs_purge = head.purging.needed
            yield c.PurgeNeed(self._node, self._needs_purge)

    def _whole(self) -> Iterator[c.Event]:
        bridge = self._state.bridge()
        if bridge is None:
            log.warning("no bridge", node=self._node)
            yield c.BridgeRead(self._node, bridge_state((), {}))
        elif not self._ours:
            problem = _elsewhere(self._node, bridge.name, bridge.node)
            yield c.PortProblem(self._node, _key(self._node, bridge.name), (problem,))
        else:
            problems = [_foreign(self._node, name) for name in sorted(bridge.foreign)]
            problems += [_refused(self._node, name, why) for name, why in bridge.refused.items()]
            log.info("database read", node=self._node, ports=len(bridge.ports))
            self._needs_purge = bridge.purging.needed
            state = bridge_state(bridge.ports.values(), bridge.system, needs_purge=self._needs_purge)
            yield c.BridgeRead(self._node, state, tuple(problems))


def _translate(node: str, event: PortEvent) -> Iterator[c.Event]:
    match event:
        case PortChanged(port):
            yield c.PortProblem(node, _key(node, port.name), ())
            yield c.PortSet(node, port)
        case PortGone(name):
            yield c.PortProblem(node, _key(node, name), ())
            yield c.PortUnset(node, name)
        case SystemPort():
            yield c.SystemPortSet(node, event.name, event.ofport)
        case ForeignPort(name):
            yield c.PortUnset(node, name)
            yield c.PortProblem(node, _key(node, name), (_foreign(node, name),))
        case PortRefused(name, why):
            yield c.PortUnset(node, name)
            yield c.PortProblem(node, _key(node, name), (_refused(node, name, why),))


def _key(node: str, port: str) -> str:
    return f"{node}/{port}"


def _foreign(node: str, port: str) -> Problem:
    text = (
        f"port {port} on the bridge of {node} is not Weft's: it is left alone and nothing is forwarded to or from it"
    )
    return Problem("Port", _key(node, port), "ForeignPort", text)


def _refused(node: str, port: str, why: str) -> Problem:
    return Problem("Port", _key(node, port), "PortRefused", why)


def _elsewhere(node: str, bridge: str, claimed: str) -> Problem:
    text = (
        f"the database that Node {node} names in weft.dev/ovsdb has bridge {bridge} of node {claimed or '(none)'}:"
        " correct the annotation, or restart the agent"
    )
    return Problem("Node", node, "WrongDatabase", text)
