"""What the agent makes of the Nodes: its own ranges, the others' ranges and addresses, and why it has none."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from cluster_fixture import broken, node, pod

from kube.changes import Applied, Connected, Deleted, Disconnected, Listed, Refused
from node_agent.view import NodeBook, stranded
from ovsdb.rows import AttachmentKey, PodPort

N1 = replace(node("n1", ["10.1.0.0/24", "fd00:1::/64"]), internal_ips=(ip_address("192.0.2.201"),))
N2 = node("n2", ["10.2.0.0/24", "fd00:2::/64"], tunnel_ip=ip_address("192.0.2.2"))
N3 = node("n3", ["10.3.0.0/24"], tunnel_ip=None)


def view(*changes, own="n1"):
    book = NodeBook(own)
    for change in changes:
        book.apply(change)
    return book.view()


def listed(*nodes, refused=()):
    return Listed("Node", nodes, frozenset(refused))


def networks(*texts):
    return tuple(map(ip_network, texts))


def test_before_the_nodes_are_listed_nothing_is_known():
    assert view().problem == "the Node object of this node has not been read yet"
    assert view(Applied(N1)).problem == "the Node object of this node has not been read yet"


def test_its_own_ranges_addresses_and_annotations():
    found = view(listed(N1, N2))
    assert found.problem == ""
    assert found.pod_cidrs == N1.pod_cidrs
    assert found.internal_ips == N1.internal_ips
    assert found.annotations == N1.meta.annotations


def test_the_others_ranges_in_order_and_their_tunnel_addresses():
    found = view(listed(N3, N1, N2))
    assert found.remote_pod_cidrs == networks("10.2.0.0/24", "10.3.0.0/24", "fd00:2::/64")
    assert found.tunnel_peers == (ip_address("192.0.2.2"),)


def test_the_order_in_which_nodes_come_does_not_matter():
    assert view(listed(N1, N2, N3)) == view(listed(N3), Applied(N2), Applied(N1)) == view(listed(N2, N3, N1))


def test_changes_are_followed():
    moved = replace(N2, pod_cidrs=networks("10.9.0.0/24"))
    assert view(listed(N1, N2), Applied(moved)).remote_pod_cidrs == moved.pod_cidrs
    assert view(listed(N1, N2), Deleted("Node", "n2")).remote_pod_cidrs == ()
    assert view(listed(N1, N2), listed(N1)).remote_pod_cidrs == ()
    assert view(listed(N1), Applied(N2)).remote_pod_cidrs == N2.pod_cidrs


def test_a_node_of_this_name_must_exist():
    assert view(listed(N2)).problem == "there is no Node n1: is the setting node-name right?"
    assert view(listed(N1), Deleted("Node", "n1")).problem.startswith("there is no Node n1")
    assert view(listed(N1), listed(N2)).problem.startswith("there is no Node n1")
    assert view(listed(N1), listed(N2), Applied(N1)).problem == ""


def test_a_node_without_a_range_says_what_to_do():
    found = view(listed(replace(N1, pod_cidrs=())))
    assert found.pod_cidrs == ()
    assert found.problem.startswith("Node n1: spec.podCIDRs is empty, so its pods get no address: let ")


def test_a_range_that_is_an_older_nodes_is_not_used_here():
    older = node("n0", ["10.1.0.0/16"], age=9)
    found = view(listed(N1, older))
    assert found.pod_cidrs == networks("fd00:1::/64")
    assert found.problem == "", "it has a range still"
    only = view(listed(replace(N1, pod_cidrs=networks("10.1.0.0/24")), older))
    assert only.problem.startswith("Node n1: spec.podCIDRs 10.1.0.0/24 overlaps a range of the older node n0")


def test_a_range_of_another_node_that_is_ours_does_not_count():
    younger = node("n9", ["10.1.0.0/16"], age=-9)
    found = view(listed(N1, younger))
    assert found.pod_cidrs == N1.pod_cidrs
    assert found.remote_pod_cidrs == ()


def test_another_node_that_cannot_be_read_keeps_what_was_known():
    assert view(listed(N1, N2), Applied(broken(N2))) == view(listed(N1, N2))
    assert view(listed(N1, N2), listed(N1, refused=["n2"])) == view(listed(N1, N2))
    assert view(listed(N1, N2), Refused("Node", "n2", "no")) == view(listed(N1, N2))


def test_another_node_that_never_could_be_read_is_not_known():
    assert view(listed(N1, broken(N2))).remote_pod_cidrs == ()


def test_its_own_annotations_need_not_be_readable():
    """They are this agent's to write; a mistake in them must not keep it from mending it."""
    wrong = broken(N1)
    for found in (view(listed(wrong, N2)), view(listed(N1, N2), Applied(wrong))):
        assert found.problem == ""
        assert found.pod_cidrs == N1.pod_cidrs
        assert found.annotations == wrong.meta.annotations
        assert found.remote_pod_cidrs == N2.pod_cidrs


def test_its_own_node_when_it_cannot_be_read_at_all_keeps_what_was_known():
    assert view(listed(N1, N2), listed(N2, refused=["n1"])) == view(listed(N1, N2))


def test_what_is_no_node_and_no_change_of_one_is_passed_over():
    before = view(listed(N1, N2))
    assert view(listed(N1, N2), Applied(pod("web")), Connected("Node"), Disconnected("Node", "reset")) == before


def port(pod, *ips):
    key = AttachmentKey("weft", pod, "eth0")
    return PodPort(pod, key, "default", pod, "", "0a:00:00:00:00:01", tuple(map(ip_address, ips)), "/x")


def test_a_range_that_has_the_addresses_of_all_pods_can_be_used():
    ranges = networks("10.1.0.0/24", "fd00:1::/64")
    assert stranded("n1", ranges, []) == ""
    assert stranded("n1", ranges, [port("web", "10.1.0.5", "fd00:1::5"), port("old", "10.1.0.6")]) == ""
    assert stranded("n1", networks("10.1.0.0/16"), [port("web", "10.1.0.5")]) == "", "it was widened"


def test_a_range_that_lacks_a_pods_address_waits_for_the_pod():
    told = stranded("n1", networks("10.9.0.0/24", "fd00:1::/64"), [port("web", "10.1.0.5", "fd00:1::5")])
    assert told.startswith("Node n1: spec.podCIDRs is 10.9.0.0/24, fd00:1::/64 now, and 1 of its pods")
    assert "(default/web)" in told
    assert stranded("n1", networks("10.1.0.0/24"), [port("web", "10.1.0.5", "fd00:1::5")]) != "", "a family is gone"


def test_of_many_such_pods_some_are_named_always_the_same():
    ports = [port(f"p{n}", f"10.1.0.{n}") for n in range(5)]
    told = stranded("n1", networks("10.9.0.0/24"), ports)
    assert "5 of its pods have other addresses (default/p0, default/p1, default/p2, ...)" in told
    assert stranded("n1", networks("10.9.0.0/24"), ports[::-1]) == told
