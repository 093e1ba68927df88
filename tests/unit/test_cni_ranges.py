"""`runtimeConfig.ipRanges` and `addressPools` (C13, C44, C45)."""

from ipaddress import ip_address

import pytest

from cni.errors import CniError, ErrorCode
from cni.ranges import ANYWHERE, AddressRange, AskedRanges, parse_asked, parse_pools


def span(first, last):
    return AddressRange(ip_address(first), ip_address(last))


def refusal(parse, given):
    with pytest.raises(CniError) as caught:
        parse(given)
    assert caught.value.code is ErrorCode.INVALID_NETWORK_CONFIG
    return caught.value.msg


def test_c44_ranges_of_both_families_with_what_host_local_lets_one_say():
    asked = [
        [
            {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.20", "gateway": "10.1.0.1"},
            {"subnet": "10.1.0.128/25"},
        ],
        [{"subnet": "fd00::/64", "rangeStart": "fd00::10"}],
    ]
    wanted = AskedRanges(
        (
            span("10.1.0.10", "10.1.0.20"),
            span("10.1.0.128", "10.1.0.255"),
            span("fd00::10", "fd00::ffff:ffff:ffff:ffff"),
        ),
        (ip_address("10.1.0.1"),),
    )
    assert parse_asked({"ipRanges": asked}) == wanted


def test_c45_keys_of_ranges_match_in_any_case():
    asked = [[{"Subnet": "10.1.0.0/24", "RangeStart": "10.1.0.10", "RangeEnd": "10.1.0.20"}]]
    assert parse_asked({"IPRanges": asked}) == AskedRanges((span("10.1.0.10", "10.1.0.20"),))


@pytest.mark.parametrize("runtime", [{}, {"ipRanges": None}, {"ipRanges": []}])
def test_c44_no_ranges_are_anywhere(runtime):
    assert parse_asked(runtime) == ANYWHERE


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ([[{}]], "subnet is missing"),
        ([[{"subnet": "10.1.0.0/33"}]], "10.1.0.0/33"),
        ([[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}]], "10.2.0.1 to 10.1.0.255 is no range within"),
        ([[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"}]], "10.1.0.9 to 10.1.0.8"),
        ([[{"subnet": "10.1.0.0/24", "rangeEnd": "fd00::1"}]], "10.1.0.0 to fd00::1 is no range within"),
        ([[{"subnet": "10.1.0.0/24", "gateway": "me"}]], "'me'"),
        ([[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]], "one address of each family"),
        ([[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]], "one address of each family"),
        ([[]], "one address of each family"),
        ([{"subnet": "10.1.0.0/24"}], "Expected `array`"),
        ("10.1.0.0/24", "Expected `array`"),
        ([[{"subnet": {"a": 1}}]], 'runtimeConfig.ipRanges.subnet={"a":1}'),
        ([[{"subnet": 5}]], "runtimeConfig.ipRanges.subnet=5"),
    ],
)
def test_c44_ranges_that_cannot_be_read_are_refused_by_key_and_value(asked, why):
    told = refusal(parse_asked, {"ipRanges": asked})
    assert "runtimeConfig.ipRanges" in told
    assert why in told


def test_pools_by_namespace():
    pools = parse_pools({"addressPools": {"a": ["10.1.0.0/25", "::80/121"], "b": ["0.0.0.64/26"]}})
    assert pools == {
        "a": (span("10.1.0.0", "10.1.0.127"), span("::80", "::ff")),
        "b": (span("0.0.0.64", "0.0.0.127"),),
    }
    assert parse_pools({"AddressPOOLS": {"a": ["10.1.0.0/25"]}}) == {"a": (span("10.1.0.0", "10.1.0.127"),)}
    assert parse_pools({}) == parse_pools({"addressPools": None}) == {}


def test_ranges_of_one_namespace_may_overlap_and_those_of_two_may_not():
    parse_pools({"addressPools": {"a": ["10.1.0.0/24", "10.1.0.0/25"]}})
    told = refusal(parse_pools, {"addressPools": {"a": ["10.1.0.0/24"], "b": ["10.2.0.0/24", "10.1.0.192/26"]}})
    assert told.endswith('addressPools.b="10.1.0.192 to 10.1.0.255": overlaps with addressPools.a')
    inner = {"a": ["10.1.0.0/16", "10.1.1.0/24"], "b": ["10.1.9.0/24"]}
    assert "overlaps with addressPools.a" in refusal(parse_pools, {"addressPools": inner})


@pytest.mark.parametrize(
    ("pools", "named"),
    [
        ({"a": ["10.1.0.1/24"]}, 'addressPools.a="10.1.0.1/24": expected a CIDR'),
        ({"a": "10.1.0.0/24"}, 'addressPools.a="10.1.0.0/24"'),
        (["10.1.0.0/24"], 'addressPools=["10.1.0.0/24"]'),
    ],
)
def test_c13_pools_that_cannot_be_read_are_refused_by_key_and_value(pools, named):
    assert named in refusal(parse_pools, {"addressPools": pools})
