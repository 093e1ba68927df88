"""Which address a pod gets, and what is said when it gets none."""

from ipaddress import ip_address, ip_network

import pytest

from node_agent.ipam import Bounds, Exhausted, PoolError, Pools, Unavailable, Wish, gateway_address, next_hop_address

NONE: frozenset = frozenset()


def pools(*cidrs):
    return Pools(tuple(map(ip_network, cidrs)))


def ips(*texts):
    return tuple(map(ip_address, texts))


def test_the_first_pod_gets_the_address_after_the_gateway():
    assert pools("10.1.0.0/24").allocate(NONE, ()) == ips("10.1.0.2")


def test_dual_stack_gives_one_of_each_family_in_the_order_of_the_cidrs():
    both = pools("fd00:1::/64", "10.1.0.0/24")
    assert both.allocate(NONE, ()) == ips("fd00:1::2", "10.1.0.2")


def test_ipv6_alone():
    assert pools("fd00:1::/120").allocate(NONE, ()) == ips("fd00:1::2")


def test_a_freed_address_rests_until_the_pool_has_been_gone_round():
    pool = pools("10.1.0.0/29")  # .2 to .6 are for pods
    last = pool.allocate(NONE, ())
    given = [last]
    for _ in range(5):
        last = pool.allocate(NONE, last)  # each is free again at once
        given.append(last)
    assert [str(ip) for (ip,) in given] == [f"10.1.0.{n}" for n in (2, 3, 4, 5, 6, 2)]


def test_the_result_is_where_the_next_allocation_goes_on_for_each_family():
    both = pools("10.1.0.0/24", "fd00:1::/64")
    assert both.allocate(NONE, ips("10.1.0.99", "fd00:1::1:0")) == ips("10.1.0.100", "fd00:1::1:1")


def test_addresses_in_use_are_passed_over():
    assert pools("10.1.0.0/24").allocate(set(ips("10.1.0.2", "10.1.0.3")), ()) == ips("10.1.0.4")


def test_a_cursor_from_another_cidr_counts_for_nothing():
    assert pools("10.2.0.0/24").allocate(NONE, ips("10.1.0.77")) == ips("10.2.0.2")


def test_after_the_last_address_comes_the_first():
    assert pools("10.1.0.0/24").allocate(NONE, ips("10.1.0.254")) == ips("10.1.0.2")


def test_ipv6_has_no_broadcast_address():
    assert pools("fd00:1::/126").allocate(set(ips("fd00:1::2")), ()) == ips("fd00:1::3")


def test_the_smallest_cidr_holds_one_pod():
    pool = pools("10.1.0.0/30")
    assert pool.allocate(NONE, ()) == ips("10.1.0.2")
    with pytest.raises(Exhausted):
        pool.allocate(set(ips("10.1.0.2")), ())


def test_exhaustion_names_the_cidr_and_the_numbers():
    used = set(ips(*(f"10.1.0.{n}" for n in range(2, 7))))
    with pytest.raises(Exhausted, match=r"10\.1\.0\.0/29: of 8, 5 are in use and 3 reserved"):
        pools("10.1.0.0/29").allocate(used, ())


def test_exhaustion_of_one_family_is_exhaustion():
    with pytest.raises(Exhausted, match="fd00:1::/126"):
        pools("10.1.0.0/24", "fd00:1::/126").allocate(set(ips("fd00:1::2", "fd00:1::3")), ())


@pytest.mark.parametrize("cidr", ["10.1.0.0/31", "10.1.0.5/32", "fd00::/127", "fd00::1/128"])
def test_a_cidr_without_room_for_a_pod_is_refused(cidr):
    with pytest.raises(PoolError, match=f"podCIDR {cidr} is too small"):
        pools(cidr)


def test_two_cidrs_of_one_family_are_refused():
    with pytest.raises(PoolError, match=r"more than one IPv4 podCIDR on one node: 10\.1\.0\.0/24, 10\.2\.0\.0/24"):
        pools("10.1.0.0/24", "10.2.0.0/24")


def test_a_node_without_cidr_is_refused_with_advice():
    with pytest.raises(PoolError, match=r"no podCIDR.*allocate-node-cidrs"):
        pools()


def test_a_requested_address_is_given():
    both = pools("10.1.0.0/24", "fd00:1::/64")
    assert both.allocate(NONE, (), Wish(ips("fd00:1::abcd"))) == ips("10.1.0.2", "fd00:1::abcd")


@pytest.mark.parametrize(
    ("requested", "why"),
    [
        (["10.9.0.5"], r"10\.9\.0\.5 is not in 10\.1\.0\.0/24"),
        (["10.1.0.1"], r"10\.1\.0\.1 is reserved in 10\.1\.0\.0/24"),
        (["10.1.0.255"], r"10\.1\.0\.255 is reserved"),
        (["10.1.0.8"], r"10\.1\.0\.8 is in use by another pod"),
        (["10.1.0.5", "10.1.0.6"], "more than one address requested in 10"),
        (["fd00::5"], "fd00::5 is not in"),
    ],
)
def test_a_requested_address_that_cannot_be_given_is_refused_with_the_reason(requested, why):
    pool = pools("10.1.0.0/24")
    with pytest.raises(Unavailable, match=why):
        pool.allocate(set(ips("10.1.0.8")), (), Wish(ips(*requested)))


def test_a_64_is_allocated_from_without_being_walked():
    pool = pools("fd00:1::/64")
    used = {pool.cidrs[0].network_address + n for n in range(2, 1000)}
    assert pool.allocate(used, ()) == ips("fd00:1::3e8")


def test_different_seeds_start_at_different_places_inside_the_pools():
    pool = pools("10.1.0.0/24", "fd00:1::/64")
    starts = {pool.start(seed) for seed in range(1000)}
    assert len(starts) == 1000
    assert all(v4 in pool.cidrs[0] and v6 in pool.cidrs[1] for v4, v6 in starts)
    assert pool.allocate(NONE, pool.start(10)) == ips("10.1.0.11", "fd00:1::b")


def test_the_node_keeps_the_first_two_addresses_for_itself():
    for cidr, hop, gateway in (("10.1.0.0/24", "10.1.0.0", "10.1.0.1"), ("fd00:1::/64", "fd00:1::", "fd00:1::1")):
        assert next_hop_address(ip_network(cidr)) == ip_address(hop)
        assert gateway_address(ip_network(cidr)) == ip_address(gateway)


# Bounds: where a namespace's pods, or those that a runtime asks for, may have addresses.


def bounds(name, *texts):
    return Bounds(name, tuple((network[0], network[-1]) for network in map(ip_network, texts)))


def test_an_address_is_given_out_of_the_bounds_and_of_any_if_they_have_none_of_its_family():
    both = pools("10.1.0.0/24", "fd00:1::/64")
    wish = Wish(within=(bounds("team", "10.1.0.64/26", "10.2.0.0/16"),))
    assert both.allocate(NONE, (), wish) == ips("10.1.0.64", "fd00:1::2")
    assert both.allocate(NONE, ips("10.1.0.127", "fd00:1::5"), wish) == ips("10.1.0.64", "fd00:1::6")


def test_a_range_may_count_from_the_beginning_of_the_podcidr():
    wish = Wish(within=(bounds("team", "0.0.0.128/25", "::1:0/112"),))
    assert pools("10.1.7.0/24", "fd00:1::/64").allocate(NONE, (), wish) == ips("10.1.7.128", "fd00:1::1:0")
    assert pools("10.1.8.0/24").allocate(NONE, ips("10.1.8.254"), wish) == ips("10.1.8.128")


def test_others_get_no_address_of_bounds_that_are_anothers():
    wish = Wish(apart=(bounds("team", "10.1.0.0/25"), bounds("other", "0.0.0.192/26")))
    assert pools("10.1.0.0/24").allocate(NONE, ips("10.1.0.191"), wish) == ips("10.1.0.128")


def test_bounds_within_bounds():
    wish = Wish(within=(bounds("team", "10.1.0.0/25"), bounds("asked", "10.1.0.64/26", "10.1.0.128/26")))
    assert pools("10.1.0.0/24").allocate(NONE, ips("10.1.0.127"), wish) == ips("10.1.0.64")


def test_what_is_reserved_is_so_within_bounds():
    wish = Wish(within=(bounds("team", "10.1.0.0/30"),))
    assert pools("10.1.0.0/24").allocate(NONE, (), wish) == ips("10.1.0.2")
    with pytest.raises(
        Exhausted, match=r"no free address in team: of 4, 2 are in use and 2 reserved; .* larger range"
    ):
        pools("10.1.0.0/24").allocate(set(ips("10.1.0.2", "10.1.0.3")), (), wish)


def test_bounds_that_miss_the_podcidr_are_told_by_name():
    with pytest.raises(
        Unavailable,
        match=r"team \(10\.2\.0\.0 to 10\.2\.0\.255\) has no address in this node's podCIDR 10\.1\.0\.0/24",
    ):
        pools("10.1.0.0/24").allocate(NONE, (), Wish(within=(bounds("team", "10.2.0.0/24"),)))


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish(ips("10.1.0.9"), within=(bounds("team", "10.1.0.64/26"),)), r"10\.1\.0\.9 is not in team"),
        (Wish(ips("10.1.0.9"), apart=(bounds("team", "10.1.0.0/26"),)), r"is in team, which is for that namespace"),
    ],
)  # fmt: skip
def test_a_requested_address_has_to_keep_to_the_bounds(wish, why):
    with pytest.raises(Unavailable, match=why):
        pools("10.1.0.0/24").allocate(NONE, (), wish)
