"""Where a policy is in force: the flows it needs on each node beside those that the switch holds."""

from __future__ import annotations

from policy_objects_fixture import Held, Obj, apps, block, objects, pod, policy, state, wanted

from cli.inforce import Count, NodeState
from cli.view import Silent
from controller.policy.rules import Origin
from kube.netpol import Direction
from openflow.codec import Encoded
from openflow.decode import decode
from openflow.features.priority import LOW
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
    assert (found.nodes, found.in_force, found.total) == ((), True, Count(0, 0))


def test_pods_that_have_ended_or_have_no_node_need_nothing() -> None:
    ended, waiting = pod("shop/web-1", "alpha", "10.1.0.2"), pod("shop/web-2", "", "10.1.0.3")
    ended["status"]["phase"] = "Succeeded"
    found = state(objects(WEB, pods=(ended, waiting)), {"alpha": {}})["shop/web"]
    assert (found.nodes, dict(found.share.pods)) == ((), {"": ("shop/web-2",)})


def _counted(held: Held) -> tuple[int, int]:
    """Has every flow that judges in IngressPolicy match 100 bytes in a packet; the numbers of those that allow (of a
    policy with peers and ports, the ones of its conjunctions) and of those that deny."""
    allowing = denying = 0
    for records in held.values():
        for key, record in records.items():
            flow = decode(record.flow)
            allows, denies = "conj_id" in [term.field.name for term in flow.match], flow.priority == LOW
            if flow.table == Table.INGRESS_POLICY and (allows or denies):
                records[key] = record._replace(packets=1, bytes=100)
                allowing, denying = allowing + allows, denying + denies
    return allowing, denying


def test_counters_are_those_of_the_rules_own_flows_summed_over_nodes() -> None:
    made = objects(WEB)
    held = wanted(made, *BOTH)
    allowing, denying = _counted(held)
    found = state(made, held)["shop/web"]
    assert min(allowing, denying) >= len(BOTH)
    assert dict(found.counts) == {INGRESS: Count(allowing, 100 * allowing)}
    assert dict(found.denied) == {Direction.INGRESS: Count(denying, 100 * denying)}
    assert found.total == Count(allowing, 100 * allowing)


def test_policies_that_say_the_same_share_a_count_and_say_so() -> None:
    again = policy("shop/again", "web", policyTypes=["Ingress", "Egress"], ingress=[WEB["spec"]["ingress"][0]])
    made = objects(WEB, again)
    held = wanted(made, *BOTH)
    allowing, _ = _counted(held)
    found = state(made, held)
    other = Origin("shop/again", "Ingress", 0)
    assert found["shop/web"].share.shared(INGRESS) == (other,)
    assert found["shop/again"].share.shared(other) == (INGRESS,)
    assert found["shop/again"].counts[other] == found["shop/web"].counts[INGRESS] == Count(allowing, 100 * allowing)


def test_rules_that_let_everything_through_are_counted_together() -> None:
    """There is one flow for pods that may do everything, whoever says so."""
    everything = [policy("shop/a", "web", ingress=[{}]), policy("shop/b", ingress=[{}])]
    made = objects(*everything)
    held = wanted(made, *BOTH)
    for records in held.values():
        for key, record in records.items():
            if key[0] == Table.INGRESS_POLICY:
                records[key] = record._replace(packets=1)
    found = state(made, held)
    assert found["shop/a"].share.shared(Origin("shop/a", "Ingress", 0)) == (Origin("shop/b", "Ingress", 0),)
    each = sum(key[0] == Table.INGRESS_POLICY for key in held["beta"])  # where there is one kind of pods of theirs
    assert found["shop/a"].total == Count(2 * each, 0)  # the web pods' on each of two nodes
    assert found["shop/b"].total == Count(3 * each, 0)  # and the cart's
