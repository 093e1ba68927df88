"""The policy benchmarks, small: their clusters are those that they say, and they measure what they say."""

from __future__ import annotations

from bench import policy, workloads
from bench.metric import Metric
from controller.policy.rules import Origin


def figures(metrics: list[Metric]) -> dict[str, float]:
    return {f"{each.case} {each.metric}": each.ours for each in metrics}


def test_an_app_in_a_namespace_is_one_identity_that_several_nodes_run() -> None:
    engine = policy.listed(workloads.large_namespaces(namespaces=2, apps=3, nodes=20))
    assert len(engine.identities) == 6
    assert all(len(identity.nodes) > 5 for identity in engine.identities.values())


def test_policies_that_say_the_same_are_one_rule() -> None:
    engine = policy.listed(workloads.all_to_all(pods=8, policies=5, nodes=2))
    (rule,) = engine.rules.values()
    assert len(engine.identities) == 1
    assert set(rule.origins) == {Origin(f"ns-0/all-{number}", "Ingress", 0) for number in range(5)}


def test_a_namespace_of_four_pods_needs_these_flows() -> None:
    load = workloads.small_namespaces(namespaces=1, nodes=1)
    flows = policy.plan(policy.listed(load), "node-0").values()
    # For each of two apps: it is subject and isolated, it is a peer, its rule for new and for known connections, and
    # its two addresses.
    assert sum(map(len, flows)) == 2 * (2 + 1 + 2 + 2)


def test_exceptions_become_networks() -> None:
    engine = policy.listed(workloads.blocks(namespaces=1, policies=2, pods=2, nodes=1))
    assert len(engine.networks) > 2 * 4


def test_every_change_is_in_the_plans_afterwards() -> None:
    load = workloads.small_namespaces(namespaces=60, nodes=5)
    engine = policy.listed(load)
    plans = {node: policy.plan(engine, node) for node in workloads.node_names(load)}
    engine.touched.watched.update(plans)
    for change in policy.CHANGES.values():
        policy.timed(engine, plans, load, change, 7)
        for node, plan in plans.items():
            assert {cell: flows for cell, flows in plan.items() if flows} == policy.plan(engine, node)


def test_a_case_has_time_memory_flows_and_the_latency_of_changes() -> None:
    found = figures(list(policy.xlarge(namespaces=60, nodes=5)))
    assert {name for name in found if "seconds" in name or "mb" in name} == {
        "policy-xlarge seconds", "policy-xlarge peak_mb",
    }  # fmt: skip
    assert found["policy-xlarge count"] > 0
    assert {name.split()[0] for name in found if "p99" in name} == {
        "policy-xlarge-pod", "policy-xlarge-label", "policy-xlarge-policy",
    }  # fmt: skip
