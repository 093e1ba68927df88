"""Ports and networks as matches: they cover exactly what they should, and no fewer would do for ports."""

from ipaddress import ip_address, ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from controller.policy.ports import port_matches
from controller.policy.prefixes import subtract

ports = st.integers(0, 65535)


@given(ports, ports)
def test_port_matches_are_exactly_the_range(one, two):
    first, last = sorted((one, two))
    found = list(port_matches(6, first, last))
    covered = sorted(port for match in found for port in range(match.value, match.value + 0x10000 - match.mask))
    assert covered == list(range(first, last + 1))
    assert all(match.value & ~match.mask == 0 for match in found)
    assert len(found) <= 30


@given(ports, ports)
def test_no_two_neighbouring_port_matches_could_be_one(one, two):
    found = list(port_matches(6, *sorted((one, two))))
    for left, right in pairwise(found):
        joined = left.mask << 1 & 0xFFFF
        assert left.mask != right.mask or left.value & joined != right.value & joined


@st.composite
def networks(draw, version):
    bits = 8 if version == 4 else 6  # of addresses that differ, so that networks meet
    length = (32 if version == 4 else 128) - draw(st.integers(0, bits))
    base = int(ip_address("10.0.0.0" if version == 4 else "fd00::"))
    return ip_network((base + draw(st.integers(0, (1 << bits) - 1)), length), strict=False)


@given(st.data(), st.sampled_from((4, 6)))
def test_subtraction_is_that_of_sets(data, version):
    whole = data.draw(networks(version))
    holes = data.draw(st.lists(networks(version), max_size=4))
    left = subtract(whole, holes)
    kept = [address for network in left for address in network]
    assert len(kept) == len(set(kept))
    assert set(kept) == {address for address in whole if not any(address in hole for hole in holes)}


@given(networks(4), networks(6))
def test_the_other_family_takes_nothing_away(four, six):
    assert subtract(four, [six]) == (four,)
    assert subtract(six, [four]) == (six,)
