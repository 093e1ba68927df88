"""The law of templates: a pod's flows as bytes are its flows, encoded."""

from hypothesis import given
from hypothesis import strategies as st

from openflow.codec import encode
from openflow.features import pod
from openflow.fields import IdentityId, OfPort

names = st.text("abcxyz0-", min_size=1, max_size=8)
v4, v6 = st.ip_addresses(v=4), st.ip_addresses(v=6)


@st.composite
def guests(draw) -> pod.LocalPod:
    # 0x25 is "%", which means something in the formats that templates are made of.
    port = draw(st.integers(0, 0xFFFFFFFF) | st.just(0x25256225))
    mac = draw(st.binary(min_size=6, max_size=6) | st.just(b"%b%s%d")).hex(":")
    ips = draw(st.one_of(st.tuples(v4), st.tuples(v6), st.tuples(v4, v6), st.tuples(v6, v4)))
    identity = IdentityId(draw(st.integers(0, (1 << 64) - 1)))
    return pod.LocalPod(draw(names), draw(names), OfPort(port), mac, ips, identity)


@given(guests())
def test_a_pods_bytes_are_its_flows_encoded(guest):
    assert pod.encoded(guest) == tuple(map(encode, pod.flows(guest)))
