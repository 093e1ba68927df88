"""weft-controller: wires the core to Kubernetes, to the nodes' databases and to their switches.

Edges post events into one queue; one thread, this one, takes them out, lets the core work out what they mean, and
has the edges carry out its commands.
"""

import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import singledispatchmethod
from weakref import WeakKeyDictionary

from controller import commands as c
from controller.core import KINDS, Core, Patience
from controller.leadership import Leadership
from controller.metrics import Metrics
from controller.nodes import NodeDatabases
from controller.placement import Placement
from controller.reports import FLOW_REFUSED
from controller.secured import Secured
from controller.settings import ControllerSettings
from daemon import logs, memory, settings
from daemon.health import Health, HealthServer
from daemon.refusals import Refusals
from daemon.tls import Credentials
from kube import endpoint
from kube.changes import Change as KubeChange
from kube.changes import Disconnected, Listed
from kube.client import ApiClient
from kube.errors import KubeError
from kube.events import About, Notice, event
from kube.listwatch import Pace
from kube.membership import Problem
from kube.reflector import Reflector
from kube.resources import NAMESPACES, NETWORK_POLICIES, NODES, PODS
from openflow.channel import ChangeApplied, ChannelEvent, FlowsDumped, Listener, SwitchConnected, SwitchGone
from openflow.tables import Table
from ovsdb.tls import use_tls

log = logs.get("weft.controller")

TICK_SECONDS = 1.0
FEW = Pace(cap=5.0)
"""For controllers of whole clusters, which are few: an API server that was away and is back is found soon."""
UNUSABLE = 2
"""Exit code when what the settings name cannot be had."""


class Order(Enum):
    """What the thread that owns the state is told to do, besides events."""

    ACTIVATE = "activate"
    STOP = "stop"


class Waits:
    """How long switches take to answer. One that goes without an answer takes its entry with it, so nothing is kept
    of it, and no session that comes later is charged with its wait."""

    def __init__(self) -> None:
        self._since: WeakKeyDictionary[c.Session, float] = WeakKeyDictionary()

    def begin(self, session: c.Session, now: float) -> None:
        """The session was asked for something. `now`: monotonic seconds."""
        self._since[session] = now

    def end(self, session: c.Session, now: float) -> float:
        """It has answered: after how many seconds, 0 when it was not asked."""
        return now - self._since.pop(session, now)


class Controller:
    """The running controller. `run` returns after `stop`, with an exit code.

    One that stands by watches the cluster, so that it knows everything when it becomes active; it listens for no
    switch and connects to no database.
    """

    def __init__(self, chosen: ControllerSettings) -> None:
        self._chosen = chosen
        self._queue: queue.SimpleQueue[c.Event | Order] = queue.SimpleQueue()
        self._core = Core(Patience(audit=chosen.audit_seconds), Placement(chosen.node_name))
        self._metrics = Metrics()
        api = endpoint.chosen(chosen.api_server, chosen.kubeconfig)
        self._client = ApiClient(api)
        pace = FEW if chosen.node_name is None else Pace()
        self._reflectors = [
            Reflector(self._client, kind, self._kube, pace=pace)
            for kind in (NODES, NAMESPACES, PODS, NETWORK_POLICIES)
        ]
        self._nodes = NodeDatabases(chosen.bridge, self._queue.put)
        self._credentials = Credentials(chosen.tls) if chosen.tls else None
        self._secured = self._secure()
        self._leadership = Leadership(who, api, self._elected, self._willing) if (who := chosen.candidacy) else None
        self._listener = None if self._leadership else self._listen()
        self._active = False
        health = Health(self._metrics.registry, self._live, self._ready)
        self._health = HealthServer(chosen.health_address, health)
        self._told: queue.SimpleQueue[Problem] = queue.SimpleQueue()
        self._waits = Waits()
        self._beat = time.monotonic()

    def run(self) -> int:
        if self._leadership is None:
            self._activate()
        for reflector in self._reflectors:
            reflector.start()
        threading.Thread(target=self._tell_kubernetes, name="events", daemon=True).start()
        if self._leadership is not None:
            self._leadership.start()
        self._health.start()
        log.info("controller started", pid=os.getpid(), health_port=self._health.port)
        code = self._serve()
        self._deactivate()
        self._health.close()
        return code

    def _secure(self) -> Secured | None:
        """Have nodes' databases reached over TLS; how switches are to be."""
        credentials = self._credentials
        if credentials is None:
            return None
        refusals = Refusals(self._metrics.count_tls_refused)
        use_tls(Secured("ovsdb", credentials.client, refusals))
        return Secured("openflow", credentials.server, refusals)

    def _listen(self) -> Listener:
        return Listener(self._chosen.openflow_listen, self._openflow, self._secured)

    def _willing(self) -> bool:
        """Whether all is known that an active controller needs; until then another may be quicker."""
        return self._core.ready

    def _elected(self) -> None:
        self._queue.put(Order.ACTIVATE)

    def _activate(self) -> None:
        """OSError: there is no listening for switches."""
        self._listener = self._listener or self._listen()
        self._active = True
        self._metrics.active.set(1)
        self._nodes.start()
        self._listener.start()
        for problem in self._core.standing():
            self._tell(problem)

    def _deactivate(self) -> None:
        self._active = False
        self._metrics.active.set(0)
        self._nodes.stop()
        if self._listener is not None:
            self._listener.stop()
        if self._leadership is not None:
            self._leadership.release()

    def stop(self) -> None:
        self._queue.put(Order.STOP)

    def _serve(self) -> int:
        """Until it is told to stop, or cannot go on; the exit code."""
        due = time.monotonic()
        while True:
            now = self._beat = time.monotonic()
            if now >= due:
                due = now + TICK_SECONDS
                self._take(c.Tick(now))
                self._count()
            try:
                event = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            if event is Order.STOP:
                return 0
            if event is Order.ACTIVATE:
                try:
                    self._activate()
                except OSError as e:
                    log.error("cannot be active", error=str(e))
                    return UNUSABLE
            else:
                self._take(event)

    def _take(self, taken: c.Event) -> None:
        started = time.monotonic()
        try:
            for command in self._core.handle(taken):
                self._carry_out(command)
        except Exception:
            # One event's defect must not end the programming of all nodes.
            log.exception("event failed", kind=type(taken).__name__)
        if isinstance(taken, Listed) and self._core.ready and self._leadership is not None:
            self._leadership.hurry()
        self._metrics.handling.labels(event_name(taken)).observe(time.monotonic() - started)

    def _carry_out(self, command: c.Command) -> None:
        try:
            self._do(command)
        except Exception:
            # The commands behind it are other nodes': they must not be lost with it.
            log.exception("command failed", kind=type(command).__name__)

    @singledispatchmethod
    def _do(self, command: c.Command) -> None:
        raise TypeError(f"unknown command {command!r}")

    @_do.register
    def _watch(self, command: c.Watch) -> None:
        self._nodes.watch(command.node, command.remote)

    @_do.register
    def _unwatch(self, command: c.Unwatch) -> None:
        self._nodes.unwatch(command.node)
        self._metrics.forget(command.node)

    @_do.register
    def _announce(self, command: c.Announce) -> None:
        self._nodes.announce(command.node, command.port, command.container)

    @_do.register
    def _purge(self, command: c.Purge) -> None:
        self._nodes.purge(command.node)

    @_do.register
    def _reconfigure(self, command: c.Reconfigure) -> None:
        self._nodes.reconfigure(command.node)

    @_do.register
    def _read_flows(self, command: c.ReadFlows) -> None:
        self._waits.begin(command.session, time.monotonic())
        command.session.dump_flows()

    @_do.register
    def _send_flows(self, command: c.SendFlows) -> None:
        change = command.change
        self._metrics.flow_mods.labels(command.node, "add").inc(len(change.add))
        self._metrics.flow_mods.labels(command.node, "delete").inc(len(change.delete))
        if command.repair:
            self._metrics.repairs.labels(command.node).inc(len(change))
        self._waits.begin(command.session, time.monotonic())
        command.session.apply(change)
        log.info(
            "flows sent", node=command.node, added=len(change.add), deleted=len(change.delete), repair=command.repair
        )

    @_do.register
    def _count_denied(self, command: c.CountDenied) -> None:
        self._metrics.count_denied(command.node, command.packets)

    @_do.register
    def _refuse(self, command: c.Refuse) -> None:
        self._metrics.refused.inc()
        command.session.refuse(command.reason)

    @_do.register
    def _report(self, command: c.Report) -> None:
        if self._active:  # else the active one tells of it, and this one when it becomes that
            self._tell(command.problem)

    def _tell(self, problem: Problem) -> None:
        self._metrics.problems.labels(problem.reason).inc()
        if problem.reason == FLOW_REFUSED:
            self._metrics.failures.labels(problem.key).inc()
        log.warning("problem", kind=problem.kind, key=problem.key, reason=problem.reason, message=problem.message)
        self._told.put(problem)

    def _tell_kubernetes(self) -> None:
        """Record problems as Events, one after the other: the API server is not to be hurried by its own trouble."""
        while True:
            problem = self._told.get()
            notice = Notice(problem.reason, problem.message)
            try:
                self._client.create_event(event(about(problem), notice, "weft-controller", datetime.now(UTC)))
            except KubeError as e:
                log.warning("event not recorded", key=problem.key, error=str(e))

    def _kube(self, change: KubeChange) -> None:
        if isinstance(change, Disconnected):
            log.warning("watch interrupted", kind=change.kind, reason=change.reason)
        self._queue.put(change)

    def _openflow(self, told: ChannelEvent) -> None:
        match told:
            case SwitchConnected(session):
                self._metrics.connected.inc()
                log.info("switch connected", datapath=f"{session.datapath_id:016x}")
                self._queue.put(c.SwitchUp(session))
            case SwitchGone(session):
                self._metrics.connected.dec()
                log.info("switch gone", datapath=f"{session.datapath_id:016x}")
                self._queue.put(c.SwitchDown(session))
            case FlowsDumped(session, flows, packets):
                self._metrics.reading.observe(self._waits.end(session, time.monotonic()))
                self._queue.put(c.Dumped(session, flows, packets))
            case ChangeApplied(session, failures):
                self._metrics.programming.observe(self._waits.end(session, time.monotonic()))
                self._queue.put(c.Applied(session, tuple(c.FlowRefused(f.key, f.reason) for f in failures)))

    def _count(self) -> None:
        cluster = self._core.cluster
        if self._credentials is not None:
            self._metrics.certificate_expires.set(self._credentials.expires)
        self._metrics.nodes.set(len(cluster.membership.nodes))
        self._metrics.pods.set(len(cluster.pods))
        self._metrics.policies.set(len(cluster.policy.policies))
        self._metrics.identities.set(len(cluster.policy.identities))
        self._metrics.rules.set(len(cluster.policy.rules))
        tables: Counter[int] = Counter()
        for node in cluster.bridges:
            by_table = self._core.flow_counts(node)
            self._metrics.flows.labels(node).set(by_table.total())
            tables += by_table
        for table in Table:
            self._metrics.tables.labels(table.title).set(tables[table])

    def _live(self) -> Sequence[str]:
        silence = time.monotonic() - self._beat
        problems = [f"the event loop has been busy for {silence:.0f} s"] if silence > 30 else []
        if not all(reflector.alive for reflector in self._reflectors):
            problems.append("a watch of Kubernetes objects has ended: see the log")
        if self._leadership is not None and not self._leadership.alive:
            problems.append("the election has ended: see the log")
        return problems

    def _ready(self) -> Sequence[str]:
        unread = [f"{kind} objects have not been listed yet" for kind in sorted(KINDS - self._core.listed)]
        unfit = self._credentials.problem(time.time()) if self._credentials else ""
        idle = self._leadership.problem if self._leadership else ""
        return [*unread, *(problem for problem in (unfit, idle) if problem)]


def event_name(event: c.Event) -> str:
    """What an event is called in metrics: with one of the Kubernetes API, its kind of object goes first."""
    name = type(event).__name__
    return f"{event.kind}{name}" if isinstance(event, KubeChange) else name


def about(problem: Problem) -> About:
    """The Kubernetes object on which to tell of a problem: of ports and switches, it is their Node."""
    if problem.kind in ("Pod", "Namespace", "NetworkPolicy"):
        namespace, _, name = problem.key.rpartition("/")
        version = "networking.k8s.io/v1" if problem.kind == "NetworkPolicy" else "v1"
        return About(problem.kind, name, namespace, api_version=version)
    node = problem.key.partition("/")[0]
    # As the kubelet does: `kubectl describe node` looks for Events by this uid.
    return About("Node", node, uid=node)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    chosen = settings.load(ControllerSettings, sys.argv[1:], prog="weft-controller")
    logs.configure(chosen.log_level)
    memory.calm_collector()
    try:
        controller = Controller(chosen)
    except (OSError, KubeError, ValueError) as e:
        # What the settings name cannot be had: a socket, a kubeconfig.
        print(f"weft-controller: {e}", file=sys.stderr)
        raise SystemExit(UNUSABLE) from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: controller.stop())
    code = controller.run()
    log.info("controller stopped")
    os._exit(code)  # os-ken's threads have no way to end


if __name__ == "__main__":
    main()
