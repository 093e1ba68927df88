"""A cluster in memory that gives the node under test the flows that were asked for."""

from __future__ import annotations

from bench.bigcluster import NODE, BigCluster, big_cluster, flow_count
from controller import commands as c
from controller.core import Core


def test_the_node_holds_as_many_flows_as_asked_for_or_a_few_more() -> None:
    cluster = big_cluster(2000, datapath=0x1234, nodes=20)
    assert 2000 <= flow_count(cluster) < 2007


def test_the_core_is_ready_and_knows_the_switch() -> None:
    core = Core()
    cluster = BigCluster(nodes=3, pods=4, datapath=0x1234)
    commands = [command for event in cluster.events() for command in core.handle(event)]
    assert core.ready
    assert core.cluster.membership.by_datapath()[0x1234] == NODE
    assert not [command for command in commands if isinstance(command, c.Report)]


def test_more_nodes_and_more_pods_are_more_flows() -> None:
    small = flow_count(BigCluster(nodes=2, pods=1, datapath=1))
    assert flow_count(BigCluster(nodes=3, pods=1, datapath=1)) > small
    assert flow_count(BigCluster(nodes=2, pods=2, datapath=1)) > small
