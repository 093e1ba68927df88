"""The agent's side of the switch's database, on a real switch: the bridge, pods' ports, and waiting for both."""

import queue
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address

import pytest
from ovs_fixture import private_ovs
from version_fixture import running_version

from node_agent.bridge import NodeBridge, NotInTime, PortFailed
from ovsdb.appctl import rundir_of, version
from ovsdb.errors import RowError
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import AttachmentKey, PodPort, datapath_id, port_name
from ovsdb.schema import OWN, WATCH
from ovsdb.setup import BridgeConfig, BridgeError, TransportConfig, TunnelConfig
from ovsdb.view import OvsdbLost, PortChanged, Snapshot
from ovsdb.watch import BridgeWatch

WAIT = 10
SHORT = 0.3
CONFIG = BridgeConfig(
    name="br-int",
    node="n1",
    version="0.1.0",
    datapath_id=datapath_id("n1"),
    datapath_type="netdev",
    controllers=("tcp:127.0.0.1:6653",),
    tunnel=TunnelConfig(),
    gateway_mac="0e:57:65:66:74:02",
    mtu=1400,
)


def pod_port(n):
    key = AttachmentKey("weft", f"{n:064x}", "eth0")
    name = port_name("default", f"web-{n}", key)
    ips = (ip_address(f"10.1.{n >> 8}.{n & 255}"), ip_address(0xFD00 << 112 | n + 1))
    return PodPort(name, key, "default", f"web-{n}", f"uid-{n}", f"0a:58:0a:01:{n >> 8:02x}:{n & 255:02x}", ips, "/x")


@pytest.fixture
def ovs(tmp_path):
    with private_ovs(tmp_path) as made:
        yield made


@pytest.fixture
def loop():
    with OvsdbLoop() as running:
        yield running


@pytest.fixture
def fresh(ovs, loop):
    """The agent's bridge before anything was made."""
    made = NodeBridge(loop.session(ovs.remote, OWN), "br-int")
    made.start()
    return made


@pytest.fixture
def bridge(fresh):
    """The agent's bridge, ready for pods."""
    fresh.ensure(CONFIG).result(WAIT)
    fresh.wait_ready(WAIT)
    return fresh


@pytest.fixture
def controller(ovs):
    """Answers every port that has a number, as the controller does after programming it, and lets go of those that
    leave; on a thread of its own."""
    with OvsdbLoop("controller") as loop:

        def answer(event):
            # A port that was made before the first snapshot comes in it.
            known = event.bridge.ports.values() if isinstance(event, Snapshot) and event.bridge else ()
            for port in [event.port] if isinstance(event, PortChanged) else known:
                if port.leaving:
                    watch.set_programmed(port.name, None)
                elif port.ofport and not port.ready:
                    watch.set_programmed(port.name, port.key.container)

        watch = BridgeWatch(loop.session(ovs.remote, WATCH), "br-int", answer)
        watch.start()
        yield watch


def veths(ovs, *ports):
    for port in ports:
        ovs.ip("link", "add", port.name, "up", "type", "veth", "peer", "name", f"x{port.name[-6:]}")


def get(ovs, *args):
    return ovs.vsctl(*args).strip()


def dump(ovs):
    """The configuration, less what the switch writes."""
    tables = {
        "Bridge": "name,ports,controller,protocols,fail_mode,other_config,external_ids",
        "Interface": "name,type,options,mac,mtu_request,external_ids",
        "Controller": "_uuid,target,max_backoff",
    }
    return [get(ovs, f"--columns={columns}", "list", table) for table, columns in tables.items()]


# The bridge.


def test_the_bridge_is_what_the_settings_ask_for(ovs, bridge):
    assert get(ovs, "get-fail-mode", "br-int") == "secure"
    assert set(get(ovs, "list-ports", "br-int").split()) == {"weft-tun0", "weft-gw0"}
    assert get(ovs, "get", "Interface", "weft-tun0", "type", "options").split("\n") == [
        "geneve",
        '{csum="true", dst_port="6081", key=flow, remote_ip=flow}',
    ]
    assert "link/ether 0e:57:65:66:74:02" in ovs.ip("link", "show", "weft-gw0")
    assert "mtu 1400" in ovs.ip("link", "show", "weft-gw0")
    assert f"dpid:{CONFIG.datapath_id:016x}" in ovs.ofctl("-O", "OpenFlow15", "show", "br-int")
    assert ovs.ofctl("dump-flows", "br-int").count("actions") == 0
    seen = bridge.wait_ready(WAIT)
    assert (seen.node, seen.version, seen.datapath_id) == ("n1", "0.1.0", CONFIG.datapath_id)
    assert seen.system["weft-tun0"] != seen.system["weft-gw0"]


def test_twice_is_once(ovs, bridge):
    before = dump(ovs)
    bridge.ensure(CONFIG).result(WAIT)
    assert dump(ovs) == before


def test_settings_that_change_change_only_their_rows(ovs, bridge):
    numbers = bridge.wait_ready(WAIT).system
    controller = get(
        ovs, "--columns=_uuid", "--bare", "find", "Controller", "target=tcp:127.0.0.1:6653".replace(":", "\\:")
    )
    changed = replace(
        CONFIG,
        controllers=("tcp:127.0.0.1:6653", "tcp:127.0.0.2:6653"),
        tunnel=TunnelConfig("vxlan", 4789, ip_address("192.0.2.1")),
        mtu=1300,
    )
    bridge.ensure(changed).result(WAIT)
    assert get(ovs, "get", "Interface", "weft-tun0", "type") == "vxlan"
    assert 'local_ip="192.0.2.1"' in get(ovs, "get", "Interface", "weft-tun0", "options")
    assert "mtu 1300" in ovs.ip("link", "show", "weft-gw0")
    assert sorted(get(ovs, "get-controller", "br-int").split()) == list(changed.controllers)
    assert controller in get(ovs, "--columns=_uuid", "--bare", "list", "Controller")
    assert bridge.wait_ready(WAIT).system["weft-gw0"] == numbers["weft-gw0"]


def test_a_controller_no_longer_wanted_is_removed(ovs, bridge):
    bridge.ensure(replace(CONFIG, controllers=())).result(WAIT)
    assert get(ovs, "get-controller", "br-int") == ""


def test_foreign_ports_are_told_from_ours_and_left_alone(ovs, fresh):
    get(ovs, "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "external_ids:theirs=x")
    get(ovs, "add-port", "br-int", "theirs0", "--", "set", "Interface", "theirs0", "type=internal")
    fresh.ensure(CONFIG).result(WAIT)
    assert fresh.wait_ready(WAIT).foreign == {"theirs0"}
    assert "theirs0" in get(ovs, "list-ports", "br-int")
    assert get(ovs, "get", "Bridge", "br-int", "external_ids:theirs") == "x"


def test_a_bridge_of_another_datapath_type_is_refused(ovs, fresh):
    get(ovs, "--no-wait", "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=system")
    before = dump(ovs)
    with pytest.raises(BridgeError, match="datapath_type=system, the settings say netdev"):
        fresh.ensure(CONFIG).result(WAIT)
    assert dump(ovs) == before


def test_a_bridge_of_another_node_is_refused(bridge):
    with pytest.raises(BridgeError, match="belongs to node 'n1', this is 'n2'"):
        bridge.ensure(replace(CONFIG, node="n2")).result(WAIT)


@pytest.mark.parametrize("noted", ["", "2.15.1", "3.1.0"])
def test_an_old_switch_is_refused_before_anything_is_made_whatever_the_database_says(ovs, fresh, noted):
    get(ovs, "set", "Open_vSwitch", ".", f'ovs_version="{noted}"')
    with (
        running_version(ovs.root, "2.15.1"),
        pytest.raises(BridgeError, match=r"Open vSwitch 2\.15\.1 is too old: Weft needs 2\.17"),
    ):
        fresh.ensure(CONFIG).result(WAIT)
    assert get(ovs, "list-br") == ""


def test_a_version_noted_before_an_upgrade_does_not_count(ovs, fresh):
    get(ovs, "set", "Open_vSwitch", ".", "ovs_version=2.15.1")
    fresh.ensure(CONFIG).result(WAIT)
    assert get(ovs, "list-br") == "br-int"


def test_the_noted_version_counts_while_the_switch_cannot_be_asked(ovs, fresh):
    get(ovs, "set", "Open_vSwitch", ".", "ovs_version=2.15.1")
    ovs.stop("ovs-vswitchd")
    with pytest.raises(BridgeError, match=r"Open vSwitch 2\.15\.1 is too old"):
        fresh.ensure(CONFIG).result(WAIT)
    get(ovs, "--no-wait", "set", "Open_vSwitch", ".", "ovs_version=3.0.9")
    fresh.ensure(CONFIG).result(WAIT)
    assert get(ovs, "list-br") == "br-int"


def test_a_tunnel_type_that_the_switch_lacks_is_refused(fresh):
    odd = replace(CONFIG, tunnel=TunnelConfig("nosuch"))
    with pytest.raises(BridgeError, match=r"no 'nosuch' \(Open_vSwitch.iface_types = .*geneve"):
        fresh.ensure(odd).result(WAIT)


def test_our_port_on_another_bridge_is_refused(ovs, fresh):
    get(
        ovs,
        "add-br",
        "br-x",
        "--",
        "add-port",
        "br-x",
        "weft-gw0",
        "--",
        "set",
        "Interface",
        "weft-gw0",
        "type=internal",
    )
    with pytest.raises(BridgeError, match="weft-gw0 is on another bridge"):
        fresh.ensure(CONFIG).result(WAIT)
    assert get(ovs, "list-br") == "br-x"


def test_the_transport_bridge_carries_the_uplink_and_remembers_its_addressing(ovs, fresh):
    ovs.ip("link", "add", "eth0", "type", "veth", "peer", "name", "wire")
    transport = TransportConfig("eth0", "0a:00:00:00:00:05", '{"addresses": ["192.0.2.5/24"]}')
    with_transport = replace(CONFIG, transport=transport)
    assert fresh.transport_addressing("br-phy").result(WAIT) == ""
    assert fresh.ensure(with_transport).result(WAIT) == transport.addressing
    fresh.wait_ready(WAIT)
    assert get(ovs, "list-ports", "br-phy") == "eth0"
    assert get(ovs, "get-fail-mode", "br-phy") == "standalone"
    assert "link/ether 0a:00:00:00:00:05" in ovs.ip("link", "show", "br-phy")
    # After the move the interface has no addresses any more; what was remembered must stay.
    again = replace(with_transport, transport=replace(transport, addressing=""))
    assert fresh.ensure(again).result(WAIT) == transport.addressing
    assert fresh.transport_addressing("br-phy").result(WAIT) == transport.addressing


def test_a_switch_that_does_not_run_is_named(ovs, fresh):
    ovs.stop("ovs-vswitchd")
    fresh.ensure(CONFIG).result(WAIT)
    with pytest.raises(NotInTime, match=r"no datapath id.*is ovs-vswitchd running"):
        fresh.wait_ready(SHORT)


def test_the_switch_tells_its_version(ovs, tmp_path):
    assert version(rundir_of(ovs.remote)) == "3.1.0"
    ovs.stop("ovs-vswitchd")
    assert version(rundir_of(ovs.remote)) == ""
    assert version(rundir_of(f"unix:{tmp_path}/db.sock")) == ""
    assert version(rundir_of("tcp:192.0.2.1:6640")) == ""


# Pods' ports.


def test_a_port_comes_into_service(ovs, bridge, controller):
    port = pod_port(1)
    veths(ovs, port)
    bridge.add_port(port).result(WAIT)
    ready = bridge.wait_programmed(port.name, port.key.container, WAIT)
    assert ready == replace(port, ofport=ready.ofport, requested=ready.ofport, programmed=port.key.container)
    assert bridge.ports() == {port.name: ready}
    assert get(ovs, "get", "Port", port.name, "external_ids:weft-programmed").strip('"') == port.key.container
    assert int(get(ovs, "get", "Interface", port.name, "ofport")) == ready.ofport


def test_waiting_may_begin_before_the_port_is_there(ovs, bridge, controller):
    port = pod_port(1)
    veths(ovs, port)
    future = bridge.programmed(port.name, port.key.container)
    bridge.add_port(port)
    assert future.result(WAIT).ready


def test_adding_the_same_port_again_changes_nothing(ovs, bridge):
    bridge.add_port(pod_port(1)).result(WAIT)
    before = dump(ovs)
    bridge.add_port(pod_port(1)).result(WAIT)
    assert dump(ovs) == before


def test_a_name_that_is_taken_is_refused(ovs, bridge):
    bridge.add_port(pod_port(1)).result(WAIT)
    before = dump(ovs)
    with pytest.raises(BridgeError, match="is there already"):
        bridge.add_port(replace(pod_port(2), name=pod_port(1).name)).result(WAIT)
    assert dump(ovs) == before


def test_a_port_that_breaks_the_contract_is_not_written(ovs, bridge):
    before = dump(ovs)
    with pytest.raises(RowError, match="attached-mac = '01:00:5e:00:00:01'"):
        bridge.add_port(replace(pod_port(1), mac="01:00:5e:00:00:01"))
    assert dump(ovs) == before


def test_a_port_without_a_bridge_is_refused(fresh):
    with pytest.raises(BridgeError, match="there is no bridge br-int"):
        fresh.add_port(pod_port(1)).result(WAIT)


def test_deleting_removes_rows_and_address_and_twice_is_once(ovs, bridge):
    port = pod_port(1)
    veths(ovs, port)
    bridge.add_port(port).result(WAIT)
    assert bridge.del_port(port.name).result(WAIT) is True
    assert bridge.del_port(port.name).result(WAIT) is False
    assert bridge.ports() == {}
    assert port.name not in get(ovs, "--columns=name", "list", "Interface")


def test_a_port_that_leaves_is_waited_for_until_the_controller_has_let_go(ovs, bridge, controller):
    port = pod_port(1)
    veths(ovs, port)
    bridge.add_port(port).result(WAIT)
    bridge.wait_programmed(port.name, port.key.container, WAIT)
    assert bridge.wait_unprogrammed(port, 0.05) is False, "nobody has said that it leaves"
    assert bridge.leave(port).result(WAIT) is True
    assert bridge.wait_unprogrammed(port, WAIT) is True
    left = bridge.ports()[port.name]
    assert (left.leaving, left.ready) == (True, False)
    bridge.del_port(port.name).result(WAIT)
    assert bridge.wait_unprogrammed(port, WAIT) is True, "what is gone is not programmed"
    assert bridge.leave(port).result(WAIT) is False


def test_delete_of_what_is_being_added_wins(ovs, bridge):
    bridge.add_port(pod_port(1))
    assert bridge.del_port(pod_port(1).name).result(WAIT) is True
    assert bridge.ports() == {}


def test_a_storm_of_ports(ovs, bridge, controller):
    ports = [pod_port(n) for n in range(50)]
    veths(ovs, *ports)

    def add(port):
        bridge.add_port(port).result(WAIT)
        return bridge.wait_programmed(port.name, port.key.container, WAIT)

    with ThreadPoolExecutor(10) as workers:
        ready = list(workers.map(add, ports))
    assert len({port.ofport for port in ready}) == 50
    assert all(port.ofport == port.requested for port in ready)  # so flows can be made before the port is opened
    assert bridge.ports() == {port.name: port for port in ready}
    with ThreadPoolExecutor(10) as workers:
        assert all(workers.map(lambda port: bridge.del_port(port.name).result(WAIT), ports))
    assert bridge.ports() == {}


def test_a_new_agent_finds_the_ledger(ovs, loop, bridge):
    bridge.add_port(pod_port(1)).result(WAIT)
    bridge.add_port(pod_port(2)).result(WAIT)
    bridge.session.close().result(WAIT)
    events = queue.Queue()
    again = NodeBridge(loop.session(ovs.remote, OWN), "br-int", events.put)
    again.start()
    snapshot = events.get(timeout=WAIT)
    assert isinstance(snapshot, Snapshot)
    assert again.wait_ready(WAIT) == snapshot.bridge
    assert {port.ips for port in again.ports().values()} == {pod_port(1).ips, pod_port(2).ips}


def test_a_broken_row_is_refused_and_hides_no_other(ovs, bridge):
    bridge.add_port(pod_port(1)).result(WAIT)
    bridge.add_port(pod_port(2)).result(WAIT)
    name = pod_port(1).name
    get(ovs, "set", "Interface", name, "external_ids:weft-ips=10.0.0")
    with pytest.raises(NotInTime, match=r"weft-ips = '10\.0\.0'"):
        bridge.wait_programmed(name, pod_port(1).key.container, SHORT)
    assert list(bridge.ports()) == [pod_port(2).name]
    assert list(bridge.wait_ready(WAIT).refused) == [name]


# Waiting in vain.


def test_a_device_that_is_not_there_fails_the_wait_at_once(bridge):
    bridge.add_port(pod_port(1)).result(WAIT)
    with pytest.raises(PortFailed, match="could not open network device"):
        bridge.wait_programmed(pod_port(1).name, pod_port(1).key.container, WAIT)


def test_a_controller_that_does_not_answer_is_named(ovs, bridge):
    port = pod_port(1)
    veths(ovs, port)
    bridge.add_port(port).result(WAIT)
    with pytest.raises(NotInTime, match=r"controllers: tcp:127\.0\.0\.1:6653 NOT connected"):
        bridge.wait_programmed(port.name, port.key.container, SHORT)


def test_an_answer_for_another_container_is_none(ovs, bridge, controller):
    port = pod_port(1)
    veths(ovs, port)
    bridge.add_port(port).result(WAIT)
    bridge.wait_programmed(port.name, port.key.container, WAIT)
    with pytest.raises(NotInTime):
        bridge.wait_programmed(port.name, "another", SHORT)


def test_a_switch_that_stopped_is_named(ovs, bridge):
    ovs.stop("ovs-vswitchd")
    bridge.add_port(pod_port(1)).result(WAIT)
    with pytest.raises(NotInTime, match="gave it no OpenFlow port; is it running"):
        bridge.wait_programmed(pod_port(1).name, pod_port(1).key.container, SHORT)


def test_a_database_that_stopped_is_named(ovs, bridge):
    ovs.stop("ovsdb-server")
    with pytest.raises(NotInTime, match="no connection to the database"):
        bridge.wait_programmed("web-000000", "c", SHORT)
    assert "db.sock" in bridge.lost


def test_a_port_that_was_never_added_is_named(bridge):
    with pytest.raises(NotInTime, match=r"port web-000000: not in service after .* not on bridge br-int"):
        bridge.wait_programmed("web-000000", "c", SHORT)


def test_deleting_ends_the_wait(ovs, bridge):
    port = pod_port(1)
    veths(ovs, port)
    bridge.add_port(port).result(WAIT)
    future = bridge.programmed(port.name, port.key.container)
    bridge.del_port(port.name)
    with pytest.raises(PortFailed, match="deleted while it was waited for"):
        future.result(WAIT)


def test_a_callback_may_ask_the_bridge(ovs, bridge, controller):
    port = pod_port(1)
    veths(ovs, port)
    asked = threading.Event()
    bridge.programmed(port.name, port.key.container).add_done_callback(lambda _: bridge.ports() and asked.set())
    bridge.add_port(port).result(WAIT)
    assert asked.wait(WAIT)


def test_an_answer_for_a_port_that_is_gone_says_so(bridge, controller):
    assert controller.set_programmed("web-000000", "c").result(WAIT) is False


# Restarts.


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_ports_survive_a_restart_of_the_switch(ovs, loop, bridge, controller, how):
    ports = [pod_port(n) for n in range(3)]
    veths(ovs, *ports)
    for port in ports:
        bridge.add_port(port).result(WAIT)
        bridge.wait_programmed(port.name, port.key.container, WAIT)
    before = bridge.wait_ready(WAIT)
    device = ovs.ip("-br", "link", "show", "weft-gw0")
    ovs.restart_vswitchd(how)
    assert bridge.wait_ready(WAIT).ports == before.ports
    assert bridge.wait_ready(WAIT).system == before.system
    # Open vSwitch makes its internal devices persistent: neither the device nor its addresses go with the process.
    assert ovs.ip("-br", "link", "show", "weft-gw0").split()[2] == device.split()[2]
    more = pod_port(9)
    veths(ovs, more)
    bridge.add_port(more).result(WAIT)
    assert bridge.wait_programmed(more.name, more.key.container, WAIT).ofport not in {
        port.ofport for port in before.ports.values()
    }


def test_the_ledger_survives_a_restart_of_the_database(ovs, loop):
    events = queue.Queue()
    bridge = NodeBridge(loop.session(ovs.remote, OWN), "br-int", events.put)
    bridge.start()
    bridge.ensure(CONFIG).result(WAIT)
    bridge.add_port(pod_port(1)).result(WAIT)
    ports = bridge.ports()
    ovs.restart_ovsdb(signal.SIGKILL)
    seen = []
    while not (seen and isinstance(seen[-1], Snapshot) and any(isinstance(e, OvsdbLost) for e in seen)):
        seen.append(events.get(timeout=WAIT))
    assert set(bridge.ports()) == set(ports)
    assert bridge.lost is None
