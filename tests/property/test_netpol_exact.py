"""N1 to N18, N22, N24, N27, N28: the flows of random policies allow exactly what the NetworkPolicy reference says.

Every pair of pods and every outside address, both families, TCP, UDP and SCTP at every port at which a rule begins or
ends, and ICMP.
"""

from copy import deepcopy
from itertools import product

import netpol_fabric
from hypothesis import given, settings
from hypothesis import strategies as st
from netpol_oracle import allowed
from netpol_strategies import BOUNDARIES, NODES, OUTSIDE, PORTS, clusters, labels

TRAFFIC = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
TRAFFIC_TO_ANY = [*product(TRAFFIC, PORTS), ("ICMP", 0)]


@settings(max_examples=300)
@given(clusters(), st.sampled_from((4, 6)), st.randoms(use_true_random=False))
def test_flows_allow_exactly_what_the_policies_say(cluster, family, random):
    _assert_exact(netpol_fabric.fabric(cluster, NODES), cluster, family, {*PORTS, *random.sample(BOUNDARIES, 2)})


@settings(max_examples=150)
@given(clusters(), st.data(), st.sampled_from((4, 6)))
def test_a_packet_that_is_between_two_tables_when_the_flows_change_is_judged_by_the_new_ones(before, data, family):
    """Connection tracking takes the packet out and puts it in again: what it carries then is of the moment before."""
    after = {kind: deepcopy(objects) for kind, objects in before.items()}
    for each in after["pods"]:
        each["metadata"]["labels"] = data.draw(labels)
    after["policies"] = data.draw(clusters())["policies"]
    _assert_exact(netpol_fabric.fabric(after, NODES, entered=before), after, family, PORTS)


@settings(max_examples=100)
@given(clusters(), st.sampled_from((4, 6)))
def test_a_packet_of_a_pod_that_is_gone_by_then_goes_nowhere(before, family):
    *rest, gone = before["pods"]
    after = before | {"pods": rest}
    fabric = netpol_fabric.fabric(after, NODES, entered=before)
    for target in [*map(_using(family), after["pods"]), *OUTSIDE[family]]:
        for protocol, port in TRAFFIC_TO_ANY:
            assert not _send(fabric, gone, target, protocol, port).delivered


def _assert_exact(fabric, cluster, family, ports):
    running = [pod for pod in cluster["pods"] if pod["status"]["phase"] == "Running"]
    ends = [*map(_using(family), running), *OUTSIDE[family]]
    for source, target in product(ends, ends):
        if source is target or not (isinstance(source, dict) or isinstance(target, dict)):
            continue
        for protocol, port in [*product(TRAFFIC, sorted(ports)), ("ICMP", 0)]:
            wanted = allowed(cluster, source, target, protocol, port)
            trace = _send(fabric, source, target, protocol, port)
            assert trace.delivered is wanted, f"{_name(source)} → {_name(target)} {protocol} {port}:\n{trace}"


def _using(family):
    return lambda pod: pod | {"using": pod["status"]["podIPs"][0 if family == 4 else 1]["ip"]}


def _name(end):
    return netpol_fabric.name_of(end) if isinstance(end, dict) else end


def _send(fabric, source, target, protocol, port):
    what = {TRAFFIC[protocol]: port} if protocol in TRAFFIC else {"icmp": 1}
    to = target["using"] if isinstance(target, dict) else target
    if isinstance(source, dict):
        return fabric.fresh().send(_name(source), to, **what)
    # What is outside comes in by the target's own node.
    return fabric.fresh().send(f"node/{target['spec']['nodeName']}", to, from_ip=source, **what)
