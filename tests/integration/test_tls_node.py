"""A node and a controller over TLS, from the settings to a pod's first address; and what the agent keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_fixture import Running, until
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
    until(lambda: str(made.pki.authority.certificate.name) and "Private key" in made.ovs.vsctl("get-ssl"), "SSL")
    with made.attached("second"):
        pass
