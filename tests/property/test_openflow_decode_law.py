"""The law of decoding: nothing that Weft or anybody else can install is lost or refused."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from openflow_strategies import flows, foreign_flows, group_entries

from openflow.codec import EXPIRES, Encoded, encode
from openflow.decode import RawInstruction, decode
from openflow.errors import DecodeError
from openflow.groups import EncodedGroup, decode_group, encode_group, ofctl_group
from openflow.ofctl import ofctl
from openflow.render import named


@given(flows())
def test_what_weft_sends_decodes_to_an_equal_flow(flow):
    assert decode(encode(flow)) == flow


@given(foreign_flows())
def test_what_others_install_decodes_without_loss(encoded):
    assert encode(decode(encoded)) == encoded


@given(flows() | foreign_flows().map(decode))
def test_every_flow_can_be_shown(flow):
    assert f"table={flow.table},priority={flow.priority}" in ofctl(flow)
    assert all(named(flow))


@given(flows())
def test_timeouts_and_flags_of_a_foreign_flow_are_shown(flow):
    key, body = encode(flow)
    decoded = decode(Encoded(key, body + EXPIRES))
    assert decoded.actions == (*flow.actions, RawInstruction(EXPIRES))
    assert named(decoded).actions.endswith("expires")


@given(foreign_flows() | flows().map(encode), st.data())
def test_bytes_that_end_too_early_are_a_decode_error_and_nothing_else(encoded, data):
    key, body = encoded
    cut = Encoded(key[: data.draw(st.integers(0, len(key)))], body[: data.draw(st.integers(0, len(body)))])
    try:
        flow = decode(cut)
    except DecodeError:
        return
    # Only a cut between two pieces goes unseen, and then what is left is what it was.
    assert encode(flow) == cut


@given(st.binary(max_size=80), st.binary(max_size=120))
def test_noise_is_a_flow_or_a_decode_error(key, body):
    with suppress(DecodeError):
        assert all(named(decode(Encoded(key, body))))


@given(group_entries())
def test_a_group_decodes_to_an_equal_group_and_can_be_shown(group):
    assert decode_group(encode_group(group)) == group
    assert ofctl_group(group).startswith(f"group_id={group.number},type=")


@given(group_entries().map(encode_group), st.binary(max_size=60), st.data())
def test_bytes_that_are_no_group_of_ours_are_a_decode_error_and_nothing_else(group, noise, data):
    cut = group.body[: data.draw(st.integers(0, len(group.body)))]
    for body in (cut, cut + noise, noise):
        with suppress(DecodeError):
            assert encode_group(decode_group(EncodedGroup(1, body))).body == body
