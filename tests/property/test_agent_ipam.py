"""Allocation, for any history: never twice, never reserved, and an address if and only if one is free."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.ipam import ANY, Exhausted, Pools, Unavailable, Wish, never_given

NETWORKS = {"10.1.0.0": (24, 30), "fd00:1::": (118, 126)}


@st.composite
def cidrs(draw):
    """One CIDR of a family, or one of each."""
    bases = draw(st.lists(st.sampled_from(sorted(NETWORKS)), min_size=1, max_size=2, unique=True))
    return tuple(ip_network(f"{base}/{draw(st.integers(*NETWORKS[base]))}") for base in bases)


@st.composite
def situations(draw):
    """Pools, a set in use (with addresses of others too) and a place where the last allocation ended."""
    networks = draw(cidrs())
    everything = [ip for cidr in networks for ip in cidr]
    some = st.sets(st.sampled_from(everything))
    full = st.builds(lambda free: set(everything) - free, st.sets(st.sampled_from(everything), max_size=3))
    last = tuple(draw(st.sampled_from(list(cidr))) for cidr in networks)
    return Pools(networks), draw(some | full), draw(st.just(()) | st.just(last))


def free(cidr, used):
    return set(cidr) - used - never_given(cidr)


def attempt(pools, used, last, wish=ANY):
    """The addresses given, or the CIDR that is exhausted."""
    try:
        return pools.allocate(used, last, wish)
    except Exhausted as e:
        return e.cidr


@given(situations())
def test_an_address_is_found_if_and_only_if_one_is_free(situation):
    pools, used, last = situation
    available = [free(cidr, used) for cidr in pools.cidrs]
    result = attempt(pools, used, last)
    if not isinstance(result, tuple):
        assert not free(result, used)
    else:
        assert all(ip in choice for ip, choice in zip(result, available, strict=True))


@given(situations(), st.data())
def test_a_requested_address_is_given_if_and_only_if_it_is_free(situation, data):
    pools, used, last = situation
    cidr = data.draw(st.sampled_from(pools.cidrs))
    wanted = data.draw(st.sampled_from(list(cidr)))
    if wanted not in free(cidr, used):
        with pytest.raises((Unavailable, Exhausted)):
            pools.allocate(used, last, Wish((wanted,)))
    else:
        result = attempt(pools, used, last, Wish((wanted,)))
        assert wanted in result if isinstance(result, tuple) else result != cidr


@given(cidrs(), st.integers(min_value=0), st.lists(st.integers(0, 400), max_size=60))
def test_no_history_of_adding_and_deleting_gives_an_address_twice(networks, seed, history):
    """A number beyond the pods that live adds one; any other deletes that pod."""
    pools = Pools(networks)
    last = pools.start(seed)
    living: list[tuple] = []
    for choice in history:
        if choice < len(living):
            living.pop(choice)
            continue
        used = {ip for ips in living for ip in ips}
        result = attempt(pools, used, last)
        if isinstance(result, tuple):
            last = result
            assert used.isdisjoint(last)
            living.append(last)
        else:
            assert not free(result, used)


@given(cidrs(), st.integers(min_value=0))
def test_an_address_comes_back_only_after_every_other_was_given(networks, seed):
    pools = Pools(networks)
    smallest = min(len(free(cidr, set())) for cidr in networks)
    last = pools.start(seed)
    given_ips = []
    for _ in range(smallest):
        last = pools.allocate(frozenset(), last)
        given_ips.append(last)
    assert len(set(given_ips)) == smallest
