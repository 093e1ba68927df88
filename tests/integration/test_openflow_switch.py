"""Flows on a real Open vSwitch: what is sent comes back as the same bytes, and every spelling of it is one."""

from random import Random

import pytest
from openflow_bridge import BRIDGE, example_switch
from openflow_random import random_flows

from openflow import codec, example
from openflow.actions import Ct
from openflow.codec import Change
from openflow.decode import decode
from openflow.features import base, node, pod
from openflow.fields import Zone
from openflow.flow import Flow
from openflow.ofctl import ofctl
from openflow.render import named

FEATURES = {
    "base": lambda: base.flows(example.PORTS),
    "gateway": lambda: node.gateway_flows(example.ALPHA),
    "remote": lambda: node.remote_flows(example.BETA),
    "pod": lambda: pod.flows(example.WEB),
}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    with example_switch(tmp_path_factory.mktemp("of")) as made:
        yield made


@pytest.fixture
def switch(bridge):
    bridge.clear()
    return bridge


def encoded(flows):
    return dict(map(codec.encode, flows))


def add_as_text(switch, flows):
    path = switch.ovs.root / "flows.txt"
    path.write_text("".join(f"{ofctl(flow)}\n" for flow in flows))
    switch.ovs.ofctl("-O", "OpenFlow15", "add-flows", BRIDGE, str(path))


@pytest.mark.parametrize("feature", FEATURES)
def test_every_flow_of_a_feature_comes_back_as_the_same_bytes(switch, feature):
    flows = [*FEATURES[feature]()]
    assert switch.connection.add(flows) == []
    assert switch.connection.dump() == encoded(flows)


@pytest.mark.parametrize("feature", FEATURES)
def test_ovs_ofctl_reads_a_features_flows_to_the_same_bytes(switch, feature):
    flows = [*FEATURES[feature]()]
    add_as_text(switch, flows)
    assert switch.connection.dump() == encoded(flows)


@pytest.mark.parametrize("seed", range(4))
def test_random_flows_come_back_as_the_same_bytes_however_they_are_sent(switch, seed):
    flows = random_flows(Random(seed), 300)
    assert switch.connection.add(flows) == []
    assert switch.connection.dump() == encoded(flows)
    switch.clear()
    add_as_text(switch, flows)
    assert switch.connection.dump() == encoded(flows)


def test_what_the_switch_reports_decodes_to_what_was_made(switch):
    flows = [*example.flows(), *random_flows(Random(9), 100)]
    switch.connection.add(flows)
    read = [decode(codec.Encoded(*pair)) for pair in switch.connection.dump().items()]
    assert set(read) == set(flows)


def test_a_removal_takes_exactly_the_flow_with_its_key(switch):
    flows = [*example.flows()]
    switch.connection.add(flows)
    gone, *kept = flows
    assert switch.connection.apply(Change(delete=(codec.encode(gone).key,))) == []
    assert switch.connection.dump() == encoded(kept)


def test_a_flow_that_the_switch_refuses_is_named_by_its_xid_and_left_out(switch):
    good = [*pod.flows(example.WEB)]
    bad = Flow(0, 1, (), (Ct(Zone.IPV4),), 0)  # conntrack without an IP match
    (error,) = switch.connection.add([*good[:3], bad, *good[3:]])
    assert int.from_bytes(error[4:8], "big") - 100 == 3  # xids count from 100
    # Open vSwitch refuses it when it enters the bundle, and commits the bundle without it.
    assert switch.connection.dump() == encoded(good)


def test_the_same_key_replaces_the_flow(switch):
    one, *_ = pod.flows(example.WEB)
    switch.connection.add([one])
    other = Flow(one.table, one.priority, one.match, (), one.cookie)
    switch.connection.add([other])
    assert switch.connection.dump() == encoded([other])


FOREIGN = (
    "table=0,priority=5,vlan_tci=0x1000/0x1000 actions=NORMAL",
    "table=0,priority=6,dl_vlan=5,dl_vlan_pcp=3 actions=strip_vlan,output:1",
    "table=0,priority=7,tcp,tcp_flags=+syn-ack actions=resubmit(,5)",
    "table=0,priority=8,ip,nw_tos=32,nw_ecn=1,ip_frag=first actions=mod_nw_tos:16,CONTROLLER:128",
    "table=0,priority=9,metadata=0x5/0xff actions=write_metadata:0x7,goto_table:3",
    "table=0,priority=10,icmp6,icmp_type=135,nd_target=fe80::1 actions=load:0x5->NXM_NX_REG3[4..7]",
    "table=0,priority=11,ip actions=ct(zone=NXM_NX_REG0[0..15],table=77,commit,nat(src=10.0.0.1-10.0.0.9:1-99))",
    "table=0,priority=12 actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "table=0,priority=13 actions=bundle(eth_src,0,hrw,ofport,slaves:1,2,3)",
    "table=0,priority=14,ip actions=conjunction(7,1/2),note:01",
    "table=0,priority=15,conj_id=7,ip actions=note:01.02.03,clone(output:2),exit",
    "table=0,priority=16,mpls,mpls_label=9 actions=pop_mpls:0x0800,dec_ttl",
    "table=0,priority=17 actions=write_actions(output:1),goto_table:1",
    "table=0,priority=18 actions=push:NXM_NX_REG2[],pop:NXM_NX_REG1[0..31],clear_actions",
    "table=0,priority=19,idle_timeout=50,hard_timeout=60 actions=enqueue:1:2",
    "table=200,priority=20,send_flow_rem actions=drop",
)


@pytest.mark.parametrize("text", FOREIGN, ids=lambda text: text.split(" actions=")[1])
def test_a_foreign_flow_is_read_shown_and_removed(switch, text):
    switch.ovs.ofctl("-O", "OpenFlow15", "add-flow", BRIDGE, text)
    ((key, body),) = switch.connection.dump().items()
    flow = decode(codec.Encoded(key, body))
    assert flow.priority == int(text.split("priority=")[1].replace(" ", ",").split(",")[0])
    assert named(flow).owner == "foreign 0x0"
    assert all(named(flow))
    assert f"priority={flow.priority}" in ofctl(flow)
    if "timeout" in text or "send_flow_rem" in text:
        assert "expires" in named(flow).actions
    switch.connection.apply(Change(delete=(key,)))
    assert switch.connection.dump() == {}


def test_counters_and_age_are_read(switch):
    switch.connection.add([*example.flows()])
    records = switch.connection.records()
    assert len(records) == len(example.flows())
    assert all(0 <= record.duration < 60 for record in records)


def test_a_dump_of_many_parts_is_whole(switch):
    flows = [Flow(1, priority, (), (), 5) for priority in range(1, 5001)]
    assert switch.connection.add(flows) == []
    assert switch.connection.dump() == encoded(flows)
