"""The flows of the policy tables, one by one."""

from ipaddress import ip_address

import pytest

from openflow.actions import Conjunction
from openflow.codec import encode, flow_mod
from openflow.features import policy
from openflow.features.policy import EGRESS, INGRESS, MOST_PARTS
from openflow.fields import IdentityId
from openflow.match import PortMatch
from openflow.net import network
from openflow.render import Names, named

ID = IdentityId(0xAB)
NAMES = Names(owners={7: "owner"}, identities={ID: "shop[app=web]"})
PARTS = [(9, 2, 3), (5, 1, 2)]


def lines(*flows):
    return [str(named(flow, NAMES)) for flow in flows]


def test_who_has_an_address():
    assert lines(
        policy.address(EGRESS, ip_address("10.1.0.5"), ID, 7), policy.address(INGRESS, ip_address("fd00::5"), ID, 7)
    ) == [
        "EgressIdentity 30000 [ip_dst=10.1.0.5] DstIdentity:=shop[app=web], →EgressAdmin (owner)",
        "IngressIdentity 30000 [ip_src=fd00::5] SrcIdentity:=shop[app=web], →IngressAdmin (owner)",
    ]


def test_an_isolated_subject_is_a_clause_of_its_rules_and_dropped_where_none_allows():
    assert lines(*policy.isolated(INGRESS, ID, PARTS, 7)) == [
        "IngressPolicy 40000 [DstIdentity=shop[app=web]] conjunction(5, 1/2), conjunction(9, 2/3) (owner)",
        "IngressPolicy 30000 [DstIdentity=shop[app=web]] Disposition:=INGRESS_DENIED, →Commit (owner)",
    ]
    assert len(list(policy.isolated(EGRESS, ID, [], 7))) == 1


def test_a_subject_that_may_do_everything_skips_the_tiers_behind():
    assert lines(*policy.allowed(EGRESS, ID, 5, 7), *policy.allowed(INGRESS, ID, 5, 7)) == [
        "EgressPolicy 40000 [SrcIdentity=shop[app=web], ct=+new+trk] EgressRule:=0x5, →Route (owner)",
        "EgressPolicy 40000 [SrcIdentity=shop[app=web], ct=-new+trk] EgressRule:=0x5, →Route (owner)",
        "IngressPolicy 40000 [DstIdentity=shop[app=web], ct=+new+trk] IngressRule:=0x5, →Commit (owner)",
        "IngressPolicy 40000 [DstIdentity=shop[app=web], ct=-new+trk] IngressRule:=0x5, →Commit (owner)",
    ]


def test_peers_networks_and_ports_are_clauses():
    everything = network("0.0.0.0/0")
    assert lines(
        *policy.peer(EGRESS, ID, [(5, 2, 2)], 7),
        *policy.peer_network(INGRESS, everything, [(5, 2, 2)], 7),
        *policy.ports(EGRESS, PortMatch(17, 0x50, 0xFFF0), [(5, 2, 2)], 7),
        *policy.ports(EGRESS, PortMatch(132, 0, 0), [(5, 2, 2)], 7),
        *policy.rule(EGRESS, 5, 7),
    ) == [
        "EgressPolicy 40000 [DstIdentity=shop[app=web]] conjunction(5, 2/2) (owner)",
        "IngressPolicy 40000 [ip] conjunction(5, 2/2) (owner)",
        "EgressPolicy 40000 [udp, udp_dst=0x50/0xfff0] conjunction(5, 2/2) (owner)",
        "EgressPolicy 40000 [udp6, udp_dst=0x50/0xfff0] conjunction(5, 2/2) (owner)",
        "EgressPolicy 40000 [sctp] conjunction(5, 2/2) (owner)",
        "EgressPolicy 40000 [sctp6] conjunction(5, 2/2) (owner)",
        "EgressPolicy 40000 [ct=+new+trk, conj_id=5] EgressRule:=0x5, →Route (owner)",
        "EgressPolicy 40000 [ct=-new+trk, conj_id=5] EgressRule:=0x5, →Route (owner)",
    ]


def test_a_peer_that_no_rule_names_has_no_flow():
    assert list(policy.peer(EGRESS, ID, [], 7)) == []


@pytest.mark.parametrize("count", [MOST_PARTS, MOST_PARTS + 1])
def test_a_flow_with_many_rules_still_fits_a_message(count):
    (made,) = policy.peer(EGRESS, ID, [(number, 2, 3) for number in range(1, count + 1)], 7)
    assert len(made.actions) == MOST_PARTS
    assert made.actions[-1] == Conjunction(MOST_PARTS, 2, 3)
    assert len(flow_mod(0, encode(made), 1)) + 16 < 1 << 16
