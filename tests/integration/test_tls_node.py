"""A node and a controller over TLS, from the settings to a pod's first address; and what the agent keeps of it."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
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


# The rows.


def rows(made: World) -> list[object]:
    """SSL and Manager rows, less what Open vSwitch writes."""
    wanted = {
        "SSL": "private_key,certificate,ca_cert,bootstrap_ca_cert,external_ids",
        "Manager": "target,external_ids",
    }
    return [
        json.loads(made.ovs.vsctl("--format=json", f"--columns={columns}", "list", table))["data"]
        for table, columns in wanted.items()
    ]


def test_open_vswitch_shows_what_the_settings_name(made: World, agent: Running, mounted: Certified) -> None:
    told = made.ovs.vsctl("get-ssl")
    for path in (mounted.key, mounted.certificate, mounted.ca):
        assert str(path) in told
    assert "Bootstrap: false" in told


DAMAGES: dict[str, Callable[[World], object]] = {
    "no SSL row": lambda made: made.ovs.vsctl("del-ssl"),
    "other files": lambda made: made.ovs.vsctl("set-ssl", "/x", "/y", "/z"),
    "an authority from the first who comes": lambda made: made.ovs.vsctl("set", "SSL", ".", "bootstrap_ca_cert=true"),
    "no Manager": lambda made: made.ovs.vsctl("del-manager"),
    "another Manager in its place": lambda made: made.ovs.vsctl("set-manager", f"pssl:6641:{AT_NODE[4]}"),
    "a Manager at another port": lambda made: made.ovs.vsctl("set", "Manager", ".", 'target="pssl:6642"'),
    "its mark": lambda made: made.ovs.vsctl("clear", "Manager", ".", "external_ids"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_changed_by_hand_comes_back_and_pods_are_attached(made: World, agent: Running, what: str) -> None:
    before = rows(made)
    DAMAGES[what](made)
    assert rows(made) != before
    try:
        until(lambda: restored(made, before), f"the rows {before}, not {rows(made)}")
    finally:
        for target in made.ovs.vsctl("get-manager").split():
            if target != made.manager:
                made.ovs.vsctl("--if-exists", "destroy", "Manager", target)


def restored(made: World, before: list[object]) -> bool:
    """Whether the rows are as before, but for Managers of others."""
    ssl_row, managers = rows(made)
    return ssl_row == before[0] and all(each in managers for each in before[1])
