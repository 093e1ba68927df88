"""The law of the policy tables' bytes: they are the flows of `features.policy`, encoded."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openflow.codec import encode
from openflow.features import policy
from openflow.features.policy import MOST_PARTS
from openflow.features.policy_bytes import PolicyBytes
from openflow.fields import IdentityId
from openflow.match import PortMatch

BYTES = {side.lookup: PolicyBytes(side) for side in (policy.EGRESS, policy.INGRESS)}
# 0x25 is "%", which means something in the formats that templates are made of.
words = st.integers(1, (1 << 64) - 1) | st.just(0x25256225_25732564)
identities = words.map(IdentityId)
conjunctions = st.integers(1, (1 << 32) - 1) | st.just(0x25622573)
parts = st.lists(
    st.tuples(conjunctions, st.integers(1, 2), st.integers(2, 4)), max_size=6, unique=True
)  # as a rule is, of two clauses and more
addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)
networks = st.tuples(addresses, st.integers(0, 128)).map(
    lambda each: ip_network(f"{each[0]}/{min(each[1], each[0].max_prefixlen)}", strict=False)
)
ports = st.builds(PortMatch, st.sampled_from((6, 17, 132)), st.integers(0, 0xFF00), st.just(0xFF00)).map(
    lambda match: match._replace(value=match.value & match.mask)
)


@pytest.mark.parametrize("side", [policy.EGRESS, policy.INGRESS], ids=("egress", "ingress"))
@given(who=identities, mark=words, named=parts, ip=addresses, net=networks, match=ports, rule=conjunctions)
def test_policy_bytes_are_policy_flows_encoded(side, who, mark, named, ip, net, match, rule):
    ours = BYTES[side.lookup]

    def encoded(*flows):
        return tuple(map(encode, flows))

    assert ours.address(ip, who, mark) == encoded(policy.address(side, ip, who, mark))
    assert ours.isolated(who, named, mark) == encoded(*policy.isolated(side, who, named, mark))
    assert ours.allowed(who, rule, mark) == encoded(*policy.allowed(side, who, rule, mark))
    assert ours.peer(who, named, mark) == encoded(*policy.peer(side, who, named, mark))
    assert ours.peer_network(net, named, mark) == encoded(*policy.peer_network(side, net, named, mark))
    assert ours.ports(match, named, mark) == encoded(*policy.ports(side, match, named, mark))
    assert ours.rule(rule, mark) == encoded(*policy.rule(side, rule, mark))


def test_too_many_parts_are_cut_at_the_same_place():
    named = [(number, 1, 2) for number in range(MOST_PARTS + 5, 0, -1)]
    flows = policy.peer(policy.INGRESS, IdentityId(7), named, 9)
    assert BYTES[policy.INGRESS.lookup].peer(IdentityId(7), named, 9) == tuple(map(encode, flows))
