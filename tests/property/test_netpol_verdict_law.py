"""The verdict that `weftctl explain` gives is that of the NetworkPolicy reference."""

from ipaddress import ip_address
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from netpol_fabric import name_of, parsed
from netpol_oracle import allowed
from netpol_strategies import BOUNDARIES, OUTSIDE, clusters

from controller.policy.names import PolicyObjects
from controller.policy.verdict import End, Traffic, judge

ICMP = ("ICMP", 0)


@settings(max_examples=300, deadline=None)
@given(clusters(), st.sampled_from((4, 6)))
def test_it_says_what_the_reference_says(cluster, family):
    known = objects(cluster).known
    running = [using(pod, family) for pod in cluster["pods"] if pod["status"]["phase"] == "Running"]
    ends = [*running, *OUTSIDE[family]]
    for source, target in product(ends, ends):
        for protocol, port in [*product(("TCP", "UDP", "SCTP"), BOUNDARIES), ICMP]:
            found = judge(known, end(source), end(target), Traffic(protocol, port))
            assert found.allowed is allowed(cluster, source, target, protocol, port), (source, target, found)


@settings(max_examples=100, deadline=None)
@given(clusters(), st.sampled_from(BOUNDARIES))
def test_a_direction_is_judged_where_there_is_a_pod_and_allowed_by_a_rule_where_it_is_isolated(cluster, port):
    known = objects(cluster).known
    source, target = [using(pod, 4) for pod in cluster["pods"]][:2]
    found = judge(known, end(source), end(target), Traffic("TCP", port))
    assert found == judge(objects(cluster).known, end(source), end(target), Traffic("TCP", port))
    for each in (found.egress, found.ingress):
        assert {clause.policy for clause in each.clauses} <= set(each.isolating)
        assert each.allowed is (not each.isolating or any(clause.allows for clause in each.clauses))
        assert list(each.isolating) == sorted(each.isolating)
    outside = judge(known, end("203.0.113.9"), end(target), Traffic("TCP", port))
    assert (outside.egress, outside.ingress is None) == (None, False)


def test_a_node_reaches_its_own_pods_whatever_is_said():
    pod = {
        "metadata": {"name": "a", "namespace": "x", "uid": "u"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.1.1.2"}]},
    }
    deny = {"metadata": {"name": "deny", "namespace": "x"}, "spec": {"podSelector": {}}}
    known = objects({"pods": [pod], "namespaces": [], "policies": [deny]}).known
    source, target = end("10.1.1.1"), end(using(pod, 4))
    assert not judge(known, source, target, Traffic("TCP", 80)).allowed
    assert judge(known, source, target, Traffic("TCP", 80), probe=True).allowed


def objects(cluster):
    parts = {kind: tuple(parsed(kind, each) for each in cluster[kind]) for kind in cluster}
    return PolicyObjects(**parts)


def using(pod, family):
    ips = [each["ip"] for each in pod["status"]["podIPs"]]
    return pod | {"using": next(ip for ip in ips if ip_address(ip).version == family)}


def end(given):
    return End(ip_address(given["using"]), name_of(given)) if isinstance(given, dict) else End(ip_address(given))
