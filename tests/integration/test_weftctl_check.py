"""weftctl check finds what is broken on purpose in a lab, says what to do, and is content once it is mended."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_fixture import certificate, dropped, shrunk, stopped
from lab_fixture import agent_problem, pod, run, running_lab, settled, until, vsctl
from weftctl_fixture import Ran, typed, weftctl

from lab.bringup import CONTROLLER, agent, ovsdb, vswitchd
from lab.lab import Lab

NAME = f"t-wcheck-{os.getpid()}"
CHECKS = {
    "api", "nodes", "controllers", "kernel", "ovs-version", "switch", "agent", "certificates", "ports", "controller",
    "mtu", "tunnel", "pods",
}  # fmt: skip
QUIET = ("--peers", "0")
"""Without packets between the nodes, whose answers kernels limit: it is quicker."""

Obj = dict[str, Any]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab(NAME, pod("one", "node1"), pod("two", "node2")) as lab:
        yield lab


@pytest.fixture(autouse=True)
def _mended(lab: Lab) -> Iterator[None]:
    """Each test leaves a network in which all is well."""
    yield
    until(lambda: agent_problem(lab, "node1") is None and agent_problem(lab, "node2") is None, "both agents ready")
    settled(lab)
    until(lambda: look(*QUIET).status == 0, "nothing failed any more")


def look(*arguments: str) -> Ran:
    return weftctl("check", "--lab", NAME, *arguments)


def failures(*arguments: str) -> list[Obj]:
    """What failed; the exit status says so too, and nothing that failed is without a remedy."""
    ran = look("-o", "json", *arguments)
    document = json.loads(ran.out)
    found = [each for each in document["findings"] if each["result"] == "failed"]
    assert ran.status == (1 if found else 0)
    assert document["well"] is not bool(found)
    assert [each for each in found if not each["remedy"]] == []
    return found


def failed(check: str, node: str | None) -> list[str]:
    """What the check says that failed at the node. Tunnels are tried only when they are what is asked for."""
    found = failures(*(() if check == "tunnel" else QUIET))
    return [each["what"] for each in found if (each["check"], each["node"]) == (check, node)]


def awaited(check: str, node: str | None, has: Callable[[list[str]], bool] = bool) -> list[str]:
    """The same once there is something: what is broken takes its time to show."""
    return until(lambda: (found := failed(check, node)) and has(found) and found, f"{check} at {node}")


def test_all_is_well() -> None:
    ran = typed("check", "--lab", NAME)
    assert (ran.status, ran.err) == (0, "")
    assert {row.split()[0] for row in ran.lines[1:-2]} == CHECKS
    assert ran.lines[-1] == "13 checks of 2 nodes: all is well"


def test_as_json_and_of_every_node() -> None:
    document = json.loads(look("-o", "json").out)
    assert document["well"] is True
    assert {each["check"] for each in document["findings"]} == CHECKS
    rows = look("--all").lines
    assert [line.split()[1] for line in rows if line.startswith("mtu ")] == ["node1", "node2"]
    only = json.loads(look("-o", "json", "--node", "node2").out)["findings"]
    assert {each["node"] for each in only} == {None, "node2"}


def test_no_controller(lab: Lab) -> None:
    with stopped(lab, CONTROLLER):
        (what,) = failed("controllers", None)
        assert "nothing listens at 127.0.0.1" in what
        awaited("controller", "node1", lambda found: "is not connected to its controller unix:" in found[0])


def test_no_agent(lab: Lab) -> None:
    with stopped(lab, agent("node2")):
        (what,) = failed("agent", "node2")
        assert "nothing listens at 127.0.0.1:9443 in its network: weft-agent does not run" in what
        assert failed("agent", "node1") == []


def test_no_switch(lab: Lab) -> None:
    with stopped(lab, vswitchd("node1")):
        (what,) = failed("switch", "node1")
        assert "is ovs-vswitchd running" in what
        assert any(
            "node1 (10.244.1.1) does not answer through the tunnel" in each for each in failed("tunnel", "node2")
        )


def test_no_database(lab: Lab) -> None:
    with stopped(lab, ovsdb("node1")):
        (what,) = failed("switch", "node1")
        assert what.endswith("db.sock: cannot connect: Connection refused")
        # The other node is looked at as ever.
        assert failed("switch", "node2") == []


def test_a_pod_that_is_not_programmed(lab: Lab) -> None:
    (port,) = [line for line in vsctl(lab, "node1", "list-ports", "br-int").split() if line.startswith("one-")]
    try:
        with stopped(lab, CONTROLLER):
            vsctl(lab, "node1", "remove", "Port", port, "external_ids", "weft-programmed")
            (what,) = failed("pods", "node1")
            assert what == "default/one: not programmed: the controller has not confirmed its flows"
    finally:
        settled(lab)


def test_a_port_that_is_not_wefts_is_no_failure(lab: Lab) -> None:
    try:
        vsctl(lab, "node1", "add-port", "br-int", "t-alien", "--", "set", "Interface", "t-alien", "type=internal")
        ran = look("-o", "json")
        found = [each for each in json.loads(ran.out)["findings"] if each["result"] == "warning"]
        assert ran.status == 0
        assert [each["what"] for each in found] == [
            "port t-alien on bridge br-int is not Weft's; nothing passes through it"
        ]
        assert "del-port" in found[0]["remedy"]
    finally:
        vsctl(lab, "node1", "--if-exists", "del-port", "br-int", "t-alien")


def test_the_tunnel_is_blocked(lab: Lab) -> None:
    with dropped(lab, "udp dport 6081"):
        found = failures()
        assert {each["check"] for each in found} == {"tunnel"}
        assert {each["node"] for each in found} == {"node1", "node2"}
        first = found[0]
        assert first["what"] == "node2 (10.244.2.1) does not answer through the tunnel: no answer"
        assert "let UDP port 6081 (geneve) pass between 198.18.1.1 and 198.18.1.2" in first["remedy"]


def test_large_packets_are_lost_between_the_nodes(lab: Lab) -> None:
    with dropped(lab, "meta length gt 1400 ip protocol udp"):
        whats = failed("tunnel", "node1")
        assert "packets of 1450 bytes do not get to node2 (10.244.2.1), small ones do: no answer" in whats
        assert failed("mtu", "node1") == []


def test_an_uplink_that_is_smaller_than_the_others(lab: Lab) -> None:
    with shrunk(lab, "node1", "eth1", 1400):
        # Until its agent has seen that, the packets of its pods are too large; then they are smaller than others'.
        awaited("mtu", "node1", lambda found: "pods here have an MTU of 1350, those of most nodes 1450" in found[0])
        rows = json.loads(look("-o", "json").out)["findings"]
        older = [each["what"] for each in rows if each["check"] == "mtu" and each["result"] == "warning"]
        assert older == ["default/one has an MTU of 1450, from before it was lowered to 1350"]


@pytest.fixture
def secured(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """node1's Open vSwitch uses a good certificate from this directory."""
    directory = certificate(tmp_path / "good", "weft-agent")
    try:
        serve(lab, directory)
        yield directory
    finally:
        vsctl(lab, "node1", "del-ssl")


def serve(lab: Lab, directory: Path) -> None:
    vsctl(lab, "node1", "set-ssl", *(str(directory / name) for name in ("tls.key", "tls.crt", "ca.crt")))


def said(check: str) -> dict[str, tuple[str, str]]:
    rows = json.loads(look("-o", "json", *QUIET).out)["findings"]
    return {each["node"]: (each["result"], each["what"]) for each in rows if each["check"] == check}


@pytest.fixture
def listening(lab: Lab) -> Iterator[None]:
    """node1's database is reached over the network."""
    remote = "ptcp:6640:198.18.0.1"
    try:
        vsctl(lab, "node1", "set-manager", remote)
        ovsdb_server(lab, "add-remote", remote)
        yield
    finally:
        vsctl(lab, "node1", "del-manager")
        ovsdb_server(lab, "remove-remote", remote)


def ovsdb_server(lab: Lab, command: str, remote: str) -> None:
    rundir = lab.paths.node("node1").ovs
    number = (rundir / "ovsdb-server.pid").read_text().strip()
    run("ovs-appctl", f"--target={rundir}/ovsdb-server.{number}.ctl", f"ovsdb-server/{command}", remote)


def test_a_database_that_others_reach(listening: None) -> None:
    assert said("ports") == dict.fromkeys(("node1", "node2"), ("ok", "open: 198.18.0.1:6640"))


def test_a_port_that_a_firewall_closes(lab: Lab, listening: None) -> None:
    with dropped(lab, "tcp dport 6640"):
        (what,) = failed("ports", "node2")
        assert what == "198.18.0.1:6640 cannot be used from this node: no answer"


def test_a_database_that_does_not_listen(lab: Lab, listening: None) -> None:
    ovsdb_server(lab, "remove-remote", "ptcp:6640:198.18.0.1")
    (what,) = failed("ports", "node2")
    assert what == "198.18.0.1:6640 cannot be used from this node: connection refused: nothing listens there"
    ovsdb_server(lab, "add-remote", "ptcp:6640:198.18.0.1")


def test_a_good_certificate(secured: Path) -> None:
    result, what = said("certificates")["node1"]
    assert (result, what.endswith("; names: weft-agent")) == ("ok", True)


def test_a_certificate_that_has_expired(lab: Lab, secured: Path, tmp_path: Path) -> None:
    serve(lab, certificate(tmp_path / "expired", "weft-agent", days=-1, by=secured))
    (what,) = failed("certificates", "node1")
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))
    assert f"tls.crt expired on {day}" in what


def test_a_certificate_that_expires_soon_is_a_warning(lab: Lab, secured: Path, tmp_path: Path) -> None:
    serve(lab, certificate(tmp_path / "soon", "weft-agent", days=7, by=secured))
    result, what = said("certificates")["node1"]
    assert (result, what.endswith(("in 6 days", "in 7 days"))) == ("warning", True)


def test_a_certificate_of_another_name(lab: Lab, secured: Path, tmp_path: Path) -> None:
    serve(lab, certificate(tmp_path / "other", "somebody", by=secured))
    (what,) = failed("certificates", "node1")
    assert what.endswith("has the DNS names somebody; controllers ask for weft-agent")


def test_a_key_that_is_not_the_certificates(lab: Lab, secured: Path, tmp_path: Path) -> None:
    other = certificate(tmp_path / "other", "weft-agent")
    (secured / "tls.key").write_bytes((other / "tls.key").read_bytes())
    (what,) = failed("certificates", "node1")
    assert what == f"tls-key {secured}/tls.key: is not the key of tls-certificate {secured}/tls.crt"


def test_a_certificate_that_is_not_there(lab: Lab, secured: Path) -> None:
    (secured / "tls.crt").unlink()
    (what,) = failed("certificates", "node1")
    assert what == f"tls-certificate {secured}/tls.crt: No such file or directory"


def test_a_node_that_is_not_there_is_an_error() -> None:
    ran = look("--node", "node9")
    assert (ran.status, ran.out) == (2, "")
    assert "has no node 'node9': it has node1, node2" in ran.err
