"""weft-agent: wires the keeper and the attacher to Kubernetes, Open vSwitch and the CNI socket.

The CNI server's threads (one a request) attach pods; the main thread runs the keeper whenever something changed,
and every few seconds.
"""

import os
import queue
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from cni.errors import CniError, ErrorCode
from daemon import logs, memory, settings
from daemon.health import Health, HealthServer
from kube import endpoint
from kube.changes import Change, Disconnected, Listed
from kube.client import ApiClient, Where
from kube.errors import KubeError
from kube.listwatch import Pace
from kube.objects import Pod
from kube.reflector import Reflector
from kube.resources import LEASES, NODES, PODS
from node_agent import inspection, sysctl
from node_agent.access import CertificateWatch
from node_agent.attach import Attacher, NodeNetwork, Surroundings
from node_agent.bridge import CONTROLLER_SECONDS, NodeBridge
from node_agent.connections import Connections
from node_agent.controllers import TAKEOVER_SECONDS, ControllerBook
from node_agent.failures import PATH, Failures
from node_agent.keeper import Keeper
from node_agent.metrics import Metrics
from node_agent.pods import PodBook
from node_agent.purger import Purger
from node_agent.reaper import Reaper
from node_agent.recovery import Pods
from node_agent.server import CniServer
from node_agent.settings import AgentSettings
from node_agent.status import Status
from node_agent.verbs import Verbs
from node_agent.view import NodeBook, NodeView
from openflow import management
from ovsdb import appctl
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import SystemPort
from ovsdb.schema import OWN
from ovsdb.view import BridgeEvent, BridgeGone, Snapshot

log = logs.get("weft.agent")

KEEP_SECONDS = 10.0
RETRY_SECONDS = 1.0
LEASE_PACE = Pace(cap=5.0)
"""A switch waits for its controller, so an API server that was away is asked sooner for the Lease, which is small."""


class Agent:
    """The running agent. `run` returns after `stop`."""

    def __init__(self, chosen: AgentSettings) -> None:
        self._settings = chosen
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._metrics = Metrics()
        self._book = NodeBook(chosen.node_name)
        self._loop = OvsdbLoop()
        lease = chosen.lease
        self._controllers = ControllerBook(lease, tls=chosen.tls is not None) if lease else None
        self._bridge = NodeBridge(
            self._loop.session(chosen.ovsdb, OWN), chosen.bridge, self._bridge_changed,
            controller_seconds=TAKEOVER_SECONDS if lease else CONTROLLER_SECONDS,
        )  # fmt: skip
        self._client = ApiClient(endpoint.chosen(chosen.api_server, chosen.kubeconfig))
        pods = PodBook(self._client, chosen.node_name)
        own_pods = Where(f"spec.nodeName={chosen.node_name}")
        self._reflectors = [
            Reflector(self._client, NODES, self._nodes_changed),
            Reflector(self._client, PODS, pods.apply, own_pods),
        ]
        if lease:
            only = Where(f"metadata.name={lease.name}", lease.namespace)
            self._reflectors.append(Reflector(self._client, LEASES, self._lease_changed, only, pace=LEASE_PACE))
        rundir = appctl.rundir_of(chosen.ovsdb)
        self._purger = Purger(rundir, self._purged)
        self._connections = Connections(rundir)
        self._keeper = Keeper(chosen, self._bridge, self._annotate, self._connections.sweep)
        self._reaper = Reaper(self._bridge, self._pods, chosen.leftover_seconds)
        seed = int.from_bytes(os.urandom(4), "big")
        switch = management.socket_of(rundir, chosen.bridge)
        around = Surroundings(
            network=self._network,
            claim=self._connections.claim,
            missing_flows=partial(inspection.missing_flows, socket=switch),
            has_flows=partial(inspection.has_flows, socket=switch),
            annotations=pods.annotations,
            doubt=pods.doubt,
        )
        attacher = Attacher(self._bridge, around, seed)
        failures = Failures(chosen.node_name, self._metrics.failures)
        self._certificate = CertificateWatch(chosen.tls)
        health = Health(self._metrics.registry, self._dead, self._unhealthy, {PATH: failures.report})
        self._health = HealthServer(chosen.health_address, health)
        status = Status(self._bridge, rundir, attacher, self._unready, self._expects_controller)
        verbs = Verbs(attacher, self._unready, status.reasons, self._metrics)
        self._server = CniServer(chosen.cni_socket, verbs.serve, refused=failures.record)

    def run(self) -> None:
        self._health.start()
        self._loop.start()
        self._purger.start()
        self._connections.start()
        self._reaper.start()
        self._bridge.start()
        for reflector in self._reflectors:
            reflector.start()
        self._server.start()
        log.info("agent started", node=self._settings.node_name, pid=os.getpid(), health_port=self._health.port)
        while self._keep():
            pass
        self._server.stop()
        for reflector in self._reflectors:
            reflector.stop()
        self._purger.stop()
        self._connections.stop()
        self._reaper.stop()
        self._loop.stop()
        self._health.close()

    def stop(self) -> None:
        self._wake.put(False)

    def _keep(self) -> bool:
        """One round of keeping, then wait for the next reason. False: stop."""
        self._certificate.look(time.time())
        self._metrics.certificate_expires.set(self._certificate.expires)
        before = self._keeper.problem
        self._metrics.host_changes.inc(self._keeper.keep(self._view(), time.monotonic()))
        self._metrics.ports.set(len(self._bridge.ports()))
        if self._keeper.problem and self._keeper.problem != before:
            log.warning("not in order", problem=self._keeper.problem)
        try:
            go_on = self._wake.get(timeout=RETRY_SECONDS if self._keeper.problem else KEEP_SECONDS)
            while not self._wake.empty():  # changes that came together are looked at together
                go_on = self._wake.get() and go_on
        except queue.Empty:
            return True
        return go_on

    def _network(self) -> NodeNetwork:
        if self._keeper.network is None:
            raise CniError(ErrorCode.TRY_AGAIN_LATER, f"the node's network is not ready: {self._keeper.problem}")
        return self._keeper.network

    def _unhealthy(self) -> Sequence[str]:
        """What is wrong now, for /readyz. A certificate stops nothing by itself: what is connected stays so."""
        return [*self._unready(), *([self._certificate.problem] if self._certificate.problem else [])]

    def _unready(self) -> Sequence[str]:
        """What is in the way of an ADD, for STATUS and /readyz; it is refused with the same words."""
        reasons = [self._keeper.problem] if self._keeper.problem else []
        if self._bridge.lost is not None:
            reasons.append(f"no connection to Open vSwitch's database: {self._bridge.lost}")
        return reasons

    def _dead(self) -> Sequence[str]:
        return [] if all(each.alive for each in self._reflectors) else ["a watch has ended: see the log"]

    def _annotate(self, annotations: Mapping[str, str]) -> None:
        self._client.patch_merge(NODES, self._settings.node_name, {"metadata": {"annotations": annotations}})

    def _pods(self) -> Pods:
        found: dict[str, Pod | None] = {}
        for change in self._client.snapshot(PODS, f"spec.nodeName={self._settings.node_name}"):
            if isinstance(change, Listed):
                found.update(dict.fromkeys(change.refused))
                found.update((pod.meta.key, pod) for pod in change.objects if isinstance(pod, Pod))
        return found

    def _nodes_changed(self, change: Change) -> None:
        if isinstance(change, Disconnected):
            log.warning("watch interrupted", kind=change.kind, reason=change.reason)
        before = self._book.view()
        self._book.apply(change)
        if self._book.view() != before:
            self._wake.put(True)

    def _view(self) -> NodeView:
        controller = self._controllers.view() if self._controllers else None
        return replace(self._book.view(), controller=controller)

    def _expects_controller(self) -> bool:
        return self._controllers is None or self._controllers.expects(time.monotonic())

    def _lease_changed(self, change: Change) -> None:
        if self._controllers is None:
            return
        if isinstance(change, Disconnected):
            log.warning("watch interrupted", kind=change.kind, reason=change.reason)
        before = self._controllers.view()
        self._controllers.apply(change, time.monotonic())
        view = self._controllers.view()
        if view == before:
            return
        if view.problem:
            log.warning("no controller is named", problem=view.problem, kept=view.target)
        else:
            log.info("controller", target=view.target)
        self._wake.put(True)

    def _purged(self, number: int) -> None:
        self._metrics.purges.inc()
        self._bridge.set_purged(number).add_done_callback(_told)

    def _bridge_changed(self, event: BridgeEvent) -> None:
        self._purger.take(event)
        self._connections.take(event)
        # Devices of Open vSwitch come and go with it; pods' ports are none of the keeper's business.
        if isinstance(event, Snapshot | SystemPort | BridgeGone):
            self._keeper.switch_restarted()
            self._wake.put(True)


def _told(done: Future[bool]) -> None:
    error = done.exception()
    if error is not None:
        log.warning("weft-purged not written", error=str(error))


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    chosen = settings.load(AgentSettings, sys.argv[1:], prog="weft-agent")
    logs.configure(chosen.log_level)
    memory.calm_collector()
    memory.share_heap()
    try:
        sysctl.use(chosen.proc_sys)
        agent = Agent(chosen)
    except (OSError, KubeError, ValueError) as e:
        # What the settings name cannot be had: a socket, a kubeconfig.
        print(f"weft-agent: {e}", file=sys.stderr)
        raise SystemExit(2) from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    agent.run()
    log.info("agent stopped")


if __name__ == "__main__":
    main()
