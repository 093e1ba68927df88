"""A node and a controller over TLS, from the settings to a pod's first address; and what the agent keeps of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_fixture import Running, until
from dbs_fixture import listed, thief
from pki_fixture import Certified
from tls_fixture import AT_NODE, OPENFLOW_PORT, OVSDB_PORT, World, world

from daemon.tls import examine

WAIT = 30.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tls")) as there:
        yield there


@pytest.fixture(scope="module")
def mounted(made: World, tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """The agent's files where tests may replace them."""
    return made.pki.agent.put(tmp_path_factory.mktemp("mounted") / "tls")


@pytest.fixture(scope="module")
def controller(made: World) -> Iterator[Running]:
    with made.controller() as running:
        yield running


@pytest.fixture(scope="module")
def agent(made: World, controller: Running, mounted: Certified) -> Iterator[Running]:
    with made.agent(mounted) as running:
        until(lambda: running.get("/readyz")[0] == 200, "a node that is ready")
        yield running


@pytest.mark.parametrize("family", [4, 6])
def test_a_pod_is_attached_and_detached(tmp_path: Path, family: int) -> None:
    with world(tmp_path, family) as there, there.controller(), there.agent() as agent:
        until(lambda: agent.get("/readyz")[0] == 200, "a node that is ready")
        assert there.wait_annotated()["weft.dev/ovsdb"] == there.ovsdb
        with there.attached("web") as result:
            assert [each["address"] for each in result["ips"]]
            assert "weft-programmed" in there.ovs.vsctl("--bare", "--columns=external_ids", "list", "Port")
        assert there.ovs.vsctl("get-controller", "br-int").split() == [there.openflow]
        assert there.ovs.vsctl("get-manager").split() == [there.manager]


def test_with_an_authority_for_each_side_all_is_well_and_a_nodes_certificate_opens_no_node(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        node, control = there.pki.stranger, there.pki.controller.accepting(there.pki.other)
        with there.controller(control) as controller, there.agent(node) as agent:
            for each in (controller, agent):
                until(lambda each=each: each.get("/readyz")[0] == 200, "a daemon that is ready")
            with there.attached("web") as result:
                assert [each["address"] for each in result["ips"]]
            assert [name for name in controller.metrics() if name[0] == "weft_tls_refused_total"] == []
            assert "Open_vSwitch" in asked(there, thief(control))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                asked(there, thief(node))


def test_with_an_authority_for_each_side_no_node_is_a_switchs_controller(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        stolen = there.pki.other.issue("weft-agent").accepting(there.pki.other)
        with there.controller(stolen) as false, there.agent(there.pki.stranger):
            refused = ("weft_tls_refused_total", "openflow", "refused-us")
            until(lambda: false.metrics().get(refused), "the switch to refuse it")
            assert there.ovs.vsctl("get-controller", "br-int").split() == [there.openflow]
            assert there.ovs.vsctl("--bare", "--columns=is_connected", "list", "controller").strip() == "false"
            assert false.metrics()["weft_switches_connected",] == 0


def test_both_channels_are_those_of_the_wire_and_nothing_was_refused(
    made: World, controller: Running, agent: Running
) -> None:
    with made.attached("first"):
        peers = made.control.command("ss", "-Htn", "state", "established")
    assert f"{OPENFLOW_PORT} " in peers
    assert f"{AT_NODE[4]}:{OVSDB_PORT} " in peers
    assert [name for name in controller.metrics() if name[0] == "weft_tls_refused_total"] == []


def test_when_the_certificates_expire_is_measured(made: World, controller: Running, agent: Running) -> None:
    for running, files in ((controller, made.pki.controller.files), (agent, made.pki.agent.files)):
        assert running.metrics()["weft_tls_certificate_expires_seconds",] == examine(files).not_after


def test_rows_that_are_removed_by_hand_come_back_and_pods_are_attached(made: World, agent: Running) -> None:
    made.ovs.vsctl("del-ssl", "--", "del-manager")
    until(lambda: made.ovs.vsctl("get-manager").split() == [made.manager], "the Manager")
    assert "Private key" in made.ovs.vsctl("get-ssl")
    with made.attached("second"):
        pass


# Who comes to the database.


def reach(made: World) -> socket.socket:
    """A connection to the database, from the controller's side."""
    connection = made.control.run(lambda: socket.create_connection((AT_NODE[4], OVSDB_PORT), WAIT))
    connection.settimeout(WAIT)
    return connection


def context(made: World, shown: Certified | None) -> ssl.SSLContext:
    wanted = ssl.create_default_context(cafile=str(made.pki.authority.certificate))
    wanted.check_hostname = False
    if shown is not None:
        wanted.load_cert_chain(shown.certificate, shown.key)
    return wanted


def asked(made: World, using: ssl.SSLContext) -> list[str]:
    """The databases, asked from the controller's side."""
    return made.control.run(lambda: listed((AT_NODE[4], OVSDB_PORT), using))


@pytest.mark.parametrize("shown", ["none", "expired", "of another authority"])
def test_a_client_of_the_database_without_a_right_certificate_is_refused(
    made: World, agent: Running, shown: str
) -> None:
    wrong = {"none": None, "expired": made.pki.expired, "of another authority": made.pki.stranger}[shown]
    assert "Open_vSwitch" in asked(made, context(made, made.pki.controller))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asked(made, context(made, wrong))


def test_a_client_of_the_database_without_tls_gets_nothing(made: World, agent: Running) -> None:
    with reach(made) as peer:
        peer.sendall(b'{"id":0,"method":"list_dbs","params":[]}')
        assert b"Open_vSwitch" not in ended(peer)


def ended(peer: socket.socket) -> bytes:
    """All that the peer sends until it hangs up."""
    said = b""
    try:
        while chunk := peer.recv(65536):
            said += chunk
    except ConnectionError:
        pass
    return said


# Files that are replaced.


def shown_by_database(made: World) -> bytes | None:
    with reach(made) as raw, context(made, made.pki.controller).wrap_socket(raw) as peer:
        return peer.getpeercert(binary_form=True)


def test_open_vswitch_takes_a_certificate_that_was_replaced_in_place(
    made: World, agent: Running, mounted: Certified
) -> None:
    renewed = made.pki.authority.issue("weft-agent")
    renewed.put(mounted.ca.parent)
    expected = ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
    until(lambda: shown_by_database(made) == expected, "the new certificate")
    with made.attached("third"):
        pass


def test_files_that_are_gone_are_told_and_what_is_connected_stays(
    made: World, agent: Running, mounted: Certified
) -> None:
    mounted.key.unlink()
    until(lambda: "tls-key" in agent.get("/readyz")[1], "the missing key to be told")
    assert agent.get("/readyz")[0] == 503
    with made.attached("fourth"):
        pass
    made.pki.agent.put(mounted.ca.parent)
    until(lambda: agent.get("/readyz")[0] == 200, "a node that is ready")
