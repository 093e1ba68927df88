"""Which nodes take part, when two of them claim one thing, and what is said to the one that loses."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import permutations

import pytest

from kube.errors import ParseError
from kube.membership import NodeFacts, node_facts, resolve
from kube.objects import Meta, Node

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)


def facts(name, *cidrs, age=0, dpid=None, tunnel_ip=None):
    created = None if age is None else BIRTH - timedelta(hours=age)
    return NodeFacts(name, created, tuple(map(ip_network, cidrs)), tunnel_ip, dpid, None)


def ranges(membership, name):
    return [str(cidr) for cidr in membership.nodes[name].pod_cidrs]


def said(membership):
    return [(problem.key, problem.reason) for problem in membership.problems]


def test_nodes_that_claim_nothing_of_each_other_all_take_part():
    found = resolve(
        [facts("a", "10.1.0.0/24", "fd00:1::/64", dpid=1), facts("b", "10.1.1.0/24", "fd00:2::/64", dpid=2)]
    )
    assert ranges(found, "a") == ["10.1.0.0/24", "fd00:1::/64"]
    assert ranges(found, "b") == ["10.1.1.0/24", "fd00:2::/64"]
    assert found.by_datapath() == {1: "a", 2: "b"}
    assert found.problems == ()


def test_the_older_node_keeps_a_contested_range():
    found = resolve([facts("young", "10.1.0.0/24"), facts("old", "10.1.0.0/24", age=5)])
    assert ranges(found, "old") == ["10.1.0.0/24"]
    assert ranges(found, "young") == []
    assert said(found) == [("young", "PodCIDRTaken")]
    assert "10.1.0.0/24 overlaps a range of the older node old" in found.problems[0].message


@pytest.mark.parametrize(("mine", "theirs"), [("10.1.0.0/16", "10.1.3.0/24"), ("10.1.3.0/24", "10.1.0.0/16")])
def test_a_range_inside_another_is_contested(mine, theirs):
    found = resolve([facts("young", mine), facts("old", theirs, age=5)])
    assert ranges(found, "old") == [theirs]
    assert ranges(found, "young") == []


def test_every_node_inside_one_wide_range_is_found():
    inside = [facts(f"n{i}", f"10.1.{i}.0/24", age=9) for i in range(5)]
    found = resolve([facts("wide", "10.1.0.0/16", age=1), *inside])
    assert ranges(found, "wide") == []
    assert all(ranges(found, each.name) for each in inside)
    assert said(found) == [("wide", "PodCIDRTaken")]


def test_an_older_wide_range_is_kept_from_every_node_inside_it():
    inside = [facts(f"n{i}", f"10.1.{i}.0/24") for i in range(5)]
    found = resolve([facts("wide", "10.1.0.0/16", age=1), *inside])
    assert ranges(found, "wide") == ["10.1.0.0/16"]
    assert said(found) == [(each.name, "PodCIDRTaken") for each in inside]


def test_a_range_that_was_lost_stands_in_nobodys_way():
    """Between the oldest and the youngest is one that overlaps both, and has lost."""
    oldest, middle = facts("oldest", "10.1.0.0/24", age=9), facts("middle", "10.1.0.0/16", age=5)
    youngest = facts("youngest", "10.1.9.0/24")
    found = resolve([youngest, middle, oldest])
    assert ranges(found, "oldest") == ["10.1.0.0/24"]
    assert ranges(found, "middle") == []
    assert ranges(found, "youngest") == ["10.1.9.0/24"]


def test_only_the_contested_family_is_lost():
    found = resolve([facts("old", "10.1.0.0/24", "fd00:1::/64", age=5), facts("young", "10.1.0.0/24", "fd00:2::/64")])
    assert ranges(found, "young") == ["fd00:2::/64"]


def test_equal_numbers_of_two_families_are_no_overlap():
    found = resolve([facts("a", "0.0.0.0/8"), facts("b", "::/104")])
    assert found.problems == ()


def test_nodes_of_one_age_are_taken_by_name():
    found = resolve([facts("b", "10.1.0.0/24"), facts("a", "10.1.0.0/24")])
    assert ranges(found, "a") == ["10.1.0.0/24"]
    assert said(found) == [("b", "PodCIDRTaken")]


def test_a_node_without_a_time_is_the_oldest():
    found = resolve([facts("dated", "10.1.0.0/24", age=999), facts("undated", "10.1.0.0/24", age=None)])
    assert ranges(found, "undated") == ["10.1.0.0/24"]


def test_the_order_in_which_nodes_come_does_not_matter():
    nodes = [facts("a", "10.1.0.0/16", age=1, dpid=1), facts("b", "10.1.1.0/24", age=3, dpid=1),
             facts("c", "10.1.2.0/24", age=2, dpid=2), facts("d", age=4)]  # fmt: skip
    first, *others = (resolve(each) for each in permutations(nodes))
    assert all(other == first for other in others)


def test_the_older_node_keeps_a_datapath_id():
    found = resolve([facts("young", "10.2.0.0/24", dpid=0xAB), facts("old", "10.1.0.0/24", age=5, dpid=0xAB)])
    assert found.by_datapath() == {0xAB: "old"}
    assert found.nodes["young"].datapath_id is None
    assert said(found) == [("young", "DatapathIdTaken")]
    assert "00000000000000ab is that of the older node old" in found.problems[0].message


def test_a_node_without_a_range_takes_part_and_is_reported():
    found = resolve([facts("bare", dpid=7)])
    assert found.by_datapath() == {7: "bare"}
    assert said(found) == [("bare", "NoPodCIDR")]


def test_a_node_that_lost_its_ranges_is_not_told_that_it_has_none():
    assert said(resolve([facts("a", "10.1.0.0/24"), facts("b", "10.1.0.0/24")])) == [("b", "PodCIDRTaken")]


@pytest.mark.parametrize("cidr", ["10.1.0.4/31", "10.1.0.5/32", "255.255.255.255/32", "fd00::/127", "fd00::1/128"])
def test_a_range_too_small_for_a_gateway_and_a_pod_is_not_used(cidr):
    found = resolve([facts("a", cidr), facts("b", "10.1.0.0/24" if "." in cidr else "fd00::/64")])
    assert ranges(found, "a") == []
    assert found.nodes["b"].pod_cidrs != (), "it stands in nobody's way"
    assert said(found) == [("a", "PodCIDRTooSmall")]
    assert cidr in found.problems[0].message


@pytest.mark.parametrize("cidr", ["10.1.0.4/30", "fd00::4/126"])
def test_four_addresses_are_enough(cidr):
    assert resolve([facts("a", cidr)]).problems == ()


def test_no_nodes():
    found = resolve([])
    assert (dict(found.nodes), found.problems) == ({}, ())


def annotated(**annotations):
    said = {f"weft.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    meta = Meta("n1", "", "", "1", {}, said, BIRTH, deleting=False)
    return Node(meta, (ip_network("10.1.0.0/24"),), ())


def test_facts_come_from_the_node_and_its_annotations():
    node = annotated(tunnel_ip="192.0.2.1", ovsdb="tcp:192.0.2.1:6640", datapath_id="00000000000000ff")
    expected = NodeFacts("n1", BIRTH, node.pod_cidrs, ip_address("192.0.2.1"), 255, "tcp:192.0.2.1:6640")
    assert node_facts(node) == expected


def test_a_node_whose_agent_has_not_run_yet_has_no_facts_but_its_ranges():
    assert node_facts(annotated()) == NodeFacts("n1", BIRTH, annotated().pod_cidrs, None, None, None)


def test_a_broken_annotation_is_an_error_that_names_it():
    with pytest.raises(ParseError, match=r"Node n1: annotation weft\.dev/datapath-id is 'ff'"):
        node_facts(annotated(datapath_id="ff"))
