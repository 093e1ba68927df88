"""The controller's decisions: events in, commands out. No I/O, no clock: one thread feeds it and runs what it asks.

A node is programmed once everything that its flows follow from is known: all nodes, pods and namespaces have been
listed and its own database has been read. Until then its switch keeps what it has, so a controller that starts
again changes nothing that is right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod

from controller import commands as c
from controller.cluster import Cluster, Dirty
from controller.flows import denied, flows_of
from controller.owners import Kind, Owner, port_owner, subject
from controller.placement import EVERYWHERE, Placement
from controller.plan import PlanError, settle
from controller.policy.crowding import is_full, no_room
from controller.reports import (
    NODE,
    POLICY,
    Reports,
    foreign_flows,
    ignored_parts,
    is_shared,
    refused_flows,
    stranger,
    unreadable,
)
from controller.switch import Phase, Staleness, Switch
from kube import changes as kube
from kube.membership import Problem
from kube.netpol import NetworkPolicy
from openflow.codec import Encoded
from ovsdb.rows import PodPort

KINDS = frozenset({"Node", "Pod", "Namespace", "NetworkPolicy"})


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: how long an unknown switch may wait for its Node to appear, between audits of a switch, and before
    one that refused a flow is tried again."""

    stranger: float = 10.0
    audit: float = 60.0
    retry: float = 5.0


@dataclass(slots=True)
class _Peer:
    """A node's switch with its session and the time of its next audit. `contested`: two owners want one flow;
    `crowded`: cells of the policy tables whose flows have no room left; `purge_later`: its datapath flows are to be
    purged at the next tick."""

    switch: Switch = field(default_factory=Switch)
    session: c.Session | None = None
    due: float = 0.0
    contested: bool = False
    crowded: set[Owner] = field(default_factory=set)
    purge_later: bool = False


class Core:
    """Holds the cluster and a Switch for every node that it programs. `handle` is called by one thread only."""

    def __init__(self, patience: Patience = Patience(), placement: Placement = EVERYWHERE) -> None:
        self.cluster = Cluster()
        self.listed: set[str] = set()
        self._patience = patience
        self._placement = placement
        self._peers: defaultdict[str, _Peer] = defaultdict(_Peer)
        self._node_of: dict[int, str] = {}
        self._strangers: dict[int, tuple[c.Session, float]] = {}
        self._watched: dict[str, str] = {}
        self._reports = Reports(self._tells)
        self._now = 0.0

    @property
    def ready(self) -> bool:
        """Whether every kind of object has been listed."""
        return self.listed >= KINDS

    def standing(self) -> Iterator[Problem]:
        """Problems that there are now."""
        return self._reports.standing()

    def phases(self) -> dict[str, Phase]:
        """Phase of the switch of each member node that is programmed here."""
        return {
            name: self._peers[name].switch.phase for name in self.cluster.membership.nodes if name in self._placement
        }

    def flow_counts(self, node: str) -> Counter[int]:
        """How many flows the node's switch should hold, by table."""
        return self._peers[node].switch.plan.by_table

    @singledispatchmethod
    def handle(self, event: c.Event) -> Iterator[c.Command]:
        """Take an event in; the commands must be run in order. The iterator must be exhausted."""
        raise TypeError(f"unknown event {event!r}")

    @handle.register(kube.Listed | kube.Applied | kube.Deleted)
    def _kube(self, event: kube.Listed | kube.Applied | kube.Deleted) -> Iterator[c.Command]:
        dirty = self.cluster.apply(event)
        knew_all = self.ready
        if isinstance(event, kube.Listed):
            self.listed.add(event.kind)
        yield from self._reports.readable(event)
        yield from self._policies_told(event)
        if event.kind == "Node":
            yield from self._membership_changed()
        yield from self._recompute(dirty)
        if isinstance(event, kube.Listed):
            yield from self._start_all()
        if self.ready and not knew_all and self._placement.node is not None:
            yield from map(c.Report, self._reports.standing(shared_only=True))

    def _tells(self, topic: str, key: str) -> bool:
        """Whether it is for this controller to tell of something. Of what others see as well, that is known when all
        has been listed."""
        if self._placement.node is None or not is_shared(topic):
            return True
        if not self.ready:
            return False
        if topic == NODE:
            return key in self._placement
        return self._placement.tells_of(
            key, (name for name, facts in self.cluster.membership.nodes.items() if facts.ovsdb)
        )

    def _policies_told(self, event: kube.Listed | kube.Applied | kube.Deleted) -> Iterator[c.Command]:
        """What of a policy is not in force."""
        if isinstance(event, kube.Deleted):
            yield from self._reports.tell(POLICY, event.key, ()) if event.kind == "NetworkPolicy" else ()
            return
        objects = event.objects if isinstance(event, kube.Listed) else (event.object,)
        for policy in objects:
            if isinstance(policy, NetworkPolicy):
                yield from self._reports.tell(POLICY, policy.meta.key, ignored_parts(policy))

    @handle.register(kube.Refused)
    def _kube_refused(self, event: kube.Refused) -> Iterator[c.Command]:
        problem = Problem(event.kind, event.key, "Unreadable", event.message)
        yield from self._reports.tell(unreadable(event.kind), event.key, [problem])

    @handle.register(kube.Connected | kube.Disconnected)
    def _kube_link(self, event: kube.Connected | kube.Disconnected) -> Iterator[c.Command]:
        yield from ()

    @handle.register
    def _bridge_read(self, event: c.BridgeRead) -> Iterator[c.Command]:
        if event.node in self._watched:  # else it was on its way when the node went
            dirty = self.cluster.set_bridge(event.node, event.state)
            yield from self._reports.tell_all("port", event.problems, f"{event.node}/")
            yield from self._recompute(dirty)
            yield from self._start(event.node)
            yield from self._need_purge(event.node, needed=event.state.needs_purge)

    @handle.register
    def _purge_need(self, event: c.PurgeNeed) -> Iterator[c.Command]:
        if event.node in self.cluster.bridges:
            yield from self._need_purge(event.node, needed=event.needed)

    @handle.register
    def _port_set(self, event: c.PortSet) -> Iterator[c.Command]:
        if event.node in self.cluster.bridges:
            yield from self._recompute(self.cluster.set_port(event.node, event.port))

    @handle.register
    def _port_unset(self, event: c.PortUnset) -> Iterator[c.Command]:
        if event.node in self.cluster.bridges:
            yield from self._recompute(self.cluster.remove_port(event.node, event.name))

    @handle.register
    def _system_port(self, event: c.SystemPortSet) -> Iterator[c.Command]:
        if event.node in self.cluster.bridges:
            yield from self._recompute(self.cluster.set_system_port(event.node, event.name, event.ofport))

    @handle.register
    def _port_problem(self, event: c.PortProblem) -> Iterator[c.Command]:
        if event.node in self._watched:
            yield from self._reports.tell("port", event.key, event.problems)

    @handle.register
    def _switch_up(self, event: c.SwitchUp) -> Iterator[c.Command]:
        node = self._by_datapath().get(event.session.datapath_id)
        if node is None:
            # Its Node's annotation may still be on the way to us.
            self._strangers[id(event.session)] = (event.session, self._now + self._patience.stranger)
        else:
            yield from self._welcome(node, event.session)

    @handle.register
    def _switch_down(self, event: c.SwitchDown) -> Iterator[c.Command]:
        self._strangers.pop(id(event.session), None)
        self._detach(event.session)
        yield from ()

    @handle.register
    def _dumped(self, event: c.Dumped) -> Iterator[c.Command]:
        node = self._node_of.get(id(event.session))
        if node is None or self._peers[node].switch.phase is not Phase.READING:
            return
        peer = self._peers[node]
        yield from self._reports.tell("foreign flows", node, foreign_flows(node, event.flows))
        yield c.CountDenied(node, denied(event.packets))
        repair = peer.switch.known and not peer.switch.unconfirmed
        send, confirmed = peer.switch.dumped(event.flows)
        peer.due = self._now + (self._patience.retry if peer.switch.plan.left_out else self._patience.audit)
        if send is not None:
            yield c.SendFlows(node, event.session, send.change, repair=repair)
        elif not peer.switch.plan.left_out:
            yield from self._reports.tell("refused flows", node, ())
        yield from self._confirm(node, confirmed)
        if send is None:
            yield from self._purge(node)

    @handle.register
    def _applied(self, event: c.Applied) -> Iterator[c.Command]:
        node = self._node_of.get(id(event.session))
        if node is None or self._peers[node].switch.phase is not Phase.SENDING:
            return
        switch = self._peers[node].switch
        if event.failures:
            yield from self._flows_refused(node, event)
        else:
            yield from self._confirm(node, switch.applied())
            if not switch.plan.left_out:
                yield from self._reports.tell("refused flows", node, ())
            yield from self._advance(node)
        yield from self._purge(node)

    def _flows_refused(self, node: str, event: c.Applied) -> Iterator[c.Command]:
        peer = self._peers[node]
        peer.due = self._now + self._patience.retry
        known = self._reports.known("refused flows", node)
        yield from self._reports.tell("refused flows", node, known | refused_flows(node, event.failures))
        if peer.switch.refused({failure.key for failure in event.failures}) is not None:
            yield c.ReadFlows(node, event.session)

    @handle.register
    def _tick(self, event: c.Tick) -> Iterator[c.Command]:
        self._now = event.now
        for key, (session, deadline) in list(self._strangers.items()):
            # Before the Nodes were listed, nobody can tell a stranger.
            if event.now >= deadline and "Node" in self.listed:
                del self._strangers[key]
                yield c.Refuse(session, stranger(session.datapath_id, self._placement.node))
        for node, peer in self._peers.items():
            if peer.purge_later and node in self.cluster.bridges and self.cluster.bridges[node].needs_purge:
                yield c.Purge(node)
            peer.purge_later = False
            if peer.session is not None and event.now >= peer.due and peer.switch.audit() is not None:
                yield c.ReadFlows(node, peer.session)

    def _membership_changed(self) -> Iterator[c.Command]:
        members = self.cluster.membership.nodes.items()
        wanted = {name: facts.ovsdb for name, facts in members if facts.ovsdb and name in self._placement}
        for node in sorted(self._watched.keys() - wanted.keys()):
            yield from self._forget(node)
        for node, remote in sorted(wanted.items()):
            if self._watched.get(node) != remote:
                self._watched[node] = remote
                yield c.Watch(node, remote)
        by_datapath = self._by_datapath()
        yield from self._part(by_datapath)
        yield from self._claim_strangers(by_datapath)
        yield from self._reports.tell_all(NODE, self.cluster.problems)

    def _by_datapath(self) -> dict[int, str]:
        """Nodes that are programmed here by the datapath id of their switch."""
        return {id_: node for id_, node in self.cluster.membership.by_datapath().items() if node in self._placement}

    def _forget(self, node: str) -> Iterator[c.Command]:
        del self._watched[node]
        self.cluster.remove_bridge(node)
        yield c.Unwatch(node)
        session = self._peers[node].session
        if session is not None:
            self._detach(session)
            yield c.Refuse(session, f"Node {node} no longer exists or names no weft.dev/ovsdb")
        del self._peers[node]
        for topic in ("foreign flows", "refused flows", "plan"):
            yield from self._reports.tell(topic, node, ())
        for topic in ("port", "claim", "crowded"):
            yield from self._reports.tell_all(topic, (), f"{node}/")

    def _detach(self, session: c.Session) -> None:
        node = self._node_of.pop(id(session), None)
        if node is not None:
            self._peers[node].session = None
            self._peers[node].switch.gone()

    def _part(self, by_datapath: Mapping[int, str]) -> Iterator[c.Command]:
        """Let go of switches whose node is gone, or says now that it has another datapath id."""
        for node, peer in sorted(self._peers.items()):
            session = peer.session
            if session is not None and by_datapath.get(session.datapath_id) != node:
                self._detach(session)
                yield c.Refuse(session, f"datapath id {session.datapath_id:016x} is no longer that of node {node}")

    def _claim_strangers(self, by_datapath: Mapping[int, str]) -> Iterator[c.Command]:
        for key, (session, _) in list(self._strangers.items()):
            node = by_datapath.get(session.datapath_id)
            if node is not None:
                del self._strangers[key]
                yield from self._welcome(node, session)

    def _welcome(self, node: str, session: c.Session) -> Iterator[c.Command]:
        peer = self._peers[node]
        if peer.session is not None:
            yield c.Refuse(
                session,
                f"datapath id {session.datapath_id:016x} of node {node} is connected already: two switches have one"
                " id, or the node's old connection has not timed out yet",
            )
            return
        peer.session = session
        self._node_of[id(session)] = node
        yield from self._start(node)

    def _start_all(self) -> Iterator[c.Command]:
        for node in sorted(self.cluster.bridges):
            yield from self._start(node)

    def _start(self, node: str) -> Iterator[c.Command]:
        """Read the switch, if it is connected and all that its flows follow from is known."""
        peer = self._peers[node]
        if not self.ready or peer.session is None or node not in self.cluster.bridges:
            return
        if peer.switch.phase is Phase.ABSENT:
            peer.switch.connected()
            yield c.ReadFlows(node, peer.session)
            # Else the switch may not notice that we hang. Only now does it have the connection to configure.
            yield c.Reconfigure(node)

    def _recompute(self, dirty: Dirty) -> Iterator[c.Command]:
        by_node: defaultdict[str, list[Owner]] = defaultdict(list)
        for node, owner in dirty:
            by_node[node].append(owner)
        for node in sorted(by_node.keys() & self.cluster.bridges.keys()):
            yield from self._update(node, by_node[node])
            yield from self._report_claims(node, by_node[node])
            yield from self._advance(node)

    def _update(self, node: str, changed: Iterable[Owner]) -> Iterator[c.Command]:
        peer = self._peers[node]
        if not peer.contested:
            try:
                made = flows_of(self.cluster, node, changed)
                peer.switch.update(made)
                yield from self._report_crowded(node, made)
                return
            except PlanError:
                pass
        # Two owners want one flow. Look at all of them, so that who gets it does not depend on who came first.
        everybody = {*self.cluster.owners(node), *peer.switch.plan.owners, *changed}
        settled, losers = settle(flows_of(self.cluster, node, everybody))
        peer.switch.update(settled)
        yield from self._report_crowded(node, settled)
        peer.contested = bool(losers)
        yield from self._reports.tell("plan", node, [Problem("Node", node, "PlanConflict", text) for text in losers])

    def _report_crowded(self, node: str, made: Mapping[Owner, Sequence[Encoded]]) -> Iterator[c.Command]:
        peer = self._peers[node]
        full = {cell for cell, flows in made.items() if is_full(flows)}
        for cell in sorted(full | (peer.crowded & made.keys()), key=str):
            yield from self._reports.tell("crowded", f"{node}/{cell}", no_room(self.cluster.policy, node, cell))
        peer.crowded = peer.crowded - made.keys() | full

    def _advance(self, node: str) -> Iterator[c.Command]:
        peer = self._peers[node]
        send, confirmed = peer.switch.advance()
        if send is not None and peer.session is not None:
            yield c.SendFlows(node, peer.session, send.change)
        yield from self._confirm(node, confirmed)

    def _confirm(self, node: str, confirmed: Iterable[Owner]) -> Iterator[c.Command]:
        bridge = self.cluster.bridges.get(node)
        for name in self._completed(node, confirmed):
            port = bridge.ports.get(name) if bridge else None
            if port is None:
                continue
            # Flows are made for a number before Open vSwitch gives it to the port; in place is what it has opened.
            placed = port_owner(name) in self._peers[node].switch.plan.owners and port.ofport is not None
            container = port.key.container if placed else None
            if port.programmed != container and not (placed and self._is_open(node, port)):
                yield c.Announce(node, port.name, container)

    def _completed(self, node: str, confirmed: Iterable[Owner]) -> list[str]:
        """Ports that the confirmation of these owners' flows may complete."""
        owners = list(confirmed)
        names = {owner.name for owner in owners if owner.kind is Kind.PORT}
        isolated = {owner.name[1] for owner in owners if owner.kind is Kind.SUBJECT}
        if isolated and node in self.cluster.bridges:
            for port in self.cluster.bridges[node].ports.values():
                if port.programmed != port.key.container and self._peers[node].switch.holds(port_owner(port.name)):
                    identity = self.cluster.identity_of(node, port)
                    if identity is not None and identity.id in isolated:
                        names.add(port.name)
        return sorted(names)

    def _is_open(self, node: str, port: PodPort) -> bool:
        """Whether the switch has refused what isolates the port's pod: it is not to come into service then (N25)."""
        identity = self.cluster.identity_of(node, port)
        plan = self._peers[node].switch.plan
        return identity is not None and any(plan.holds_back(subject(side, identity.id)) for side in identity.isolated)

    def _need_purge(self, node: str, *, needed: bool) -> Iterator[c.Command]:
        """Changes that were made before this was known count, too."""
        self.cluster.bridges[node].needs_purge = needed
        if needed:
            yield c.Purge(node)

    def _purge(self, node: str) -> Iterator[c.Command]:
        """To be said last: who waits for an announcement is not to wait for this, too."""
        bridge, peer = self.cluster.bridges.get(node), self._peers[node]
        stale = peer.switch.take_staleness()
        peer.purge_later = stale is Staleness.LATER or (peer.purge_later and stale is Staleness.NONE)
        if stale is Staleness.NOW and bridge is not None and bridge.needs_purge:
            yield c.Purge(node)

    def _report_claims(self, node: str, changed: Iterable[Owner]) -> Iterator[c.Command]:
        bridge = self.cluster.bridges[node]
        for name in sorted(owner.name for owner in changed if owner.kind is Kind.PORT):
            rival = bridge.rival(bridge.ports[name]) if name in bridge.ports else None
            key = f"{node}/{name}"
            text = f"port {name} claims an address or OpenFlow port of port {rival}; it gets no flows"
            yield from self._reports.tell("claim", key, [Problem("Port", key, "ClaimTaken", text)] if rival else ())
