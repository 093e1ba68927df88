"""Which pods and which networks are one party to policies, and how parties are called."""

from __future__ import annotations

from ipaddress import ip_network

from policy_objects_fixture import Obj, apps, block, objects, pod, policy

from controller.policy.reach import Reach, reach
from kube.objects import IPNetwork

RANGES = tuple(map(ip_network, ("10.1.0.0/24", "10.1.1.0/24")))


def _reach(
    *policies: Obj, version: int = 4, ranges: tuple[IPNetwork, ...] = RANGES, **world: tuple[Obj, ...]
) -> Reach:
    return reach(objects(*policies, **world).engine, version, ranges)


def _names(found: Reach) -> list[str]:
    return [party.name for party in found.parties]


def _to_web(*peers: Obj) -> Obj:
    return policy("shop/web", "web", ingress=[{"from": [*peers]}])


def test_labels_make_parties_only_where_a_rule_mentions_them() -> None:
    assert _names(_reach()) == ["bank[]", "shop[]", "outside"]
    found = _reach(_to_web(apps("cart")))
    assert _names(found) == ["bank[]", "shop[app=cart]", "shop[app=web]", "outside"]
    assert [party.pods for party in found.parties] == [
        ("bank/teller-1",), ("shop/cart-1",), ("shop/web-1", "shop/web-2"), (),
    ]  # fmt: skip


def test_pods_are_told_apart_where_a_network_has_some_of_their_addresses() -> None:
    found = _reach(policy("shop/cart", "cart", egress=[{"to": [block("10.1.1.0/24"), block("203.0.113.0/24")]}]))
    assert _names(found) == [
        "bank[]", "shop[app=cart]", "shop[app=web] in 0.0.0.0/0 except 10.1.1.0/24, 203.0.113.0/24",
        "shop[app=web] in 10.1.1.0/24", "outside", "outside 10.1.1.0/24, 203.0.113.0/24",
    ]  # fmt: skip
    assert [party.pods for party in found.parties if party.split] == [("shop/web-1",), ("shop/web-2",)]


def test_what_is_outside_are_networks_without_those_in_them() -> None:
    found = _reach(
        _to_web(block("203.0.113.0/24", "203.0.113.64/26"), block("198.51.100.0/24"), block("192.0.2.1/32"))
    )
    assert _names(found)[-2:] == ["outside", "outside 192.0.2.1/32, 198.51.100.0/24 and 1 more"]
    assert list(map(str, found.parties[-1].spans)) == [
        "192.0.2.1/32", "198.51.100.0/24", "203.0.113.0/24 except 203.0.113.64/26",
    ]  # fmt: skip
    assert _names(_reach(_to_web(block("0.0.0.0/0", "10.0.0.0/8"))))[-2:] == [
        "outside 0.0.0.0/0 except 10.0.0.0/8", "outside 10.0.0.0/8",
    ]  # fmt: skip


def test_networks_that_only_pods_have_are_not_outside_unless_a_node_calls_itself_so() -> None:
    assert _names(_reach(_to_web(block("10.1.0.3/32"))))[-1] == "outside"
    assert _names(_reach(_to_web(block("10.1.0.1/32"))))[-1] == "outside 10.1.0.1/32"
    assert _names(_reach(_to_web(block("10.1.0.3/32")), ranges=()))[-1] == "outside 10.1.0.3/32"


def test_one_family_at_a_time() -> None:
    policies = _to_web(block("203.0.113.0/24"), block("fd00::/64", "fd00::8/125"))
    assert [str(span) for party in _reach(policies).parties for span in party.spans if "fd00" in str(span)] == []
    assert _names(_reach(policies, version=6, ranges=()))[-2:] == [
        "outside", "outside fd00::/64 except fd00::8/125",
    ]  # fmt: skip


def test_a_pod_that_others_have_taken_the_address_of_is_no_party() -> None:
    old, new = (
        pod("shop/web-1", "alpha", "10.1.0.2"),
        pod("bank/new-1", "alpha", "10.1.0.2", created="2026-02-01T00:00:00Z"),
    )
    assert [party.pods for party in _reach(pods=(old, new)).parties] == [("bank/new-1",), ()]


def test_pods_with_the_nodes_own_network_are_none() -> None:
    assert _names(_reach(pods=(pod("shop/agent-1", "alpha", "192.0.2.1", hostNetwork=True),))) == ["outside"]


def test_a_pod_alone_of_its_kind_and_outside_do_not_meet_themselves() -> None:
    found = _reach(_to_web(apps("cart")))
    assert {source.name for source, target in found.allowed if source is target} == {"shop[app=web]"}
