"""Which events a change makes, and that it makes no others."""

from dataclasses import replace
from ipaddress import ip_address
from uuid import UUID

from ovsdb.changes import Kind, RowChange
from ovsdb.rows import AttachmentKey, ForeignPort, PodPort, Purging, SystemPort, external_ids
from ovsdb.view import BridgeGone, BridgeSeen, BridgeView, PortChanged, PortGone, Snapshot

BRIDGE, PORT_ROW, INTERFACE = UUID(int=1), UUID(int=2), UUID(int=3)
PORT = PodPort(
    "web-1a2b3c", AttachmentKey("weft", "c0ffee", "eth0"), "default", "web-0", "", "0a:58:0a:01:00:05",
    (ip_address("10.1.0.5"),), "/run/netns/web",
)  # fmt: skip
HEAD = BridgeSeen("br-int", "n1", "0.1", None, "netdev")
BRIDGE_COLUMNS = {
    "name": "br-int",
    "ports": frozenset([PORT_ROW]),
    "datapath_id": None,
    "datapath_type": "netdev",
    "external_ids": {"weft-node": "n1", "weft-version": "0.1"},
}
PORT_COLUMNS = {"name": PORT.name, "interfaces": frozenset([INTERFACE]), "external_ids": {}}
INTERFACE_COLUMNS = {
    "name": PORT.name,
    "external_ids": external_ids(PORT),
    "ofport": None,
    "ifindex": None,
    "error": None,
}


def rows(**tables):
    empty = {"Bridge": {}, "Port": {}, "Interface": {}}
    return empty | tables


FULL = rows(Bridge={BRIDGE: BRIDGE_COLUMNS}, Port={PORT_ROW: PORT_COLUMNS}, Interface={INTERFACE: INTERFACE_COLUMNS})


def view():
    """A view of a bridge with one pod's port."""
    made = BridgeView("br-int")
    made.sync(FULL)
    return made


def modified(table, key, **values):
    return RowChange(table, key, Kind.MODIFIED, values)


def test_the_first_rows_come_as_one_snapshot():
    snapshot = BridgeView("br-int").sync(FULL)
    assert snapshot.head == HEAD
    assert snapshot.bridge.ports == {PORT.name: PORT}


def test_a_database_without_the_bridge_is_an_empty_snapshot():
    assert BridgeView("br-int").sync(rows()) == Snapshot(None, None)


def test_snapshots_tell_the_devices_of_the_bridges_own_ports():
    local = INTERFACE_COLUMNS | {"name": "weft-gw0", "external_ids": {}, "ofport": 2, "ifindex": 14}
    tables = FULL | {
        "Port": {PORT_ROW: PORT_COLUMNS | {"name": "weft-gw0"}},
        "Interface": {INTERFACE: local},
    }
    assert BridgeView("br-int").sync(tables).system == (SystemPort("weft-gw0", 2, 14),)


def test_a_request_for_a_purge_is_one_event():
    ids = BRIDGE_COLUMNS["external_ids"] | {"weft-needs-purge": "true", "weft-purge": "7", "weft-purged": "6"}
    seen = replace(HEAD, purging=Purging(needed=True, asked=7, served=6))
    assert view().apply([modified("Bridge", BRIDGE, external_ids=ids)]) == [seen]


def test_a_port_that_gets_its_number_is_one_event():
    assert view().apply([modified("Interface", INTERFACE, ofport=5)]) == [PortChanged(replace(PORT, ofport=5))]


def test_the_controllers_answer_is_one_event():
    change = modified("Port", PORT_ROW, external_ids={"weft-programmed": "c0ffee"})
    assert view().apply([change]) == [PortChanged(replace(PORT, programmed="c0ffee"))]


def test_what_changes_nothing_that_we_read_is_no_event():
    assert view().apply([modified("Interface", INTERFACE, ifindex=12)]) == []


def test_the_bridges_own_columns_are_one_event():
    change = modified("Bridge", BRIDGE, datapath_id="00000000000000ff")
    assert view().apply([change]) == [replace(HEAD, datapath_id=255)]


def test_rows_of_other_bridges_are_no_event():
    strange = UUID(int=9)
    changes = [
        RowChange("Interface", UUID(int=11), Kind.CREATED, INTERFACE_COLUMNS),
        RowChange("Port", strange, Kind.CREATED, PORT_COLUMNS | {"interfaces": frozenset([UUID(int=11)])}),
        RowChange(
            "Bridge", UUID(int=10), Kind.CREATED, BRIDGE_COLUMNS | {"name": "br-ex", "ports": frozenset([strange])}
        ),
    ]
    assert view().apply(changes) == []


def test_a_port_taken_off_the_bridge_is_gone():
    changes = [
        modified("Bridge", BRIDGE, ports=frozenset()),
        RowChange("Port", PORT_ROW, Kind.DELETED, PORT_COLUMNS),
        RowChange("Interface", INTERFACE, Kind.DELETED, INTERFACE_COLUMNS),
    ]
    assert view().apply(changes) == [PortGone(PORT.name)]
    assert view().apply(reversed(changes)) == [PortGone(PORT.name)]


def test_a_name_that_goes_and_comes_at_once_goes_first():
    port, interface = UUID(int=20), UUID(int=21)
    changes = [
        RowChange("Port", port, Kind.CREATED, PORT_COLUMNS | {"interfaces": frozenset([interface])}),
        RowChange("Interface", interface, Kind.CREATED, INTERFACE_COLUMNS | {"ofport": 8}),
        RowChange("Port", PORT_ROW, Kind.DELETED, PORT_COLUMNS),
        RowChange("Interface", INTERFACE, Kind.DELETED, INTERFACE_COLUMNS),
        modified("Bridge", BRIDGE, ports=frozenset([port])),
    ]
    assert view().apply(changes) == [PortGone(PORT.name), PortChanged(replace(PORT, ofport=8))]


def test_a_port_that_loses_its_keys_becomes_foreign():
    assert view().apply([modified("Interface", INTERFACE, external_ids={})]) == [ForeignPort(PORT.name)]


def test_a_port_whose_keys_break_is_refused_and_comes_back():
    followed = view()
    broken = external_ids(PORT) | {"weft-ips": "10.0.0"}
    (refused,) = followed.apply([modified("Interface", INTERFACE, external_ids=broken)])
    assert refused.name == PORT.name
    assert "'10.0.0'" in refused.why
    repaired = modified("Interface", INTERFACE, external_ids=external_ids(PORT))
    assert followed.apply([repaired]) == [PortChanged(PORT)]


def test_a_bridge_that_is_deleted_takes_its_ports_along():
    gone = RowChange("Bridge", BRIDGE, Kind.DELETED, BRIDGE_COLUMNS)
    assert view().apply([gone]) == [BridgeGone("br-int"), PortGone(PORT.name)]


def test_controllers_are_told_where_they_are_followed():
    controller = UUID(int=30)
    tables = FULL | {
        "Bridge": {BRIDGE: BRIDGE_COLUMNS | {"controller": frozenset([controller])}},
        "Controller": {controller: {"target": "tcp:192.0.2.1:6653", "is_connected": False}},
    }
    followed = BridgeView("br-int")
    assert followed.sync(tables).head.controllers == {"tcp:192.0.2.1:6653": False}
    (head,) = followed.apply([modified("Controller", controller, is_connected=True)])
    assert head.controllers == {"tcp:192.0.2.1:6653": True}
