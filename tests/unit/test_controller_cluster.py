"""Which flows a change of the cluster may have changed: enough owners, and not all of them."""

from dataclasses import replace

import pytest
from cluster_fixture import SYSTEM, broken, namespace, node, pod, port

from controller.bridge import bridge_state
from controller.cluster import Cluster
from controller.flows import flows
from controller.owners import PIPELINE, node_owner, port_owner
from kube.changes import Applied, Connected, Deleted, Listed, Refused
from ovsdb.rows import GATEWAY_PORT

WEB, DB = port("web", "10.1.0.5", ofport=5), port("db", "10.1.0.6", ofport=6)
N1, N2 = node("n1", ["10.1.0.0/24"]), node("n2", ["10.2.0.0/24"])


@pytest.fixture
def cluster():
    """Nodes n1, with the ports of two pods, and n2, which has none."""
    made = Cluster()
    made.apply(Listed("Node", (N1, N2)))
    made.apply(Listed("Pod", (pod("web", "n1"), pod("db", "n1"))))
    made.set_bridge("n1", bridge_state([WEB, DB], SYSTEM))
    made.set_bridge("n2", bridge_state([], SYSTEM))
    return made


def on(where, *owners):
    return {(where, owner) for owner in owners}


def test_a_pod_touches_its_ports_only(cluster):
    assert cluster.apply(Applied(pod("web", "n1", app="x"))) == on("n1", port_owner("web"))
    assert cluster.apply(Deleted("Pod", "default/web")) == on("n1", port_owner("web"))
    assert cluster.apply(Applied(pod("nobodys"))) == set()
    assert cluster.apply(Deleted("Pod", "default/nobodys")) == set()


def test_a_pod_with_ports_on_two_nodes_touches_both(cluster):
    """It moved, and its old port is not gone yet."""
    cluster.set_port("n2", port("web", "10.2.0.5", ofport=5))
    assert cluster.apply(Applied(pod("web", "n2"))) == on("n1", port_owner("web")) | on("n2", port_owner("web"))
    assert flows(cluster, "n1", port_owner("web")) == ()
    assert flows(cluster, "n2", port_owner("web")) != ()


def test_a_node_touches_its_own_flows_on_every_bridge(cluster):
    fresh = node("n3", ["10.3.0.0/24"])
    assert cluster.apply(Applied(fresh)) == on("n1", node_owner("n3")) | on("n2", node_owner("n3"))
    assert cluster.apply(Applied(fresh)) == set()
    assert cluster.apply(Deleted("Node", "n3")) == on("n1", node_owner("n3")) | on("n2", node_owner("n3"))


def test_a_node_that_takes_a_range_touches_the_one_that_loses_it(cluster):
    older = node("n0", ["10.2.0.0/16"], age=9)
    touched = cluster.apply(Applied(older))
    assert {owner for _, owner in touched} == {node_owner("n0"), node_owner("n2")}
    assert [problem.key for problem in cluster.problems] == ["n2"]


def test_labels_and_heartbeats_of_a_node_touch_nothing(cluster):
    assert (
        cluster.apply(Applied(replace(N1, meta=replace(N1.meta, labels={"x": "y"}, resource_version="9")))) == set()
    )


def test_a_node_that_cannot_be_read_keeps_what_was_known(cluster):
    assert cluster.apply(Applied(broken(N2))) == set()
    assert [problem.reason for problem in cluster.problems] == ["BadAnnotation"]
    assert flows(cluster, "n1", node_owner("n2")) != ()
    assert cluster.apply(Applied(N2)) == set()
    assert cluster.problems == ()


def test_what_is_told_of_the_watch_itself_touches_nothing(cluster):
    assert cluster.apply(Connected("Pod")) == set()
    assert cluster.apply(Refused("Pod", "default/web", "no")) == set()
    assert cluster.apply(Applied(namespace("default"))) == cluster.apply(Deleted("Namespace", "default")) == set()


def test_a_list_takes_away_what_it_does_not_name_and_keeps_what_it_refuses(cluster):
    cluster.apply(Listed("Pod", (), frozenset({"default/web"})))
    assert set(cluster.pods) == {"default/web"}
    cluster.apply(Listed("Node", (N1,), frozenset({"n2"})))
    assert set(cluster.membership.nodes) == {"n1", "n2"}
    cluster.apply(Listed("Node", (N1,)))
    assert set(cluster.membership.nodes) == {"n1"}


def test_a_port_touches_itself(cluster):
    assert cluster.set_port("n1", replace(WEB, ofport=9)) == on("n1", port_owner("web"))
    assert cluster.remove_port("n1", "web") == on("n1", port_owner("web"))
    assert cluster.remove_port("n1", "web") == set()
    assert cluster.apply(Applied(pod("web", "n1"))) == set(), "it has no port any more"


def test_a_port_that_becomes_another_pods_is_touched_by_that_pod_only(cluster):
    cluster.set_port("n1", replace(WEB, pod="other"))
    assert cluster.apply(Applied(pod("web", "n1"))) == set()
    assert cluster.apply(Applied(pod("other", "n1"))) == on("n1", port_owner("web"))


def test_a_system_port_touches_the_pipeline_and_the_nodes(cluster):
    nodes = (node_owner("n1"), node_owner("n2"))
    assert cluster.set_system_port("n1", GATEWAY_PORT, 9) == on("n1", PIPELINE, *nodes)
    assert cluster.set_system_port("n1", GATEWAY_PORT, 9) == set()


def test_a_bridge_that_is_read_again_touches_what_was_there_and_what_is_there_now(cluster):
    touched = cluster.set_bridge("n1", bridge_state([DB, port("new", ofport=7)], SYSTEM))
    assert {port_owner(name) for name in ("web", "db", "new")} <= {owner for where, owner in touched if where == "n1"}
    assert cluster.apply(Applied(pod("web", "n1"))) == set()
    assert cluster.apply(Applied(pod("db", "n1"))) == on("n1", port_owner("db"))


def test_a_bridge_that_is_gone_has_no_owners_and_no_flows(cluster):
    everybody = on("n1", *cluster.owners("n1"))
    assert cluster.remove_bridge("n1") == everybody
    assert cluster.remove_bridge("n1") == set()
    assert [*cluster.owners("n1")] == []
    assert flows(cluster, "n1", PIPELINE) == ()
    assert cluster.apply(Applied(pod("web", "n1"))) == set()


def test_a_node_without_a_tunnel_address_is_not_reached(cluster):
    cluster.apply(Applied(node("n2", ["10.2.0.0/24"], tunnel_ip=None)))
    assert flows(cluster, "n1", node_owner("n2")) == ()


def test_nobody_has_flows_who_is_not_there(cluster):
    assert flows(cluster, "n1", node_owner("n9")) == ()
    assert flows(cluster, "n1", port_owner("nothing")) == ()
