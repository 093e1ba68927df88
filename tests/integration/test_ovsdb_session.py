"""Sessions on a real ovsdb-server: what they tell, how requests are committed, and what happens when it is gone."""

import json
import queue
import resource
import threading
from contextlib import ExitStack
from uuid import UUID

import pytest
from ovs_fixture import SCHEMA, private_ovs

from ovsdb.changes import Changed, Kind, Lost, Synced
from ovsdb.errors import OvsdbError, OvsdbUnavailable
from ovsdb.library import idl
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import COLUMNS, OWN, WATCH
from ovsdb.session import MAX_TRIES

WAIT = 10


class Listener:
    """Keeps what a session tells, for the test's thread to wait on."""

    def __init__(self):
        self.events = queue.Queue()

    def __call__(self, event):
        self.events.put(event)

    def next(self, kind):
        """The next event of that kind; others on the way are dropped."""
        while not isinstance(event := self.events.get(timeout=WAIT), kind):
            pass
        return event


@pytest.fixture
def ovs(tmp_path):
    """A database with one bridge and no switch."""
    with private_ovs(tmp_path, start=False) as made:
        made.start_ovsdb()
        made.vsctl("--no-wait", "init", "--", "add-br", "br0")
        yield made


@pytest.fixture
def loop():
    with OvsdbLoop() as running:
        yield running


@pytest.fixture
def session(ovs, loop):
    """A session that is connected."""
    made = loop.session(ovs.remote, OWN)
    listener = Listener()
    made.start(listener)
    listener.next(Synced)
    return made


def watch(loop, remote, interest=WATCH):
    """A second session, and what it was told first."""
    listener = Listener()
    made = loop.session(remote, interest)
    made.start(listener)
    return listener, listener.next(Synced)


def add_port(name, **columns):
    """Work that adds a port with one interface to br0."""

    def work(txn):
        interface = txn.insert("Interface", {"name": name})
        port = txn.insert("Port", {"name": name, "interfaces": [interface], **columns})
        txn.link(txn.find("Bridge", "br0"), "ports", port)
        return name

    return work


def tag(key, value):
    """Work that writes one key on br0."""

    def work(txn):
        txn.set_keys(txn.find("Bridge", "br0"), "external_ids", {key: value})
        return txn.get(txn.find("Bridge", "br0"), "external_ids")[key]

    return work


def together(loop, submit):
    """Have `submit` called while the loop is held, so that all it submits waits together."""
    held, go = threading.Event(), threading.Event()
    loop.call(lambda: (held.set(), go.wait(WAIT)))
    assert held.wait(WAIT)
    try:
        return submit()
    finally:
        go.set()


def get(ovs, *args):
    return ovs.vsctl("--no-wait", *args).strip()


def test_all_rows_come_first_as_plain_values(ovs, loop):
    get(ovs, "set", "Bridge", "br0", "external_ids:a=b", "datapath_type=netdev")
    _, synced = watch(loop, ovs.remote)
    (bridge,) = synced.tables["Bridge"].values()
    assert bridge["name"] == "br0"
    assert bridge["external_ids"] == {"a": "b"}
    assert bridge["datapath_id"] is None
    assert [type(ref) for ref in bridge["ports"]] == [UUID]
    assert set(synced.tables) == {"Open_vSwitch", "Bridge", "Port", "Interface"}


def test_only_what_changed_is_told(ovs, loop):
    ports = [word for n in range(250) for word in ("--", "add-port", "br0", f"p{n}")]
    get(ovs, *ports[1:])
    listener, synced = watch(loop, ovs.remote)
    assert len(synced.tables["Port"]) == 251
    get(ovs, "set", "Port", "p7", "external_ids:weft-programmed=c1")
    changed = listener.next(Changed)
    (change,) = changed.changes
    assert (change.table, change.kind) == ("Port", Kind.MODIFIED)
    assert change.values == {"external_ids": {"weft-programmed": "c1"}}


def test_columns_that_are_not_registered_are_not_heard_of(ovs, loop):
    listener, _ = watch(loop, ovs.remote)
    get(ovs, "set", "Interface", "br0", "options:x=y")
    get(ovs, "set", "Interface", "br0", "external_ids:x=y")
    (change,) = listener.next(Changed).changes
    assert change.values == {"external_ids": {"x": "y"}}


def test_a_request_gives_what_its_work_returned(ovs, session):
    assert session.submit(tag("k", "v")).result(WAIT) == "v"
    assert get(ovs, "get", "Bridge", "br0", "external_ids:k") == "v"


def test_the_owner_knows_before_the_future_is_done(ovs, loop):
    listener, _ = watch(loop, ovs.remote)
    seen = []
    own = loop.session(ovs.remote, WATCH)
    own.start(lambda event: seen.append(event))
    own.submit(tag("k", "v")).result(WAIT)
    assert any(change.values.get("external_ids") == {"k": "v"} for e in seen[1:] for change in e.changes)
    listener.next(Changed)


def test_what_waits_together_is_committed_together(ovs, loop, session):
    listener, _ = watch(loop, ovs.remote)
    futures = together(loop, lambda: [session.submit(add_port(f"p{n}")) for n in range(20)])
    assert [future.result(WAIT) for future in futures] == [f"p{n}" for n in range(20)]
    created = [change for change in listener.next(Changed).changes if change.kind is Kind.CREATED]
    assert len(created) == 40
    assert len(get(ovs, "list-ports", "br0").split()) == 20


def test_everybody_who_counts_is_counted(ovs, loop, session):
    before = int(get(ovs, "get", "Open_vSwitch", ".", "next_cfg"))
    watching = loop.session(ovs.remote, WATCH)
    watching.start(Listener())

    def count(txn):
        txn.increment(txn.root(), "next_cfg")

    futures = [each.submit(count) for _ in range(10) for each in (session, watching)]
    for future in futures:
        future.result(WAIT)
    assert int(get(ovs, "get", "Open_vSwitch", ".", "next_cfg")) == before + 20


def test_work_that_raises_fails_alone(ovs, loop, session):
    def bad(txn):
        txn.set_keys(txn.find("Bridge", "br0"), "external_ids", {"bad": "half-done"})
        raise LookupError("no")

    def submit():
        return [session.submit(add_port("p1")), session.submit(bad), session.submit(add_port("p2"))]

    first, raised, last = together(loop, submit)
    assert (first.result(WAIT), last.result(WAIT)) == ("p1", "p2")
    with pytest.raises(LookupError):
        raised.result(WAIT)
    assert get(ovs, "--if-exists", "get", "Bridge", "br0", "external_ids:bad") == ""


def test_what_the_server_refuses_fails_alone(ovs, loop, session):
    def submit():
        return [session.submit(add_port(name)) for name in ("p1", "br0", "p2")]

    first, refused, last = together(loop, submit)
    assert (first.result(WAIT), last.result(WAIT)) == ("p1", "p2")
    with pytest.raises(OvsdbError, match=r"refused.*br0"):
        refused.result(WAIT)


def test_a_value_of_the_wrong_type_is_an_error_not_a_log_line(session):
    def work(txn):
        txn.update(txn.find("Bridge", "br0"), {"fail_mode": 5})

    with pytest.raises(OvsdbError, match=r"Bridge\.fail_mode cannot be 5"):
        session.submit(work).result(WAIT)


def test_what_is_made_and_unlinked_in_a_transaction_was_never_there(ovs, session):
    def work(txn):
        add_port("p1")(txn)
        made = txn.find("Port", "p1") is not None
        txn.unlink(txn.find("Bridge", "br0"), "ports", txn.find("Port", "p1"))
        return made, txn.find("Port", "p1")

    assert session.submit(work).result(WAIT) == (True, None)
    assert get(ovs, "list-ports", "br0") == ""


def test_a_name_can_go_and_come_in_one_transaction(ovs, session):
    session.submit(add_port("p1", external_ids={"who": "old"})).result(WAIT)

    def work(txn):
        txn.unlink(txn.find("Bridge", "br0"), "ports", txn.find("Port", "p1"))
        add_port("p1", external_ids={"who": "new"})(txn)

    session.submit(work).result(WAIT)
    assert get(ovs, "get", "Port", "p1", "external_ids:who") == "new"


def test_a_conflict_is_composed_again_on_fresh_rows(ovs, session):
    seen = []

    def work(txn):
        port = txn.find("Port", "p1")
        seen.append(port is not None)
        if port is not None:
            # Somebody deletes it between our look and our commit.
            get(ovs, "--if-exists", "del-port", "br0", "p1")
            txn.guard(port)
            txn.set_keys(port, "external_ids", {"k": "v"})

    session.submit(add_port("p1")).result(WAIT)
    session.submit(work).result(WAIT)
    assert seen == [True, False]


def test_endless_conflict_ends(ovs, session):
    count = []

    def work(txn):
        count.append(1)
        bridge = txn.find("Bridge", "br0")
        bridge.verify("external_ids")
        txn.set_keys(bridge, "external_ids", {"ours": str(len(count))})
        get(ovs, "set", "Bridge", "br0", f"external_ids:theirs={len(count)}")

    with pytest.raises(OvsdbError, match="others keep changing"):
        session.submit(work, timeout_s=60).result(60)
    assert len(count) == MAX_TRIES


def test_a_restarted_server_is_found_again_with_what_changed_meanwhile(ovs, loop):
    listener, _ = watch(loop, ovs.remote)
    ovs.stop("ovsdb-server")
    assert "closed by the server" in listener.next(Lost).reason
    assert "no such socket" in listener.next(Lost).reason
    ovs.start_ovsdb()
    listener.next(Synced)
    get(ovs, "set", "Bridge", "br0", "external_ids:after=restart")
    (change,) = listener.next(Changed).changes
    assert change.values["external_ids"] == {"after": "restart"}


def test_a_request_made_while_the_server_is_away_is_committed_when_it_is_back(ovs, session):
    ovs.stop("ovsdb-server")
    future = session.submit(tag("patient", "yes"))
    ovs.start_ovsdb()
    assert future.result(WAIT) == "yes"


def test_a_request_that_nobody_answers_says_why(ovs, session):
    ovs.stop("ovsdb-server")
    with pytest.raises(OvsdbUnavailable, match=r"not committed in time: .*no such socket"):
        session.submit(tag("k", "v"), timeout_s=0.5).result(WAIT)


def test_a_socket_that_never_was_is_told_and_waited_for(tmp_path, loop):
    listener = Listener()
    loop.session(f"unix:{tmp_path}/none.sock", WATCH).start(listener)
    assert "cannot connect: no such socket" in listener.next(Lost).reason


def test_an_uninitialised_database_is_an_error(tmp_path, loop):
    with private_ovs(tmp_path, start=False) as ovs:
        ovs.start_ovsdb()
        session = loop.session(ovs.remote, OWN)
        session.start(lambda event: None)
        with pytest.raises(OvsdbError, match="ovs-vsctl init"):
            session.submit(lambda txn: txn.root()).result(WAIT)


def test_a_remote_of_no_kind_is_refused(loop):
    with pytest.raises(ValueError, match="'punix:/x'"):
        loop.session("punix:/x", WATCH)


def test_an_owner_that_fails_does_not_stop_the_others(ovs, loop):
    def fail(event):
        raise RuntimeError("an owner's mistake")

    failing = loop.session(ovs.remote, OWN)
    failing.start(fail)
    listener, _ = watch(loop, ovs.remote)
    assert failing.submit(tag("still", "works")).result(WAIT) == "works"
    listener.next(Changed)


def test_a_closed_session_answers_at_once(ovs, loop, session):
    session.close().result(WAIT)
    session.close().result(WAIT)
    with pytest.raises(OvsdbUnavailable, match="closed"):
        session.submit(tag("k", "v")).result(WAIT)


def test_stopping_the_loop_answers_what_waits(ovs):
    loop = OvsdbLoop()
    loop.start()
    waiting = loop.session("unix:/nowhere/db.sock", WATCH)
    waiting.start(lambda event: None)
    future = waiting.submit(tag("k", "v"))
    loop.stop()
    loop.stop()
    for late in (future, waiting.submit(tag("k", "v")), loop.session(ovs.remote, WATCH).submit(tag("k", "v"))):
        with pytest.raises(OvsdbUnavailable):
            late.result(WAIT)


def test_a_cancelled_request_is_not_committed(ovs, loop, session):
    def submit():
        future = session.submit(add_port("never"))
        assert future.cancel()
        return session.submit(add_port("p1"))

    together(loop, submit).result(WAIT)
    assert get(ovs, "list-ports", "br0") == "p1"


def test_several_servers_share_a_thread(tmp_path, loop):
    before = threading.active_count()
    with ExitStack() as stack:
        servers = [stack.enter_context(private_ovs(tmp_path, start=False)) for _ in range(3)]
        for n, ovs in enumerate(servers):
            ovs.start_ovsdb()
            get(ovs, "init", "--", "add-br", "br0", "--", "set", "Bridge", "br0", f"external_ids:n={n}")
        heard = [watch(loop, ovs.remote)[1] for ovs in servers for _ in range(5)]
    ids = [next(iter(synced.tables["Bridge"].values()))["external_ids"]["n"] for synced in heard]
    assert ids == [n for n in "012" for _ in range(5)]
    assert threading.active_count() == before


def test_descriptors_beyond_what_select_can_do(ovs):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1400 if hard == resource.RLIM_INFINITY else min(1400, hard)
    if wanted < 1400:
        pytest.skip("this host allows too few descriptors")
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.enter_context(open("/dev/null"))
        loop = stack.enter_context(OvsdbLoop())
        listener, _ = watch(loop, ovs.remote)
        get(ovs, "set", "Bridge", "br0", "external_ids:a=b")
        listener.next(Changed)


def test_the_schema_is_a_part_of_the_installed_one():
    helper = idl.SchemaHelper(schema_json=json.loads(SCHEMA.read_text()))
    helper.register_all()
    installed = helper.get_idl_schema().tables
    for table, columns in COLUMNS.items():
        for name, declared in columns.items():
            real = installed[table].columns[name].type.to_json()
            wanted = {"key": declared} if isinstance(declared, str) else declared
            for part in ("min", "max"):
                assert (real.get(part, 1) if isinstance(real, dict) else 1) == wanted.get(part, 1), (table, name)
            for part in ("key", "value"):
                key = real.get(part, "") if isinstance(real, dict) else {"key": real}.get(part, "")
                kind = key.get("type", key) if isinstance(key, dict) else key
                mine = wanted.get(part, "")
                assert kind == (mine.get("type", mine) if isinstance(mine, dict) else mine), (table, name, part)
