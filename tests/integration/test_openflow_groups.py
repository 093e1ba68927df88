"""Groups and meters on a real Open vSwitch: the same bytes come back, and changing a group keeps its flows."""

import pytest
from openflow_bridge import BRIDGE, example_switch
from openflow_wire import Wire

from openflow import codec, groups
from openflow.actions import CT_CLEAR, Ct, Group, Meter, Nat, NatRange, Output
from openflow.fields import Zone
from openflow.flow import Flow
from openflow.groups import Bucket, GroupEntry, GroupKind
from openflow.match import IPV4, match
from openflow.net import network
from openflow.simulate import Fabric, Guest, Place, Switch, Tables
from openflow.simulate import packet as packets
from openflow.tables import Table


def backend(last, weight=1):
    to = NatRange(network(f"10.10.0.{last}/32").network_address, ports=(8080, 8080))
    return Bucket(last, (Ct(Zone.IPV4, Table.ROUTE, commit=True, nat=Nat(dst=to)),), weight)


SERVICE = GroupEntry(7, GroupKind.SELECT, (backend(5, 3), backend(6)))
COPY = GroupEntry(8, GroupKind.ALL, (Bucket(1, (Output(3),)), Bucket(2, (CT_CLEAR, Output(4))), Bucket(9, ())))
USER = Flow(Table.SERVICE, 5, match(IPV4), (Group(7),), 5)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    with example_switch(tmp_path_factory.mktemp("of")) as made:
        yield made


@pytest.fixture
def switch(bridge):
    bridge.clear()
    for kind in ("groups", "meters"):
        bridge.ovs.ofctl("-O", "OpenFlow15", f"del-{kind}", BRIDGE)
    return bridge


def send(switch, *commands):
    """Group-mods in one bundle; the errors that the switch answered."""
    connection = switch.connection
    mods = [
        groups.group_mod(command, groups.encode_group(group), 20 + n) for n, (command, group) in enumerate(commands)
    ]
    wrapped = b"".join(codec.bundle_add(1, 20 + n, mod) for n, mod in enumerate(mods))
    return connection.exchange(codec.bundle_open(1, 10) + wrapped + codec.bundle_commit(1, 11))


def installed(switch):
    parts = switch.connection.parts(groups.group_dump_request(14))
    return [group for part in parts for group in groups.dump_groups(part)]


def test_groups_come_back_as_the_same_bytes(switch):
    assert send(switch, (groups.GROUP_ADD, SERVICE), (groups.GROUP_ADD, COPY)) == []
    assert sorted(installed(switch)) == [groups.encode_group(SERVICE), groups.encode_group(COPY)]


def test_ovs_ofctl_reads_a_groups_text_to_the_same_bytes(switch):
    for group in (SERVICE, COPY):
        switch.ovs.ofctl("-O", "OpenFlow15", "add-group", BRIDGE, groups.ofctl_group(group))
    assert sorted(installed(switch)) == [groups.encode_group(SERVICE), groups.encode_group(COPY)]


def test_modifying_a_group_keeps_the_flows_that_use_it(switch):
    assert send(switch, (groups.GROUP_ADD, SERVICE)) == []
    assert switch.connection.add([USER]) == []
    changed = GroupEntry(7, GroupKind.SELECT, (backend(6), backend(9, 2)))
    assert send(switch, (groups.GROUP_MODIFY, changed)) == []
    assert installed(switch) == [groups.encode_group(changed)]
    assert switch.connection.dump() == dict([codec.encode(USER)])


def test_deleting_a_group_takes_its_flows_along(switch):
    assert send(switch, (groups.GROUP_ADD, SERVICE)) == []
    assert switch.connection.add([USER]) == []
    assert send(switch, (groups.GROUP_DELETE, SERVICE)) == []
    assert installed(switch) == []
    assert switch.connection.dump() == {}


def test_a_flow_needs_its_group(switch):
    assert switch.connection.add([USER])
    assert switch.connection.dump() == {}


def test_a_meters_flow_comes_back_as_the_same_bytes(switch):
    switch.ovs.ofctl("-O", "OpenFlow15", "add-meter", BRIDGE, "meter=5,pktps,band=type=drop,rate=100")
    flow = Flow(Table.ROUTE, 5, match(IPV4), (Meter(5), Output(3)), 5)
    assert switch.connection.add([flow]) == []
    assert switch.connection.dump() == dict([codec.encode(flow)])


def test_many_groups_are_one_dump(switch):
    many = [GroupEntry(n, GroupKind.SELECT, (backend(5), backend(6, 2))) for n in range(1, 1001)]
    assert send(switch, *((groups.GROUP_ADD, group) for group in many)) == []
    assert sorted(installed(switch)) == [groups.encode_group(group) for group in many]


def test_a_choice_stays_with_its_connection(switch):
    wire = Wire(switch.connection)
    switch.ovs.appctl("dpctl/flush-conntrack")
    assert send(switch, (groups.GROUP_ADD, SERVICE)) == []
    assert switch.connection.add([Flow(0, 5, match(IPV4), (Group(7),), 5)]) == []
    switch.ovs.ofctl("-O", "OpenFlow15", "add-flow", BRIDGE, f"table={Table.ROUTE:d},actions=CONTROLLER:65535")

    clients = [packets.udp(f"10.10.{n % 7}.9", "10.96.0.1", 53, sport=40000 + n) for n in range(100)]
    chosen = [wire.through(client, 3).addresses[1] for client in clients]
    assert chosen == [wire.through(client, 3).addresses[1] for client in clients]
    assert set(chosen) == {"10.10.0.5", "10.10.0.6"}
    # Which one is Open vSwitch's affair; that it is one of them, the simulator knows too.
    tables = Tables([Flow(0, 5, match(IPV4), (Group(7),), 5), Flow(Table.ROUTE, 0, (), (Output(4),), 5)], [SERVICE])
    sim = Fabric.of([Switch("n", tables, {4: Guest("a/b", "0e:00:00:00:00:01", ())})])
    got = [sim.inject(Place("n", 3), client).packet for client in clients]
    assert {str(packet.dst) for packet in got} == set(chosen)
    assert {packet.dport for packet in got} == {8080}
