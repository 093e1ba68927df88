"""Where a policy is in force: the flows it needs on each node beside those that the switch holds."""

from __future__ import annotations

from collections import Counter

from policy_objects_fixture import Held, Obj, apps, block, objects, pod, policy, state, wanted

from cli.inforce import Count, NodeState
from cli.view import Silent
from controller.policy.rules import Origin
from kube.netpol import Direction
from openflow.codec import Encoded, table_of
from openflow.decode import decode
from openflow.features.priority import LOW
from openflow.flow import Flow
from openflow.match import ct_state
from openflow.tables import Table

BOTH = ("alpha", "beta")
WEB = policy("shop/web", "web", ingress=[{"from": [apps("cart")], "ports": [{"port": "http"}]}])
INGRESS = Origin("shop/web", "Ingress", 0)


def _nodes(*policies: Obj, key: str = "shop/web", without: Table) -> dict[str, NodeState]:
    """The nodes of a policy, where alpha lacks the flows of a table."""
    made = objects(*policies)
    held = wanted(made, *BOTH)
    held["alpha"] = {key: record for key, record in held["alpha"].items() if key[0] != without}
    return {each.node: each for each in state(made, held)[key].nodes}


def test_with_all_of_its_flows_it_is_in_force() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    found = state(made, held)["shop/web"]
    assert [(each.node, each.pods, each.in_force) for each in found.nodes] == [
        ("alpha", ("shop/web-1",), True), ("beta", ("shop/web-2",), True),
    ]  # fmt: skip
    assert found.in_force
    assert {each.flows for each in found.nodes} == {len(held["alpha"])}


def test_a_node_that_lacks_a_flow_is_found_and_the_other_is_not() -> None:
    for table in (Table.INGRESS_POLICY, Table.INGRESS_IDENTITY, Table.SOURCE_IDENTITY, Table.ROUTE):
        nodes = _nodes(WEB, without=table)
        assert (nodes["alpha"].in_force, nodes["beta"].in_force) == (False, True)
        assert {decode(flow).table for flow in nodes["alpha"].missing} == {table}


def test_only_the_policies_that_need_the_flow_lack_it() -> None:
    other = policy("shop/cart", "cart", policyTypes=["Egress"], egress=[{"to": [block("203.0.113.0/24")]}])
    assert _nodes(WEB, other, key="shop/cart", without=Table.INGRESS_POLICY)["alpha"].in_force
    assert not _nodes(WEB, other, key="shop/cart", without=Table.EGRESS_POLICY)["alpha"].in_force


def test_a_flow_that_does_something_else_is_not_what_is_needed() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    key, record = next((key, each) for key, each in held["beta"].items() if key[0] == Table.INGRESS_POLICY)
    held["beta"][key] = record._replace(flow=Encoded(key, record.flow.body[:8]))
    (_, beta) = state(made, held)["shop/web"].nodes
    assert (beta.in_force, beta.missing, [each.key for each in beta.different]) == (False, (), [key])


def test_nothing_is_said_of_a_node_that_was_not_looked_at() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    del held["alpha"]
    found = state(made, held, [Silent("alpha", "no answer in time")])["shop/web"]
    assert [(each.in_force, each.unseen) for each in found.nodes] == [(None, "no answer in time"), (True, "")]
    assert found.in_force is None
    assert state(made, held)["shop/web"].nodes[0].unseen == "it is not a node that this command can look into"


def test_a_policy_without_pods_has_no_nodes() -> None:
    found = state(objects(policy("shop/none", "none")), {"alpha": {}})["shop/none"]
    assert (found.nodes, found.in_force, found.total) == ((), True, Count(0, 0, sessions=0))


def test_pods_that_have_ended_or_have_no_node_need_nothing() -> None:
    ended, waiting = pod("shop/web-1", "alpha", "10.1.0.2"), pod("shop/web-2", "", "10.1.0.3")
    ended["status"]["phase"] = "Succeeded"
    found = state(objects(WEB, pods=(ended, waiting)), {"alpha": {}})["shop/web"]
    assert (found.nodes, dict(found.share.pods)) == ((), {"": ("shop/web-2",)})


FIRST, LATER, DENIED = 3, 20, 100
"""Packets of each flow for new connections, of each for known ones, and of each that denies."""


def _counted(held: Held) -> dict[int, int]:
    """Has every flow of IngressPolicy that lets pass or denies match so many packets, of ten bytes; the number of the
    flows by how many they match."""
    matched = [
        (record, records, packets)
        for records in held.values()
        for record in records.values()
        if table_of(record.flow.key) == Table.INGRESS_POLICY and (packets := _packets(decode(record.flow)))
    ]
    for record, records, packets in matched:
        records[record.flow.key] = record._replace(packets=packets, bytes=10 * packets)
    return Counter(packets for _, _, packets in matched)


def _packets(flow: Flow) -> int:
    """0 for what is only a part of rules."""
    if flow.priority == LOW:
        return DENIED
    if ct_state(new=True, trk=True) in flow.match:
        return FIRST
    return LATER if ct_state(new=False, trk=True) in flow.match else 0


def _passed(flows: dict[int, int]) -> Count:
    packets = FIRST * flows[FIRST] + LATER * flows[LATER]
    return Count(packets, 10 * packets, sessions=FIRST * flows[FIRST])


def test_counters_are_those_of_the_rules_own_flows_summed_over_nodes() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    flows = _counted(held)
    found = state(made, held)["shop/web"]
    assert min(flows[FIRST], flows[LATER], flows[DENIED]) >= len(BOTH)
    assert dict(found.counts) == {INGRESS: _passed(flows)}
    assert found.total == _passed(flows)


def test_what_is_denied_is_counted_and_has_no_sessions() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    denied = DENIED * _counted(held)[DENIED]
    assert dict(state(made, held)["shop/web"].denied) == {Direction.INGRESS: Count(denied, 10 * denied)}


def test_packets_of_known_connections_are_no_sessions() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    _counted(held)
    for records in held.values():
        for key, record in records.items():
            if record.packets == FIRST:
                records[key] = record._replace(packets=0, bytes=0)
    total = state(made, held)["shop/web"].total
    assert total.sessions == 0 < total.packets


def test_policies_that_say_the_same_share_a_count_and_say_so() -> None:
    again = policy("shop/again", "web", policyTypes=["Ingress", "Egress"], ingress=[WEB["spec"]["ingress"][0]])
    made = objects(WEB, again)
    held = wanted(made, *BOTH)
    flows = _counted(held)
    found = state(made, held)
    other = Origin("shop/again", "Ingress", 0)
    assert found["shop/web"].share.shared(INGRESS) == (other,)
    assert found["shop/again"].share.shared(other) == (INGRESS,)
    assert found["shop/again"].counts[other] == found["shop/web"].counts[INGRESS] == _passed(flows)


def test_rules_that_let_everything_through_are_counted_together() -> None:
    """There is one flow for pods that may do everything, whoever says so."""
    everything = [policy("shop/a", "web", ingress=[{}]), policy("shop/b", ingress=[{}])]
    made = objects(*everything)
    held = wanted(made, *BOTH)
    flows = _counted(held)
    found = state(made, held)
    assert found["shop/a"].share.shared(Origin("shop/a", "Ingress", 0)) == (Origin("shop/b", "Ingress", 0),)
    assert found["shop/b"].total == _passed(flows)  # the web pods' on each of two nodes, and the cart's
    assert found["shop/a"].total == _passed({packets: 2 * number // 3 for packets, number in flows.items()})
    assert flows[FIRST]
