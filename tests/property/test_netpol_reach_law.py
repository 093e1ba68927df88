"""The matrix of kinds says of every two pods, and of every address outside, what the verdict on that pair says."""

from ipaddress import ip_network
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from netpol_strategies import BOUNDARIES, OUTSIDE, PORTS, clusters
from test_netpol_verdict_law import ICMP, end, objects, using

from controller.policy.engine import Engine
from controller.policy.ports import port_matches
from controller.policy.reach import reach
from controller.policy.traffic import EVERYTHING, NOTHING, TrafficSet, to_any
from controller.policy.verdict import Traffic, judge
from kube.netpol import PolicyPort
from openflow.match import PortMatch

TRAFFIC = [Traffic(*each) for each in (*product(("TCP", "UDP", "SCTP"), BOUNDARIES), ICMP)]
RANGES = {4: ("10.1.1.0/24", "10.1.2.0/24"), 6: ("fd00:1:1::/64", "fd00:1:2::/64")}
EDGES = {
    4: ("10.1.0.1", "10.1.3.3", "10.1.1.1", "203.0.113.8", "203.0.113.16", "203.0.114.0", "0.0.0.0"),
    6: ("fd00:1::1", "fd00:1:1::1", "fd00:1:3::1", "fd00:2::1", "::1", "ffff::"),
}
"""Outside of pods, at the edges of the networks that rules name; two of them are what a node calls itself."""


@settings(max_examples=300)
@given(clusters(most_pods=5), st.sampled_from((4, 6)), st.randoms(use_true_random=False))
def test_it_says_of_every_pair_what_the_verdict_says(cluster, family, random):
    made = objects(cluster)
    found = reach(made.engine, family, map(ip_network, RANGES[family]))
    running = [using(pod, family) for pod in cluster["pods"] if pod["status"]["phase"] == "Running"]
    ends = [end(each) for each in (*running, *OUTSIDE[family], *random.sample(EDGES[family], 2))]
    parties = {each: party_of(found, each) for each in ends}
    for source, target in product(ends, ends):
        if source is target or not (source.pod or target.pod):
            continue
        allowed = found.allowed[parties[source], parties[target]]
        for traffic in TRAFFIC:
            said = judge(made.known, source, target, traffic).allowed
            assert (traffic in allowed) is said, (source, target, traffic, allowed)


@settings(max_examples=100)
@given(clusters(most_pods=6), st.sampled_from((4, 6)))
def test_every_running_pod_is_in_one_party_and_pairs_are_of_two_ends_that_meet(cluster, family):
    found = reach(objects(cluster).engine, family)
    assert sorted(pod for party in found.parties for pod in party.pods) == sorted(
        end(using(pod, family)).pod for pod in cluster["pods"] if pod["status"]["phase"] == "Running"
    )
    names = [party.name for party in found.parties]
    assert len(set(names)) == len(names)
    for source, target in product(found.parties, found.parties):
        alone = source is target and len(source.pods) < 2
        outside = not source.pods and not target.pods
        assert ((source, target) not in found.allowed) is (alone or outside)


matches = st.builds(
    lambda protocol, port, bits: PortMatch(protocol, port >> bits << bits, 0xFFFF >> bits << bits),
    st.sampled_from((6, 17)), st.sampled_from(PORTS), st.integers(0, 16),
)  # fmt: skip
rules = st.frozensets(st.none() | st.lists(matches, min_size=1, max_size=3).map(tuple), max_size=3)


@given(rules, rules, st.sampled_from(("TCP", "UDP")), st.sampled_from(BOUNDARIES))
def test_sets_of_traffic_are_sets(some, others, protocol, port):
    def holds(rules):
        return any(ports is None or any(_is(each, protocol, port) for each in ports) for ports in rules)

    traffic, one, two = Traffic(protocol, port), to_any(some), to_any(others)
    assert (traffic in one) is holds(some)
    assert (traffic in (one & two)) is (holds(some) and holds(others))
    assert (Traffic("ICMP") in (one & two)) is (None in some and None in others)
    assert (one & two, one & one, one & EVERYTHING, one & NOTHING) == (two & one, one, one, NOTHING)


def _is(match, protocol, port):
    return match.protocol == {"TCP": 6, "UDP": 17}[protocol] and port & match.mask == match.value


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_what_was_cut_into_masks_is_one_range_again(one, other):
    first, last = sorted((one, other))
    pieces = frozenset((match,) for match in port_matches(17, first, last))
    assert to_any(pieces) == TrafficSet((PolicyPort("UDP", first, last),))


def test_nothing_is_known_of_an_empty_cluster():
    (outside,) = reach(Engine(), 4).parties
    assert (outside.name, outside.pods) == ("outside", ())


def party_of(found, end):
    """The one party that an end is in."""
    (party,) = [each for each in found.parties if end.pod in each.pods or (not each.pods and _has(each, end))]
    return party


def _has(party, end):
    def holds(span):
        return end.ip in span.cidr and not any(end.ip in hole for hole in span.excepted)

    return not end.pod and any(map(holds, party.spans))
