"""The law: events applied in order give what reading all rows gives, after any history of the database."""

from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from ovsdb_strategies import live_ports, rows_of

from ovsdb.changes import Kind, RowChange
from ovsdb.rows import parse_bridge
from ovsdb.state import BridgeState
from ovsdb.view import BridgeView

BRIDGE = "br-int"


class Database:
    """A database of three tables that tells its changes, in any order within a transaction, as OVSDB does."""

    def __init__(self):
        self.tables = {"Bridge": {}, "Port": {}, "Interface": {}}
        self.changes = []
        self._next = 0

    def insert(self, table, row):
        self._next += 1
        key = UUID(int=self._next)
        self.tables[table][key] = row
        self.changes.append(RowChange(table, key, Kind.CREATED, dict(row)))
        return key

    def modify(self, table, key, **values):
        self.tables[table][key] = self.tables[table][key] | values
        self.changes.append(RowChange(table, key, Kind.MODIFIED, values))

    def delete(self, table, key):
        row = self.tables[table].pop(key)
        self.changes.append(RowChange(table, key, Kind.DELETED, row))

    def take(self, order):
        """The transaction's changes: one order of tables or another, as the server's JSON objects come."""
        changes, self.changes = self.changes, []
        return sorted(changes, key=lambda change: order.index(change.table))


orders = st.permutations(["Bridge", "Port", "Interface"])
_numbers = st.sampled_from(["1", "2", "nonsense"])
_optional = {"weft-node": st.just("n1"), "weft-purge": _numbers, "weft-purged": _numbers}
bridge_ids = st.fixed_dictionaries({}, optional=_optional | {"weft-needs-purge": st.sampled_from(["true", "false"])})


class History(RuleBasedStateMachine):
    """Histories of one database with two bridges, followed by a view and by a state that hears its events."""

    ports = Bundle("ports")

    def __init__(self):
        super().__init__()
        self.db = Database()
        self.view = BridgeView(BRIDGE)
        self.state = BridgeState()
        self.bridges = {}

    @initialize()
    def connect(self):
        self._bridge("br-other")
        self._synced()

    def _bridge(self, name):
        row = {"name": name, "ports": frozenset(), "datapath_id": None, "datapath_type": "", "external_ids": {}}
        self.bridges[name] = self.db.insert("Bridge", row)

    def _synced(self):
        self.db.changes = []
        self.state.apply(self.view.sync(self.db.tables))

    def _commit(self, order):
        for event in self.view.apply(self.db.take(order)):
            self.state.apply(event)

    def _link(self, name, interfaces, port):
        key = self.db.insert("Port", port | {"interfaces": frozenset(interfaces)})
        row = self.db.tables["Bridge"][self.bridges[name]]
        self.db.modify("Bridge", self.bridges[name], ports=row["ports"] | {key})
        return name, key

    @rule(order=orders)
    def make_bridge(self, order):
        if BRIDGE not in self.bridges:
            self._bridge(BRIDGE)
            self._commit(order)

    @rule(target=ports, port=live_ports(), name=st.sampled_from([BRIDGE, "br-other"]), order=orders)
    def add_pod(self, port, name, order):
        if name not in self.bridges or self._taken(port.name):
            return multiple()
        row, interface = rows_of(port)
        link = self._link(name, [self.db.insert("Interface", interface)], row)
        self._commit(order)
        return link

    @rule(target=ports, name=st.sampled_from([BRIDGE, "weft-tun0", "weft-gw0", "eth1"]), order=orders)
    def add_other(self, name, order):
        if BRIDGE not in self.bridges or self._taken(name):
            return multiple()
        interface = {"name": name, "external_ids": {}, "ofport": None, "ifindex": None, "error": None}
        link = self._link(BRIDGE, [self.db.insert("Interface", interface)], {"name": name, "external_ids": {}})
        self._commit(order)
        return link

    @rule(link=consumes(ports), order=orders)
    def remove(self, link, order):
        if not self._there(link):
            return
        self._unlink(*link)
        self._commit(order)

    @rule(link=consumes(ports), target=ports, order=orders, port=live_ports())
    def replace_in_one_transaction(self, link, order, port):
        if not self._there(link):
            return multiple()
        name, key = link
        old = self.db.tables["Port"][key]["name"]
        self._unlink(name, key)
        row, interface = rows_of(port)
        again = {"name": old}
        added = self._link(name, [self.db.insert("Interface", interface | again)], row | again)
        self._commit(order)
        return added

    @rule(link=ports, ofport=st.sampled_from([None, -1, 1, 7]), order=orders, keep=st.booleans())
    def touch_interface(self, link, ofport, order, keep):
        if not self._there(link):
            return
        (interface,) = self.db.tables["Port"][link[1]]["interfaces"]
        ids = self.db.tables["Interface"][interface]["external_ids"]
        values = {"ofport": ofport} if keep else {"ofport": ofport, "external_ids": ids | {"weft-ips": "nonsense"}}
        self.db.modify("Interface", interface, **values)
        self._commit(order)

    @rule(link=ports, container=st.sampled_from(["c1", "c2"]), order=orders)
    def program(self, link, container, order):
        if self._there(link):
            self.db.modify("Port", link[1], external_ids={"weft-programmed": container})
            self._commit(order)

    @rule(dpid=st.sampled_from([None, "00000000000000ff"]), ids=bridge_ids, order=orders)
    def touch_bridge(self, dpid, ids, order):
        if BRIDGE in self.bridges:
            self.db.modify("Bridge", self.bridges[BRIDGE], datapath_id=dpid, external_ids=ids)
            self._commit(order)

    @rule(order=orders)
    def delete_bridge(self, order):
        key = self.bridges.pop(BRIDGE, None)
        if key is None:
            return
        for port in self.db.tables["Bridge"][key]["ports"]:
            for interface in self.db.tables["Port"][port]["interfaces"]:
                self.db.delete("Interface", interface)
            self.db.delete("Port", port)
        self.db.delete("Bridge", key)
        self._commit(order)

    @rule()
    def reconnect(self):
        self._synced()

    def _taken(self, name):
        """Port.name is an index of the database: no two rows have one (vswitch.ovsschema)."""
        return any(row["name"] == name for row in self.db.tables["Port"].values())

    def _there(self, link):
        return link[1] in self.db.tables["Port"]

    def _unlink(self, name, key):
        row = self.db.tables["Bridge"][self.bridges[name]]
        self.db.modify("Bridge", self.bridges[name], ports=row["ports"] - {key})
        for interface in self.db.tables["Port"][key]["interfaces"]:
            self.db.delete("Interface", interface)
        self.db.delete("Port", key)

    @invariant()
    def events_tell_what_the_rows_say(self):
        assert self.state.bridge() == parse_bridge(BRIDGE, self.db.tables)


History.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_any_history = History.TestCase
