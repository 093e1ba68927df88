"""The law, for policies alone: whatever comes and goes, the cells that were named as changed and computed anew add up
to the flows of a controller that heard of everything at once."""

from copy import deepcopy

from cluster_fixture import SYSTEM
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from netpol_fabric import KINDS, flows_on, nodes, parsed, ports_on, told
from netpol_strategies import NAMESPACES, NODES, clusters, labels, namespaces, pods, policies

from controller.bridge import bridge_state
from controller.cluster import Cluster
from controller.flows import flows
from controller.policy.flows import node_flows
from kube.changes import Applied, Deleted, Listed

POLICIES = ("p0", "p1", "p2", "p3")
PODS = 4


class History(RuleBasedStateMachine):
    """Objects as the API has them, a Cluster that hears of each change, and the flows of each node by owner."""

    def __init__(self):
        super().__init__()
        self.raw = {kind: [] for kind in KINDS}
        self.cluster = Cluster()
        self.held = {name: {} for name in NODES}
        self.cluster.apply(Listed("Node", nodes(NODES)))
        for name in NODES:
            self._took(self.cluster.set_bridge(name, bridge_state([], SYSTEM)))

    @initialize(cluster=clusters())
    def begin(self, cluster):
        for kind, objects in cluster.items():
            for each in objects:
                self._put(kind, each)

    @rule(made=namespaces(), which=st.sampled_from(range(len(NAMESPACES))))
    def change_namespace(self, made, which):
        self._put("namespaces", made[which])

    @rule(data=st.data(), number=st.integers(0, PODS - 1))
    def change_pod(self, data, number):
        self._put("pods", data.draw(pods(number)))

    @rule(number=st.integers(0, PODS - 1), fresh=labels)
    def label_pod(self, number, fresh):
        for each in [pod for pod in self.raw["pods"] if pod["metadata"]["name"] == f"pod{number}"]:
            made = deepcopy(each)
            made["metadata"]["labels"] = fresh
            self._put("pods", made)

    @rule(data=st.data(), name=st.sampled_from(POLICIES))
    def change_policy(self, data, name):
        self._put("policies", data.draw(policies(name)))

    @rule(kind=st.sampled_from(sorted(KINDS)), which=st.integers(0, 3))
    def remove(self, kind, which):
        for each in self.raw[kind][which : which + 1]:
            self.raw[kind].remove(each)
            self._took(self.cluster.apply(Deleted(KINDS[kind], parsed(kind, each).meta.key)))
            self._wire()

    @rule(kind=st.sampled_from(sorted(KINDS)))
    def list_again(self, kind):
        self._took(self.cluster.apply(Listed(KINDS[kind], tuple(parsed(kind, each) for each in self.raw[kind]))))

    def _put(self, kind, made):
        fresh = parsed(kind, made)
        for each in [each for each in self.raw[kind] if parsed(kind, each).meta.name == fresh.meta.name]:
            self.raw[kind].remove(each)
            if parsed(kind, each).meta.key != fresh.meta.key:
                self._took(self.cluster.apply(Deleted(KINDS[kind], parsed(kind, each).meta.key)))
        self.raw[kind].append(made)
        self.raw[kind].sort(key=lambda each: each["metadata"]["name"])
        self._took(self.cluster.apply(Applied(fresh)))
        self._wire()

    def _wire(self):
        """The agents' part: ports for the pods that there are."""
        for name in NODES:
            known = self.cluster.bridges[name].ports
            wanted = {port.name: port for port in ports_on(self.raw, name)}
            for gone in known.keys() - wanted.keys():
                self._took(self.cluster.remove_port(name, gone))
            for port in [port for port in wanted.values() if known.get(port.name) != port]:
                self._took(self.cluster.set_port(name, port))

    def _took(self, dirty):
        for name, owner in dirty:
            self.held[name][owner] = flows(self.cluster, name, owner)

    def teardown(self):
        fresh = told(self.raw, NODES)
        for name in NODES:
            held = {flow for found in self.held[name].values() for flow in found}
            assert held == set(flows_on(fresh, name).values())
            assert held == set(flows_on(self.cluster, name).values())
            self._together(name, self.cluster)
            self._together(name, fresh)

    def _together(self, name, cluster):
        """A node's cells worked out one by one, and all together."""
        one_by_one = {cell: flows(cluster, name, cell) for cell in cluster.policy.cells(name)}
        together = node_flows(cluster.policy, name)
        assert {cell: made for cell, made in together.items() if made} == {
            cell: made for cell, made in one_by_one.items() if made
        }


History.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
test_any_history = History.TestCase


class Looking(History):
    """Whole nodes are looked at all the time, so that what is kept of them is old when the next event comes."""

    @invariant()
    def whole_nodes_are_right(self):
        for name in NODES:
            self._together(name, self.cluster)


Looking.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_history_that_is_looked_at = Looking.TestCase
