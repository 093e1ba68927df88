"""The simulator and a real Open vSwitch agree on the flows of NetworkPolicies: what the property tests prove of
random policies with the one holds on the other.

Random clusters, all flows of one node as the controller would have them, and thousands of random packets.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from random import Random

import pytest
from netpol_traced import Traffic, flows_here, random_cluster
from openflow_bridge import Switch, example_switch
from openflow_traced import Question, Tracer, Way, simulated

from openflow import oxm
from openflow.actions import Conjunction, Ct, load
from openflow.codec import Change, Encoded
from openflow.decode import decode
from openflow.features.base import DENIED
from openflow.fields import Verdict
from openflow.flow import Flow
from openflow.match import where
from openflow.simulate import Tables
from openflow.tables import Table

CLUSTERS, PACKETS = range(8), 1000
JUDGES = (Table.EGRESS_POLICY, Table.INGRESS_POLICY)
BECAME = {
    "delivered",
    *(f"{table.title}: {said}" for table in JUDGES for said in ("a rule allows it", "denied")),
    "ConntrackState: a reply of a connection that was cut",
    "Commit: a connection is cut",
}
LEAST = 100
"""How often each of these has to happen for agreement on it to say something."""
NEEDED = 20
"""How many flows of one cluster's rules have to be missed by so many packets that rules allow."""
ALLOWED = 60

Key = tuple[int, int, int]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with example_switch(tmp_path_factory.mktemp("of")) as made:
        # The next hop to the third node; to the second there is one.
        made.ovs.appctl("tnl/neigh/set", "br-phy", "192.0.2.3", "0e:00:00:00:aa:03")
        yield made


@pytest.fixture(scope="module")
def tracer(bridge: Switch) -> Iterator[Tracer]:
    with closing(Tracer(bridge)) as made:
        yield made


def installed(bridge: Switch, wanted: dict[bytes, Encoded]) -> list[Flow]:
    """Put flows in place of those that are there, and read them back."""
    bridge.clear()
    assert bridge.connection.apply(Change(add=tuple(wanted.values()))) == []
    found = bridge.connection.dump()
    assert found == {key: flow.body for key, flow in wanted.items()}
    return [decode(Encoded(*pair)) for pair in found.items()]


def questions(traffic: Traffic, random: Random, count: int) -> Iterator[Question]:
    return (traffic.question(random) for _ in range(count))


def test_the_flows_of_random_policies(bridge: Switch, tracer: Tracer) -> None:
    seen: Counter[str] = Counter()
    for seed in CLUSTERS:
        seen += agreed(bridge, tracer, seed)
    assert seen.keys() == BECAME
    assert min(seen.values()) >= LEAST, seen


def agreed(bridge: Switch, tracer: Tracer, seed: int) -> Counter[str]:
    """What became of the packets of one cluster, of which both say the same."""
    random = Random(seed)
    raw = random_cluster(random)
    flows = installed(bridge, flows_here(raw))
    tables, said = Tables(flows), outcomes(flows)
    seen: Counter[str] = Counter()
    for question in questions(Traffic(raw), random, PACKETS):
        ours = simulated(tables, question)
        assert ours == tracer.way(question), f"cluster {seed}: {question}\n{tracer.ask(question)}"
        seen.update(what_became(ours, said))
    return seen


def outcomes(flows: Iterable[Flow]) -> dict[Key, str]:
    """What policy says of a packet that meets a flow, for those that decide."""
    return {key(flow): f"{Table(flow.table).title}: {said}" for flow in flows if (said := outcome(flow)) is not None}


def outcome(flow: Flow) -> str | None:
    if flow.table in JUDGES and any(term.field is oxm.CONJ_ID for term in flow.match):
        return "a rule allows it"
    if flow.table in JUDGES and {load(each) for each in DENIED} & {*flow.actions}:
        return "denied"
    if flow.table == Table.CONNTRACK_STATE and where(Verdict.BLOCKED) in flow.match:
        return "a reply of a connection that was cut"
    if any(isinstance(action, Ct) and load(Verdict.BLOCKED) in action.sets for action in flow.actions):
        return "a connection is cut"
    return None


def key(flow: Flow) -> Key:
    return flow.table, flow.priority, flow.cookie


def what_became(way: Way, said: dict[Key, str]) -> set[str]:
    return {said[met] for met in way.flows if met in said} | ({"delivered"} if way.ports else set())


def test_one_missing_flow_shows(bridge: Switch, tracer: Tracer) -> None:
    """The comparison can fail: without a flow that packets need, be it one clause of many, the two disagree."""
    random = Random(5)
    raw = random_cluster(random)
    flows = installed(bridge, flows_here(raw))
    tables = Tables(flows)
    rules = {met for met, said in outcomes(flows).items() if said.endswith("a rule allows it")}
    asked = [
        each for each in questions(Traffic(raw), random, PACKETS) if simulated(tables, each).flows.keys() & rules
    ]
    told = [(each, tracer.way(each)) for each in asked[:ALLOWED]]
    clauses = [flow for flow in flows if any(isinstance(action, Conjunction) for action in flow.actions)]
    spare = [flow for flow in clauses if agree(Tables(each for each in flows if each is not flow), told)]
    assert len(clauses) - len(spare) >= NEEDED, f"{len(spare)} of {len(clauses)} clauses are not missed"


def agree(tables: Tables, told: list[tuple[Question, Way]]) -> bool:
    return all(simulated(tables, question) == way for question, way in told)
