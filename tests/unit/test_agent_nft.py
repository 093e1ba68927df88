"""The text of the nftables rules."""

from ipaddress import ip_network

import pytest

from node_agent.nft import NftError, Ruleset, render

DUAL = Ruleset("weft-gw0", (ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")), pod_group=7)

EXPECTED = """\
add table inet weft
delete table inet weft
table inet weft {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        iifgroup 7 counter drop comment "from a pod: Open vSwitch has its copy"
        iifname "weft-gw0" ip daddr 127.0.0.0/8 counter drop comment "from a pod to the node's own loopback addresses"
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 10.1.0.0/24 oifname != { "weft-gw0", "lo" } counter masquerade fully-random \
comment "pods to outside the cluster"
        ip6 saddr fd00:1::/64 oifname != { "weft-gw0", "lo" } counter masquerade fully-random \
comment "pods to outside the cluster"
    }
}
"""


def test_both_families_are_masqueraded_but_never_towards_the_gateway():
    assert render(DUAL) == EXPECTED


def test_interfaces_that_belong_to_the_switch_are_silent_in_a_stable_order():
    text = render(Ruleset("weft-gw0", (), pod_group=7, switched=("eth1", "eth0")))
    assert text.index('iifname "eth0" counter drop') < text.index('iifname "eth1" counter drop')


def test_a_single_family_has_no_rule_for_the_other():
    text = render(Ruleset("weft-gw0", (ip_network("fd00:1::/64"),), pod_group=7))
    assert "ip6 saddr" in text
    assert "ip saddr" not in text


def test_a_name_cannot_break_out_of_its_quotes():
    with pytest.raises(NftError, match="cannot be written"):
        render(Ruleset('x" accept; #', (ip_network("10.1.0.0/24"),), pod_group=7))
