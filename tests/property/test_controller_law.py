"""The law: after any sequence of events, switches and databases hold what a controller that was given the same
objects all at once would have them hold; and getting there, no switch is told what it has done already.

Nothing inside the controller is looked at, only what it does to (models of) switches and databases.
"""

from dataclasses import replace
from ipaddress import ip_address

from cluster_fixture import (
    World,
    broken,
    dpid,
    flows_of,
    namespace,
    node,
    pod,
    port,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from netpol_fabric import parsed
from netpol_strategies import VALUES, containers, labels, policies

from controller.core import Patience
from kube.changes import Applied, Listed, Refused
from openflow.codec import cookie_of
from openflow.flow import is_ours
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT

NODES = ("n1", "n2", "n3")
CIDRS = ("10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/24", "fd00:1::/64", "fd00:1::/80")
ADDRESSES = ("10.1.1.3", "10.1.1.4", "10.1.1.1", "10.2.0.1", "fd00:1::5")
NUMBERS = (None, 1, 2, 3, 4)

names = st.sampled_from(NODES)
watched = st.sampled_from(("n1", "n1", "n2"))  # few, so that changes meet each other
cidrs = st.lists(st.sampled_from(CIDRS), min_size=1, max_size=2, unique_by=lambda cidr: ":" in cidr)
saying = st.sampled_from(
    ({}, {}, {}, {}, {"tunnel_ip": None}, {"tunnel_ip": ip_address("2001:db8::9")}, {"ovsdb": None})
)
uids = st.sampled_from(("u1", "u1", "u2", ""))
guests = st.sampled_from(("a", "b"))
spaces = st.sampled_from(("default", "default", "x"))
port_names = st.sampled_from(("p1", "p2", "p3"))
addresses = st.sampled_from([ADDRESSES[::4], *((ip,) for ip in ADDRESSES)])
foreign = st.tuples(st.sampled_from((b"\0\0\7", b"\10\0\11")), st.sampled_from((bytes(8), b"\x5f" + bytes(7))))


@st.composite
def nodes(draw):
    """A node that may share its ranges or its datapath id with another."""
    name, ranges = draw(names), draw(cidrs)
    twin = draw(st.sampled_from((name, name, name, *NODES)))
    made = node(name, ranges, age=draw(st.integers(0, 2)), **({"datapath_id": dpid(twin)} | draw(saying)))
    return made if draw(st.integers(0, 7)) else replace(made, pod_cidrs=())


@st.composite
def pods(draw):
    """A pod that policies may select, which may have the address of another."""
    name, where, phase = draw(guests), draw(st.just("") | watched), draw(st.sampled_from(("Running", "Succeeded")))
    made = {
        "metadata": {"name": name, "namespace": draw(spaces), "uid": draw(uids), "labels": draw(labels)},
        "spec": {"nodeName": where, "hostNetwork": draw(st.sampled_from((False, False, True)))}
        | {"containers": draw(containers())},
        "status": {"phase": phase, "podIPs": [{"ip": draw(st.sampled_from(ADDRESSES))}]},
    }
    return parsed("pods", made)


@st.composite
def rules(draw):
    """A NetworkPolicy of one of few names, so that they replace each other."""
    made = draw(policies(draw(st.sampled_from(("p", "q")))))
    made["metadata"]["namespace"] = draw(spaces)
    return parsed("policies", made)


@st.composite
def rows(draw):
    """A port's rows, by whatever name; several may claim one address, number or pod."""
    numbers = {"ofport": draw(st.sampled_from(NUMBERS)), "requested": draw(st.sampled_from(NUMBERS))}
    row = port(draw(guests), *draw(addresses), uid=draw(uids), **numbers)
    name, programmed = draw(port_names), draw(st.sampled_from((None, "c-a", "c-b")))
    return replace(row, name=name, mac=f"0a:58:00:00:00:0{name[1]}", programmed=programmed)


class History(RuleBasedStateMachine):
    """Any history of one cluster. The world is random; what was readable last is what counts."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Patience(stranger=10, audit=60, retry=5))

    @initialize(running=st.sampled_from((True, True, False)))
    def begin(self, running):
        """From nothing, or from two nodes that work; the first has two pods."""
        if running:
            self.world.put(node("n1", [CIDRS[1]]), node("n2", [CIDRS[2]]), pod("a", "n1"), pod("b", "n1"))
            for name, of, number in (("p1", "a", 3), ("p2", "b", 4)):
                self.world.set_port("n1", replace(port(of, f"10.1.1.{number}", ofport=number), name=name))
            for name in NODES[:2]:
                self.world.connect(name)
            self.world.list_all()
            self.world.run()

    # Kubernetes.

    @rule(made=nodes(), what=st.sampled_from(("put", "put", "delete", "break", "refuse")))
    def change_node(self, made, what):
        name = made.meta.name
        if what == "put":
            self.world.put(made)
        elif what == "delete":
            self.world.delete("Node", name)
        elif what == "break":  # not kept in the world: what was known of the node stands
            self.world.tell(Applied(broken(made)))
        else:
            self.world.tell(Refused("Node", name, "spec.podCIDRs: not a network"))

    @rule(gone=st.sets(names, max_size=1), fresh=st.lists(nodes(), max_size=1), refused=st.none() | names)
    def list_nodes(self, gone, fresh, refused):
        """A watch broke: some nodes went meanwhile, others changed, and one cannot be read."""
        for name in gone - {refused}:
            self.world.nodes.pop(name, None)
        self.world.nodes |= {each.meta.name: each for each in fresh if each.meta.name != refused}
        listed = tuple(each for name, each in self.world.nodes.items() if name != refused)
        self.world.tell(Listed("Node", listed, frozenset({refused} if refused else ())))

    @rule(made=pods(), there=st.sampled_from((True, True, False)))
    def change_pod(self, made, there):
        if there:
            self.world.put(made)
        else:
            self.world.delete("Pod", made.meta.key)

    @rule(name=spaces, value=st.none() | st.sampled_from(VALUES))
    def change_namespace(self, name, value):
        if value is None:
            self.world.delete("Namespace", name)
        else:
            self.world.put(namespace(name, app=value))

    @rule(made=rules(), there=st.sampled_from((True, True, True, False)))
    def change_policy(self, made, there):
        if there:
            self.world.put(made)
        else:
            self.world.delete("NetworkPolicy", made.meta.key)

    @rule()
    def list_all(self):
        self.world.list_all()

    # Databases.

    @rule(on=watched, row=rows(), there=st.sampled_from((True, True, False)))
    def change_port(self, on, row, there):
        if there:
            self.world.set_port(on, row)
        else:
            self.world.unset_port(on, row.name)

    @rule(on=watched, name=port_names, number=st.sampled_from(NUMBERS))
    def number_port(self, on, name, number):
        row = self.world.database(on).ports.get(name)
        if row is not None:
            self.world.set_port(on, replace(row, ofport=number))

    @rule(on=watched, name=st.sampled_from((GATEWAY_PORT, TUNNEL_PORT)), number=st.sampled_from(NUMBERS))
    def number_system_port(self, on, name, number):
        self.world.set_system_port(on, name, number)

    @rule(on=watched, needed=st.sampled_from((True, True, False)))
    def need_purge(self, on, needed):
        self.world.set_needs_purge(on, needed=needed)

    @rule(on=watched)
    def read_again(self, on):
        self.world.reread(on)

    # Switches.

    @rule(of=names, held=st.lists(foreign, max_size=2), row=st.none() | rows())
    def connect(self, of, held, row):
        stale = flows_of(row) if row is not None and row.ofport else ()
        self.world.connect(of, dict([*held, *stale]))

    @rule(which=st.integers(0, 3))
    def disconnect(self, which):
        for session in self._session(which, of=lambda session: not session.waiting):
            self.world.disconnect(session)

    @rule(which=st.integers(0, 3), flow=foreign, held=st.integers(0, 99), remove=st.booleans())
    def tamper(self, which, flow, held, remove):
        """Somebody adds a flow, or changes or removes one that is there."""
        for session in self._session(which):
            there = sorted(session.switch.flows)
            key = there[held] if held < len(there) else flow[0]
            session.switch.tamper(key, None if remove else flow[1])

    @rule(which=st.integers(0, 3), row=st.none() | rows(), at_commit=st.booleans())
    def refuse_flows(self, which, row, at_commit):
        for session in self._session(which):
            keys = session.switch.unsupported if at_commit else session.switch.malformed
            keys.clear()
            keys.update(flow.key for flow in (flows_of(row)[:1] if row else ()))

    def _session(self, which, of=lambda session: False):
        return sorted(self.world.sessions, key=of)[which : which + 1]

    # Time.

    @rule(which=st.integers(0, 5))
    def step(self, which):
        self.world.step(which)

    @rule()
    def run(self):
        self.world.run()

    @rule(seconds=st.sampled_from((1, 7, 61)))
    def tick(self, seconds):
        self.world.tick(seconds)

    @rule()
    def settle_and_compare(self):
        _settle(self.world)
        _compare(self.world)

    def teardown(self):
        _settle(self.world)
        _compare(self.world)


def _settle(world):
    """Everything told, a switch connected for every node, every audit over, and no switch refuses anything more."""
    if not world.core.ready:
        world.list_all()
    for session in world.sessions:
        session.switch.malformed.clear()
        session.switch.unsupported.clear()
    world.run()
    for name in NODES:
        if all(session.datapath_id != dpid(name) for session in world.sessions):
            world.connect(name)
    world.run()
    world.tick(61)
    world.run()


def _compare(world):
    fresh = _at_once(world)
    switches = {session.datapath_id: session.switch for session in world.sessions}
    assert switches.keys() == {session.datapath_id for session in fresh.sessions}
    owners = fresh.core.cluster.membership.by_datapath()
    for session in fresh.sessions:
        owner = owners[session.datapath_id]
        if owner in fresh.watched:  # else nobody knows its ports, and it keeps what it has
            assert _words(switches[session.datapath_id].flows) == _words(session.switch.flows)
            assert not (world.database(owner).needs_purge and switches[session.datapath_id].stale), owner
            _check_announced(world.database(owner).ports.values(), session.switch, fresh.core.cluster.policy)
    _check_quiet(world)


def _at_once(world):
    """A world with the same objects, whose controller hears of each once, and whose switches are empty."""
    fresh = World()
    for name in world.databases:
        fresh.database(name).ports.update(world.databases[name].ports)
        fresh.database(name).system.update(world.databases[name].system)
    for kind, objects in world.kinds().items():
        fresh.kinds()[kind].update(objects)
    fresh.list_all()
    fresh.run()
    for name in NODES:
        fresh.connect(name)
    fresh.run()
    fresh.tick(61)
    fresh.run()
    return fresh


def _check_announced(ports, switch, policy):
    """Announced are exactly the ports whose flows are in the switch."""
    for row in ports:
        found = policy.identity_of(f"{row.namespace}/{row.pod}")
        wanted = flows_of(row, found and found.id)
        there = row.ofport and all(switch.flows.get(key) == body for key, body in wanted)
        assert row.programmed == (row.key.container if there else None), row


def _check_quiet(world):
    """A cluster at rest stays at rest: no flow-mod, no announcement, no purge."""
    before = len(world.sent), len(world.announced), len(world.purged)
    world.tick(61)
    world.run()
    assert (len(world.sent), len(world.announced), len(world.purged)) == before


def _words(flows):
    return {key.hex(): (body.hex(), is_ours(cookie_of(body))) for key, body in flows.items()}


History.TestCase.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
test_any_history = History.TestCase
