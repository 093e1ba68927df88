"""Who has no right certificate is refused by the controller, on both channels, and counted by the reason."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest
from controller_fixture import Running, until
from controller_fixture import controller as plain
from pki_fixture import Certified
from tls_fixture import AT_NODE, CONTROL, NODE, OPENFLOW_PORT, OVSDB_PORT, World, world

WAIT = 30.0
COUNTER = "weft_tls_refused_total"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tls")) as there:
        there.ovs.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev", "protocols=OpenFlow15")
        yield there


@pytest.fixture(scope="module")
def controller(made: World) -> Iterator[Running]:
    with made.controller() as running:
        running.wait_logged("controller started")
        yield running


@pytest.fixture(autouse=True)
def _nothing_else(made: World) -> Iterator[None]:
    """A switch that connects nowhere, shows nothing and is not reached, before and after."""
    yield
    made.ovs.vsctl("del-controller", "br0", "--", "del-manager", "--", "del-ssl")
    say(made, None)


def show(made: World, certified: Certified) -> None:
    made.ovs.vsctl("set-ssl", str(certified.key), str(certified.certificate), str(certified.ca))


def say(made: World, ovsdb: str | None) -> None:
    """Have the Node say where its database is."""
    annotations = {"weft.dev/ovsdb": ovsdb}
    body = {"metadata": {"annotations": annotations}}
    made.api.request("PATCH", f"/api/v1/nodes/{NODE}", body, "application/merge-patch+json")


def count(controller: Running, channel: str, reason: str) -> float:
    return controller.metrics().get((COUNTER, channel, reason), 0.0)


def refused(controller: Running, channel: str, reason: str, before: float) -> dict[str, object]:
    """The line of the log, once another one is counted."""
    until(lambda: count(controller, channel, reason) > before, f"{channel} {reason} to be counted")
    return controller.wait_logged("TLS connection refused", channel=channel, reason=reason)


# Switches.


def switch_refused(made: World, controller: Running, target: str, reason: str) -> dict[str, object]:
    before = count(controller, "openflow", reason)
    made.ovs.vsctl("set-controller", "br0", target, "--", "set", "Controller", "br0", "max_backoff=1000")
    line = refused(controller, "openflow", reason, before)
    assert line["peer"] == AT_NODE[4]
    assert count(controller, "openflow", reason) >= 1
    assert controller.metrics()["weft_switches_connected",] == 0
    return line


def test_a_switch_with_an_expired_certificate_is_refused(made: World, controller: Running) -> None:
    show(made, made.pki.expired)
    line = switch_refused(made, controller, made.openflow, "expired")
    assert "certificate has expired" in str(line["why"])


def test_a_switch_with_a_certificate_of_another_authority_is_refused(made: World, controller: Running) -> None:
    show(made, made.pki.stranger)
    switch_refused(made, controller, made.openflow, "unknown-ca")


def test_a_switch_with_another_name_is_refused(made: World, controller: Running) -> None:
    show(made, made.pki.misnamed)
    line = switch_refused(made, controller, made.openflow, "wrong-name")
    assert "weft-nobody" in str(line["why"])


def test_a_switch_with_the_controllers_own_certificate_is_refused(made: World, controller: Running) -> None:
    show(made, made.pki.controller)
    switch_refused(made, controller, made.openflow, "wrong-name")


def test_a_switch_without_tls_is_refused(made: World, controller: Running) -> None:
    switch_refused(made, controller, f"tcp:{CONTROL[4]}:{OPENFLOW_PORT}", "not-tls")


def test_a_switch_that_comes_again_and_again_is_logged_once(made: World, controller: Running) -> None:
    made.ovs.vsctl("set-controller", "br0", f"tcp:{CONTROL[4]}:{OPENFLOW_PORT}", "--", "set", "Controller", "br0",
                   "max_backoff=1000")  # fmt: skip
    before = count(controller, "openflow", "not-tls")
    until(lambda: count(controller, "openflow", "not-tls") >= before + 3, "three more")
    assert len(controller.logged("TLS connection refused", reason="not-tls")) == 1


def reach(made: World, address: str, port: int) -> socket.socket:
    """A connection from the namespace of the other end."""
    space = made.node if address in CONTROL.values() else made.control
    connection = space.run(lambda: socket.create_connection((address, port), WAIT))
    connection.settimeout(WAIT)
    return connection


def hear(peer: socket.socket) -> None:
    """Read until the other end closes. TimeoutError: it does not."""
    while peer.recv(65536):
        pass


def without_certificate(made: World) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(made.pki.authority.certificate))
    context.check_hostname = False
    return context


def test_a_peer_without_a_certificate_is_refused(made: World, controller: Running) -> None:
    before = count(controller, "openflow", "no-certificate")
    with (
        reach(made, CONTROL[4], OPENFLOW_PORT) as raw,
        without_certificate(made).wrap_socket(raw) as peer,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        hear(peer)
    refused(controller, "openflow", "no-certificate", before)


def test_a_peer_that_is_silent_is_refused(made: World, controller: Running) -> None:
    before = count(controller, "openflow", "timeout")
    with reach(made, CONTROL[4], OPENFLOW_PORT) as peer:
        hear(peer)
    refused(controller, "openflow", "timeout", before)


# Databases.


@pytest.mark.parametrize("reason", ["expired", "unknown-ca", "wrong-name"])
def test_a_database_with_a_wrong_certificate_is_refused(made: World, controller: Running, reason: str) -> None:
    shown = {"expired": made.pki.expired, "unknown-ca": made.pki.stranger, "wrong-name": made.pki.misnamed}[reason]
    before = count(controller, "ovsdb", reason)
    show(made, shown)
    made.ovs.vsctl("set-manager", made.manager)
    say(made, made.ovsdb)
    line = refused(controller, "ovsdb", reason, before)
    assert line["peer"] == made.ovsdb
    lost = until(lambda: [each for each in controller.logged("database lost") if line["why"] in each["reason"]], "it")
    assert lost[0]["node"] == NODE
    assert made.ovs.vsctl("get", "Manager", made.manager, "is_connected").strip() == "false"


def test_a_database_that_does_not_accept_our_certificate_is_counted(made: World, controller: Running) -> None:
    before = count(controller, "ovsdb", "refused-us")
    show(made, made.pki.agent.accepting(made.pki.other))
    made.ovs.vsctl("set-manager", made.manager)
    say(made, made.ovsdb)
    refused(controller, "ovsdb", "refused-us", before)


def test_a_database_without_tls_elsewhere_is_not_called(made: World, controller: Running) -> None:
    made.ovs.vsctl("set-manager", f"ptcp:{OVSDB_PORT}:{AT_NODE[4]}")
    say(made, f"tcp:{AT_NODE[4]}:{OVSDB_PORT}")
    problem = controller.wait_logged("problem", reason="DatabaseUnusable")
    assert "without TLS only loopback addresses are allowed; give ssl:IP:PORT" in problem["message"]
    assert made.ovs.vsctl("get", "Manager", f"ptcp:{OVSDB_PORT}:{AT_NODE[4]}", "is_connected").strip() == "false"


def test_a_controller_without_certificates_says_what_it_lacks_for_a_node_with_tls(made: World) -> None:
    target = f"unix:{made.root}/of.sock"
    say(made, made.ovsdb)
    try:
        with plain(
            made.control, api_server=made.api_url, openflow_listen=target, health_address="127.0.0.1:0"
        ) as running:
            problem = running.wait_logged("problem", reason="DatabaseUnusable")
            assert "ssl: needs the settings tls-ca, tls-certificate and tls-key" in problem["message"]
    finally:
        say(made, None)


# The controller's own files.


def test_a_certificate_that_expired_is_told_by_readyz(made: World) -> None:
    with made.controller(made.pki.expired, openflow_listen=f"unix:{made.root}/of.sock") as running:
        until(lambda: "tls-certificate" in running.get("/readyz")[1], "the certificate to be told")
        status, text = running.get("/readyz")
        assert (status, "expired on" in text) == (503, True)
