"""The fast path against the slow one: every message of the codec is, byte for byte, what os-ken makes."""

import openflow_os_ken as os_ken
from hypothesis import given
from hypothesis import strategies as st
from openflow_os_ken import DATAPATH, ofp, parser
from openflow_strategies import flows, group_entries

from openflow import codec, groups
from openflow.codec import Change, Encoded

xids = st.integers(0, 0xFFFFFFFF)
bundles = st.integers(0, 0xFFFFFFFF)
ATOMIC_ORDERED = ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED


@given(flows(), xids)
def test_adding_a_flow(flow, xid):
    assert codec.flow_mod(codec.ADD, codec.encode(flow), xid) == os_ken.message(
        os_ken.flow_mod(flow, ofp.OFPFC_ADD), xid
    )


@given(flows(), xids)
def test_deleting_a_flow_strictly(flow, xid):
    key = codec.encode(flow).key
    theirs = os_ken.message(os_ken.flow_mod(flow, ofp.OFPFC_DELETE_STRICT), xid)
    assert codec.flow_mod(codec.DELETE_STRICT, Encoded(key, b""), xid) == theirs


@given(st.lists(flows(), max_size=3), st.lists(flows(), max_size=3), bundles, st.integers(0, 1 << 30))
def test_a_change_as_the_messages_of_a_bundle(added, deleted, number, first):
    change = Change(tuple(map(codec.encode, added)), tuple(codec.encode(flow).key for flow in deleted))
    mods = [os_ken.flow_mod(flow, ofp.OFPFC_ADD) for flow in added]
    mods += [os_ken.flow_mod(flow, ofp.OFPFC_DELETE_STRICT) for flow in deleted]
    theirs = [
        os_ken.message(parser.OFPBundleAddMsg(DATAPATH, number, ATOMIC_ORDERED, mod, []), first + place)
        for place, mod in enumerate(mods)
    ]
    assert [*codec.bundle(number, first, change)] == theirs


@given(bundles, xids)
def test_opening_and_committing_a_bundle(number, xid):
    for ours, kind in (
        (codec.bundle_open(number, xid), ofp.OFPBCT_OPEN_REQUEST),
        (codec.bundle_commit(number, xid), ofp.OFPBCT_COMMIT_REQUEST),
    ):
        assert ours == os_ken.message(parser.OFPBundleCtrlMsg(DATAPATH, number, kind, ATOMIC_ORDERED, []), xid)


@given(xids)
def test_barrier_and_dump_request(xid):
    assert codec.barrier(xid) == os_ken.message(parser.OFPBarrierRequest(DATAPATH), xid)
    assert codec.dump_request(xid) == os_ken.message(parser.OFPFlowDescStatsRequest(DATAPATH), xid)


@given(group_entries(), xids)
def test_adding_changing_and_deleting_a_group(group, xid):
    for ours, theirs in (
        (groups.GROUP_ADD, ofp.OFPGC_ADD),
        (groups.GROUP_MODIFY, ofp.OFPGC_MODIFY),
        (groups.GROUP_DELETE, ofp.OFPGC_DELETE),
    ):
        made = groups.group_mod(ours, groups.encode_group(group), xid)
        assert made == os_ken.message(os_ken.group_mod(group, theirs), xid)


@given(xids)
def test_asking_for_the_groups(xid):
    assert groups.group_dump_request(xid) == os_ken.message(parser.OFPGroupDescStatsRequest(DATAPATH), xid)
