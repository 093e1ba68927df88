"""A cluster in memory around a `Core`: API objects, databases and switches as models, and the edges between them.

world = World()
world.add_node("n1")
world.add_pod("web", on="n1")
world.add_port("n1", "web", ofport=5)
world.list_all()
world.connect("n1")
world.run()
assert world.row("n1", "web").ready
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from controller import commands as c
from controller.bridge import bridge_state
from controller.core import Core, Patience
from controller.placement import Placement
from controller.policy.members import Traits
from kube.annotations import NodeAnnotations
from kube.changes import Applied, Deleted, Listed
from kube.membership import Problem
from kube.netpol import NetworkPolicy
from kube.objects import Meta, Namespace, Node, Object, Pod
from openflow.codec import Change, Encoded, encode
from openflow.features import pod as pod_feature
from openflow.fields import IdentityId, OfPort
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT, AttachmentKey, PodPort, datapath_id

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
SYSTEM: Mapping[str, int | None] = {TUNNEL_PORT: 1, GATEWAY_PORT: 2}
LIMIT = 1000


def meta(name: str, namespace: str = "", *, uid: str = "", age: int = 0, **more: Mapping[str, str]) -> Meta:
    """`age`: hours; an older object was created earlier."""
    known: dict[str, Mapping[str, str]] = {"labels": {}, "annotations": {}}
    return Meta(name, namespace, uid, "1", created=BIRTH - timedelta(hours=age), deleting=False, **known | more)


def node(name: str, cidrs: Iterable[str] = (), *, age: int = 0, **said: object) -> Node:
    """A Node whose agent has said where it is; `said` changes or (None) leaves out annotations."""
    number = 1 + sum(name.encode()) % 200
    defaults: dict[str, object] = {
        "tunnel_ip": ip_address(f"192.0.2.{number}"), "ovsdb": f"unix:/run/{name}.sock", "datapath_id": dpid(name),
    }  # fmt: skip
    annotations = NodeAnnotations(**defaults | said).format()  # type: ignore[arg-type]
    ranges = tuple(map(ip_network, cidrs)) or (ip_network(f"10.1.{number}.0/24"),)
    return Node(meta(name, age=age, annotations=annotations), ranges, ())


def broken(known: Node) -> Node:
    """The same Node with an annotation that cannot be read."""
    annotations = {**known.meta.annotations, "weft.dev/tunnel-ip": "300.1.1.1"}
    return replace(known, meta=replace(known.meta, annotations=annotations))


def dpid(name: str) -> int:
    return datapath_id(name)


def pod(name: str, on: str = "", *, uid: str = "u1", namespace: str = "default", **labels: str) -> Pod:
    return Pod(meta(name, namespace, uid=uid, labels=labels), on, False, "Running", (), ())


def namespace(name: str, **labels: str) -> Namespace:
    return Namespace(meta(name, labels=labels))


def port(of: str, *ips: str, uid: str = "u1", namespace: str = "default", **more: object) -> PodPort:
    """The port of a pod's first container, `c-<pod>`; its name is that of the pod."""
    addresses = tuple(map(ip_address, ips or ("10.1.9.9",)))
    key = AttachmentKey("weft", f"c-{of}", "eth0")
    made = PodPort(of, key, namespace, of, uid, "0a:58:0a:01:00:05", addresses, f"/run/netns/{of}")
    return replace(made, **more)  # type: ignore[arg-type]


def flows_of(row: PodPort, identity: IdentityId | None = None) -> tuple[Encoded, ...]:
    """The flows that the rows of a port call for; without an identity, as if there were no policies."""
    identity = Traits(row.namespace, (), ()).id if identity is None else identity
    guest = pod_feature.LocalPod(row.namespace, row.pod, OfPort(row.ofport or 0), row.mac, row.ips, identity)
    return tuple(map(encode, pod_feature.flows(guest)))


class ModelSwitch:
    """What Open vSwitch does with flows. Keys in `malformed` are refused when they come, those in `unsupported` when
    their bundle is committed, which undoes all of it (see tests/integration/test_openflow_channel.py)."""

    def __init__(self, datapath: int, flows: Mapping[bytes, bytes] | None = None) -> None:
        self.datapath = datapath
        self.flows = dict(flows or {})
        self.malformed: set[bytes] = set()
        self.unsupported: set[bytes] = set()
        self.changes: list[Change] = []
        self.untouched = False  # by others, since the controller has read it
        self.stale = True  # it may forward by flows that it had before

    def dump(self) -> dict[bytes, bytes]:
        self.untouched = True
        return dict(self.flows)

    def tamper(self, key: bytes, body: bytes | None) -> None:
        """Somebody else writes a flow, or (None) removes it."""
        self.untouched = False
        self.flows.pop(key, None)
        if body is not None:
            self.flows[key] = body

    def apply(self, change: Change) -> tuple[c.FlowRefused, ...]:
        self.changes.append(change)
        self.stale = True
        if self.untouched:
            self._check_needed(change)
        wrong = {flow.key for flow in change.add} & (self.malformed | self.unsupported)
        self.untouched &= not wrong
        if not wrong & self.unsupported:
            self.flows |= {key: body for key, body in change.add if key not in wrong}
            for key in change.delete:
                self.flows.pop(key, None)
        return tuple(c.FlowRefused(key, "OFPET_BAD_ACTION") for key in sorted(wrong))

    def _check_needed(self, change: Change) -> None:
        """A switch that the controller knows is told nothing that it has done already."""
        assert not {flow.key for flow in change.add} & set(change.delete), "deleted and added in one change"
        for key, body in change.add:
            assert self.flows.get(key) != body, f"flow {key.hex()} is there already"
        for key in change.delete:
            assert key in self.flows, f"flow {key.hex()} is gone already"


class ModelSession:
    """A connection of a switch. Requests wait until they are answered, one by one."""

    def __init__(self, switch: ModelSwitch) -> None:
        self.switch = switch
        self.why_refused: str | None = None
        self._requests: deque[Callable[[], c.Event]] = deque()

    @property
    def datapath_id(self) -> int:
        return self.switch.datapath

    @property
    def waiting(self) -> bool:
        return bool(self._requests)

    def dump_flows(self) -> None:
        self._requests.append(lambda: c.Dumped(self, self.switch.dump()))

    def apply(self, change: Change) -> None:
        self._requests.append(lambda: c.Applied(self, self.switch.apply(change)))

    def refuse(self, reason: str) -> None:
        self.why_refused = reason

    def answer(self) -> c.Event:
        return self._requests.popleft()()


@dataclass(slots=True)
class Database:
    """A node's OVSDB: the rows, and what was not told yet of their changes."""

    ports: dict[str, PodPort]
    system: dict[str, int | None]
    untold: deque[c.Event]
    needs_purge: bool = False

    def read(self, node: str) -> c.BridgeRead:
        return c.BridgeRead(node, bridge_state(self.ports.values(), self.system, needs_purge=self.needs_purge))


class World:
    """The models, and the Core under test that knows of them through events only."""

    def __init__(self, patience: Patience = Patience(), placement: Placement = Placement()) -> None:  # noqa: B008 - frozen values
        self.core = Core(patience, placement)
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.policies: dict[str, NetworkPolicy] = {}
        self.databases: dict[str, Database] = {}
        self.sessions: list[ModelSession] = []
        self.watched: dict[str, str] = {}
        self.reports: list[Problem] = []
        self.announced: list[c.Announce] = []
        self.sent: list[c.SendFlows] = []
        self.purged: list[str] = []
        self.reconfigured: list[str] = []
        self.now = 0.0

    def tell(self, *events: c.Event) -> None:
        """Hand events to the Core and carry out what it asks."""
        for event in events:
            for command in self.core.handle(event):
                self._do(command)

    def _do(self, command: c.Command) -> None:
        match command:
            case c.Watch(name, remote):
                self.watched[name] = remote
                self.database(name).untold.append(self.database(name).read(name))
            case c.Unwatch(name):
                del self.watched[name]
            case c.ReadFlows(_, session):
                session.dump_flows()
            case c.SendFlows(_, session, change):
                self.sent.append(command)
                session.apply(change)
            case c.Refuse(session, reason):
                session.refuse(reason)
            case c.Announce(name, row, container):
                self.announced.append(command)
                self._check_in_place(name, row, container)
                self._write(name, row, container)
            case c.Purge(name):
                self.purged.append(name)
                self._purge(name)
            case c.Reconfigure(name):
                self.reconfigured.append(name)
            case c.Report(problem):
                self.reports.append(problem)

    def _purge(self, name: str) -> None:
        assert self.core.cluster.bridges[name].needs_purge, f"{name}: purged without need"
        for switch in (each.switch for each in self.sessions):
            if self.core.cluster.membership.by_datapath().get(switch.datapath) == name:
                switch.stale = False

    def _check_in_place(self, name: str, row: str, container: str | None) -> None:
        """What is announced is true of the port as the Core knows it, unless somebody else has been at the switch."""
        known = self.core.cluster.bridges[name].ports[row]
        for switch in (each.switch for each in self.sessions if each.switch.untouched):
            if container and self.core.cluster.membership.by_datapath().get(switch.datapath) == name:
                assert container == known.key.container
                found = self.core.cluster.policy.identity_of(f"{known.namespace}/{known.pod}")
                wanted = dict(flows_of(known, found.id if found else None))
                assert wanted.items() <= switch.flows.items(), f"{row}: announced without its flows"

    def _write(self, name: str, row: str, container: str | None) -> None:
        database = self.databases[name]
        if name in self.watched and row in database.ports:
            self.set_port(name, replace(database.ports[row], programmed=container))

    # The API.

    def add_node(self, name: str, *cidrs: str, **more: object) -> Node:
        self.put(made := node(name, cidrs, **more))  # type: ignore[arg-type]
        return made

    def add_pod(self, name: str, on: str = "", **more: str) -> Pod:
        self.put(made := pod(name, on, **more))
        return made

    def kinds(self) -> dict[str, dict[str, Any]]:
        """The objects there are, by kind and key."""
        return {
            "Node": self.nodes, "Pod": self.pods, "Namespace": self.namespaces, "NetworkPolicy": self.policies,
        }  # fmt: skip

    def put(self, *objects: Object) -> None:
        for each in objects:
            self.kinds()[type(each).__name__][each.meta.key] = each
            self.tell(Applied(each))

    def delete(self, kind: str, key: str) -> None:
        self.kinds()[kind].pop(key, None)
        self.tell(Deleted(kind, key))

    def list_all(self) -> None:
        self.tell(*(Listed(kind, tuple(objects.values())) for kind, objects in self.kinds().items()))

    # Databases.

    def database(self, name: str) -> Database:
        return self.databases.setdefault(name, Database({}, dict(SYSTEM), deque()))

    def add_port(self, on: str, of: str, *ips: str, **more: object) -> PodPort:
        made = port(of, *ips, **more)  # type: ignore[arg-type]
        self.set_port(on, made)
        return made

    def set_port(self, on: str, row: PodPort) -> None:
        self.database(on).ports[row.name] = row
        self._changed(on, c.PortSet(on, row))

    def unset_port(self, on: str, name: str) -> None:
        if self.database(on).ports.pop(name, None) is not None:
            self._changed(on, c.PortUnset(on, name))

    def set_system_port(self, on: str, name: str, ofport: int | None) -> None:
        self.database(on).system[name] = ofport
        self._changed(on, c.SystemPortSet(on, name, ofport))

    def set_needs_purge(self, on: str, *, needed: bool) -> None:
        self.database(on).needs_purge = needed
        self._changed(on, c.PurgeNeed(on, needed))

    def _changed(self, on: str, event: c.Event) -> None:
        if on in self.watched:
            self.databases[on].untold.append(event)

    def reread(self, on: str) -> None:
        """The connection to the database was lost and came back."""
        self._changed(on, self.database(on).read(on))

    def row(self, on: str, name: str) -> PodPort:
        return self.databases[on].ports[name]

    # Switches.

    def connect(self, name: str, flows: Mapping[bytes, bytes] | None = None) -> ModelSession:
        """A switch with the datapath id of the node of that name."""
        return self.connect_switch(ModelSwitch(dpid(name), flows))

    def connect_switch(self, switch: ModelSwitch) -> ModelSession:
        session = ModelSession(switch)
        self.sessions.append(session)
        self.tell(c.SwitchUp(session))
        return session

    def disconnect(self, session: ModelSession) -> None:
        self.sessions.remove(session)
        self.tell(c.SwitchDown(session))

    # Time.

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.tell(c.Tick(self.now))

    def step(self, which: int = 0) -> bool:
        """Let one of the things happen that wait to happen; False when all is quiet."""
        waiting = [*self._waiting()]
        if waiting:
            waiting[which % len(waiting)]()
        return bool(waiting)

    def _waiting(self) -> Iterator[Callable[[], None]]:
        for session in self.sessions:
            if session.why_refused is not None:
                yield partial(self.disconnect, session)
            elif session.waiting:
                yield lambda at=session: self.tell(at.answer())  # type: ignore[misc]
        for _, database in sorted(self.databases.items()):  # also what was on its way when a node was let go
            if database.untold:
                yield lambda at=database: self.tell(at.untold.popleft())  # type: ignore[misc]

    def run(self) -> None:
        """Let everything happen that waits to happen; no time passes."""
        for _ in range(LIMIT):
            if not self.step():
                return
        raise AssertionError("the cluster does not come to rest")

    def reasons(self) -> list[str]:
        return [problem.reason for problem in self.reports]
