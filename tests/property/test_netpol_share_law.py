"""What `weftctl policy` looks for in switches is what the controller puts there, and all of it."""

from pathlib import Path

import netpol_fabric
from cluster_fixture import SYSTEM
from hypothesis import given, settings
from hypothesis import strategies as st
from netpol_strategies import NODES, clusters
from test_netpol_verdict_law import objects

from cli.inforce import Count, states
from cli.view import NodeView, Place
from kube.netpol import Direction
from openflow.actions import Conjunction, SetField
from openflow.codec import Record
from openflow.decode import decode
from openflow.fields import Disposition, slice_of
from openflow.flow import OWNER_BITS, Feature
from openflow.tables import Table
from ovsdb.rows import Bridge

POLICY_TABLES = (Table.EGRESS_IDENTITY, Table.EGRESS_POLICY, Table.INGRESS_IDENTITY, Table.INGRESS_POLICY)


def running(cluster):
    return cluster | {"pods": [each | {"status": each["status"] | {"phase": "Running"}} for each in cluster["pods"]]}


@settings(max_examples=200)
@given(clusters().map(running))
def test_all_policies_together_look_for_all_flows_of_the_policy_tables(cluster):
    made = netpol_fabric.told(cluster, NODES)
    wanted = {name: netpol_fabric.flows_on(made, name) for name in NODES}
    base = netpol_fabric.told(cluster | {"policies": []}, NODES)
    found = states_of(cluster, {name: {} for name in NODES})
    for name in NODES:
        missing = {flow.key: flow for each in found for at in each.nodes if at.node == name for flow in at.missing}
        assert missing.items() <= wanted[name].items()
        others = netpol_fabric.flows_on(base, name)
        made_by_policies = {key for key in wanted[name] if key[0] in POLICY_TABLES and key not in others}
        assert {key for key in missing if key[0] in POLICY_TABLES} == made_by_policies


@settings(max_examples=200)
@given(clusters(), st.data())
def test_a_policy_is_in_force_until_a_flow_of_its_is_gone_or_another(cluster, data):
    made = netpol_fabric.told(cluster, NODES)
    held = {name: netpol_fabric.flows_on(made, name) for name in NODES}
    found = states_of(cluster, held)
    assert all(each.in_force for each in found)
    places = [(policy, node) for policy in states_of(cluster, {name: {} for name in NODES}) for node in policy.nodes]
    if not places:
        return
    policy, node = data.draw(st.sampled_from(places))
    assert node.flows == len(node.missing)
    gone = data.draw(st.sampled_from(node.missing))
    changed = data.draw(st.booleans())
    spoilt = dict(held[node.node])
    if changed:
        spoilt[gone.key] = gone._replace(body=gone.body + bytes(8))
    else:
        del spoilt[gone.key]
    again = {each.key: each for each in states_of(cluster, held | {node.node: spoilt})}
    faults = {each.node: (each.missing, each.different) for each in again[policy.key].nodes}
    wrong = (gone,)
    assert faults.pop(node.node) == (((), wrong) if changed else (wrong, ()))
    assert set(faults.values()) <= {((), ())}


@settings(max_examples=200)
@given(clusters().map(running), st.data())
def test_what_a_flow_lets_through_is_counted_by_rules_and_what_it_drops_as_denied(cluster, data):
    made = netpol_fabric.told(cluster, NODES)
    held = {name: netpol_fabric.flows_on(made, name) for name in NODES}
    judging = sorted((name, key) for name, flows in held.items() for key in flows if judges(flows[key]))
    if not judging:
        return
    node, key = data.draw(st.sampled_from(judging))
    flow = decode(held[node][key])
    direction = Direction.EGRESS if flow.table == Table.EGRESS_POLICY else Direction.INGRESS
    drops = any(map(condemns, flow.actions))
    packets = {(node, key): 7}
    for each in states_of(cluster, held, packets):
        assert {count.packets for count in each.counts.values()} <= {0, 7}
        assert {at.direction for at, count in each.counts.items() if count.packets} <= {direction.value}
        assert each.total.packets == max((count.packets for count in each.counts.values()), default=0)
    found = states_of(cluster, held, packets)
    assert any(each.total.packets for each in found) is not drops
    assert any(each.denied.get(direction, Count(0, 0)).packets for each in found) is drops
    assert not any(count.packets for each in found for at, count in each.denied.items() if at is not direction)


def condemns(action):
    """Whether it says what is to become of the packet: that is said only of one that is denied."""
    told = slice_of(Disposition)
    return isinstance(action, SetField) and action.target is told.stored and bool(action.mask & told.mask)


def judges(encoded):
    """Whether it is a flow that ends the judgement of somebody's packet, and not a part of a rule."""
    flow = decode(encoded)
    ours = flow.cookie >> OWNER_BITS & 0xFF == Feature.POLICY
    part = any(isinstance(action, Conjunction) for action in flow.actions)
    return ours and not part and flow.table in (Table.EGRESS_POLICY, Table.INGRESS_POLICY)


def states_of(cluster, held, packets=None):
    """The state of every policy, where switches hold these flows and some have matched packets, by node and key."""
    matched = packets or {}
    made = objects(cluster)
    records = [
        (view(cluster, name), {key: Record(flow, matched.get((name, key), 0), 0, 1.0) for key, flow in flows.items()})
        for name, flows in held.items()
    ]
    return list(states(made, records, (), sorted(made.engine.policies)))


def view(cluster, name):
    ports = {each.name: each for each in netpol_fabric.ports_on(cluster, name)}
    bridge = Bridge("br-int", name, "", None, "netdev", ports, SYSTEM)
    return NodeView(name, Place("unix:/no/db.sock", Path("/no")), bridge, "", None, "", {})
