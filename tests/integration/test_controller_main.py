"""weft-controller as a process: its settings, its health, what it tells Kubernetes, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from controller_fixture import (
    BRIDGE,
    NAME,
    ROOT,
    WAIT,
    WEB,
    Running,
    api,
    controller,
    make_bridge,
    make_port,
    node,
    pod,
    programmed,
    until,
    url,
)
from ovs_fixture import PrivateOvs, private_ovs

from lab.client import ApiClient


@pytest.fixture
def ovs(tmp_path: Path) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path) as made:
        yield made


@pytest.fixture
def kube() -> Iterator[ApiClient]:
    with api() as made:
        yield made


def target(ovs: PrivateOvs) -> str:
    return f"unix:{ovs.root}/of.sock"


@pytest.fixture
def running(kube: ApiClient, ovs: PrivateOvs) -> Iterator[Running]:
    with controller(api_server=url(kube), openflow_listen=target(ovs), health_address="127.0.0.1:0") as made:
        yield made


@pytest.fixture
def working(running: Running, kube: ApiClient, ovs: PrivateOvs) -> Running:
    """A controller with one node, one pod on it, and the pod's port in service."""
    make_bridge(ovs, NAME, target(ovs))
    kube.apply([node(NAME, "10.77.0.0/24", ovs), pod("web", NAME)])
    make_port(ovs, WEB)
    until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")
    return running


def flow_count(ovs: PrivateOvs) -> int:
    return ovs.ofctl("-O", "OpenFlow15", "dump-flows", BRIDGE).count("cookie=")


def events(kube: ApiClient) -> list[tuple[str, str]]:
    """Node and reason of every Event."""
    found = kube.items("/api/v1/namespaces/default/events")
    assert all(event["source"]["component"] == "weft-controller" for event in found)
    return sorted((event["involvedObject"]["name"], event["reason"]) for event in found)


# Settings.


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "controller.main", *flags], cwd=ROOT, capture_output=True, text=True, timeout=WAIT,
        check=False,
    )  # fmt: skip


def test_help_says_what_it_is_and_lists_every_setting() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "weft-controller programs the Open vSwitch bridges" in done.stdout
    for setting in ("--config", "--api-server", "--kubeconfig", "--openflow-listen", "--bridge", "--health-address",
                    "--audit-seconds", "--log-level"):  # fmt: skip
        assert setting in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--audit-seconds=0"], "--audit-seconds"),
        (["--nonsense=1"], "--nonsense"),
        (["--log-level=loud"], "--log-level"),
        (["--config=/nowhere/weft.yaml"], "/nowhere/weft.yaml"),
        (["--openflow-listen=udp:1.2.3.4:1"], "udp:1.2.3.4:1"),
        (["--openflow-listen=tcp:0.0.0.0:6653"], "loopback"),
        (["--openflow-listen=tcp:127.0.0.1.example.com:6653"], "is no IP address"),
        (["--openflow-listen=ssl:0.0.0.0:6653"], "ssl: needs the settings tls-ca, tls-certificate and tls-key"),
        (["--tls-ca=/x", "--tls-key=/x"], "tls-ca, tls-key without tls-certificate: give all three, or none"),
        (
            ["--api-server=http://127.0.0.1:1", "--tls-ca=/x", "--tls-certificate=/x", "--tls-key=/nowhere/tls.key"],
            "tls-key /nowhere/tls.key: No such file or directory",
        ),
        (["--api-server=http://127.0.0.1:1", "--kubeconfig=x"], "exclude each other"),
        (["--kubeconfig=/nowhere/config"], "/nowhere/config"),
        (["--api-server=http://127.0.0.1:1", "--openflow-listen=unix:/nowhere/of.sock"], "unix:/nowhere/of.sock"),
        (["--api-server=http://127.0.0.1:1", "--openflow-listen=tcp:127.0.0.1:66530"], "tcp:127.0.0.1:66530"),
        (["--api-server=nonsense"], "nonsense"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_that_names_it(flags: list[str], named: str) -> None:
    done = run(*flags)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("weft-controller: ")
    assert named in done.stderr


def test_an_address_that_somebody_else_has_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        base = ("--api-server=http://127.0.0.1:1",)
        health = run(*base, f"--openflow-listen=unix:{tmp_path}/of.sock", f"--health-address={address}")
        openflow = run(*base, f"--openflow-listen=tcp:{address}")
    for done in (health, openflow):
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert address in done.stderr


def test_a_file_in_the_place_of_the_socket_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "of.sock"
    precious.write_text("precious")
    done = run("--api-server=http://127.0.0.1:1", f"--openflow-listen=unix:{precious}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert str(precious) in done.stderr
    assert precious.read_text() == "precious"


def test_a_settings_file_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "weft.yaml"
    file.write_text("audit-secnds: 5\n")
    done = run(f"--config={file}")
    assert done.returncode == 2
    assert "did you mean audit-seconds?" in done.stderr


# Health and metrics.


def test_alive_at_once_and_ready_when_everything_was_listed(running: Running) -> None:
    assert running.get("/healthz") == (200, "ok\n")
    until(lambda: running.get("/readyz") == (200, "ok\n"), "ready")


def test_without_an_api_server_it_is_alive_and_says_what_it_waits_for(tmp_path: Path) -> None:
    settings = {"openflow_listen": f"unix:{tmp_path}/of.sock", "health_address": "127.0.0.1:0"}
    with controller(api_server="http://127.0.0.1:1", **settings) as running:
        assert running.get("/healthz") == (200, "ok\n")
        status, text = running.get("/readyz")
        assert status == 503
        kinds = ("Namespace", "NetworkPolicy", "Node", "Pod")
        assert text.splitlines() == [f"{kind} objects have not been listed yet" for kind in kinds]
        running.wait_logged("watch interrupted", kind="Node")


def test_what_it_measures(working: Running, ovs: PrivateOvs) -> None:
    until(lambda: working.metrics().get(("weft_flows", NAME)) == flow_count(ovs), "the count of flows")
    found = working.metrics()
    assert found["weft_nodes",] == found["weft_pods",] == found["weft_switches_connected",] == 1
    assert found["weft_flow_mods_total", "add", NAME] == flow_count(ovs)
    assert not any(name == "weft_flow_failures_total" for name, *_ in found)
    assert found["weft_program_seconds_count",] >= 1
    assert found["weft_read_flows_seconds_count",] == 1
    assert found["weft_event_seconds_count", "PortSet"] >= 1


def test_the_flows_of_a_node_that_is_gone_are_counted_no_more(working: Running, kube: ApiClient) -> None:
    until(lambda: ("weft_flows", NAME) in working.metrics(), "the count of flows")
    kube.delete([node(NAME, "10.77.0.0/24")])
    until(lambda: ("weft_flows", NAME) not in working.metrics(), "the count of flows gone")


# What it does.


def test_a_pod_comes_and_goes(working: Running, kube: ApiClient, ovs: PrivateOvs) -> None:
    with_pod = flow_count(ovs)
    kube.request("DELETE", "/api/v1/namespaces/default/pods/web?gracePeriodSeconds=0")
    until(lambda: programmed(ovs, WEB.name) == "", "the announcement taken back")
    assert flow_count(ovs) < with_pod


def test_a_switch_that_restarts_is_programmed_again(working: Running, ovs: PrivateOvs) -> None:
    before = flow_count(ovs)
    ovs.restart_vswitchd(signal.SIGKILL)
    until(lambda: flow_count(ovs) == before, "the flows back")


def test_a_controller_that_is_killed_leaves_the_flows_and_the_next_sends_none(
    working: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    before = flow_count(ovs)
    working.end(signal.SIGKILL)
    settings = {"openflow_listen": target(ovs), "health_address": "127.0.0.1:0"}
    with controller(api_server=url(kube), **settings) as again:
        until(lambda: again.metrics().get(("weft_event_seconds_count", "Dumped")), "the flows read")
        assert again.logged("flows sent") == []
    assert flow_count(ovs) == before


def test_a_switch_is_made_to_configure_itself_once_for_each_connection(
    working: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    def count() -> int:
        return int(ovs.vsctl("get", "Open_vSwitch", ".", "next_cfg"))

    working.end(signal.SIGKILL)
    before = count()
    settings = {"api_server": url(kube), "openflow_listen": target(ovs), "health_address": "127.0.0.1:0"}
    with controller(**settings, audit_seconds=1) as another:
        until(lambda: count() > before, "the switch configures itself")
        until(lambda: another.metrics()["weft_read_flows_seconds_count",] >= 3, "two audits")
        assert count() == before + 1


def test_a_database_whose_bridge_is_made_later_is_followed(
    running: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    kube.apply([node(NAME, "10.77.0.0/24", ovs), pod("web", NAME)])
    running.wait_logged("no bridge", node=NAME)
    make_bridge(ovs, NAME, target(ovs))
    make_port(ovs, WEB)
    until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")


def test_a_bridge_that_is_claimed_later_is_followed(running: Running, kube: ApiClient, ovs: PrivateOvs) -> None:
    make_bridge(ovs, NAME, target(ovs), claimed=False)
    make_port(ovs, WEB)
    kube.apply([node(NAME, "10.77.0.0/24", ovs), pod("web", NAME)])
    running.wait_logged("problem", reason="WrongDatabase")
    assert programmed(ovs, WEB.name) == ""
    ovs.vsctl("set", "Bridge", BRIDGE, f"external_ids:weft-node={NAME}")
    until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")


# Problems.


def test_what_is_wrong_with_a_node_becomes_an_event_on_it_and_disturbs_no_other(
    working: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    kube.apply([
        node("t-bare", ""), node("t-twin", "10.78.0.0/24", datapath_id=f"{_dpid(ovs)}"),
        node("t-greedy", "10.77.0.0/16"), node("t-typo", "10.79.0.0/24", tunnel_ip="300.1.1.1"),
        node("t-tls", "10.80.0.0/24", ovsdb="ssl:192.0.2.1:6640"),
    ])  # fmt: skip
    expected = [
        ("t-bare", "NoPodCIDR"), ("t-greedy", "PodCIDRTaken"), ("t-tls", "DatabaseUnusable"),
        ("t-twin", "DatapathIdTaken"), ("t-typo", "BadAnnotation"),
    ]  # fmt: skip
    until(lambda: events(kube) == expected, "the events")
    kube.apply([node("t-late", "10.81.0.0/24")])
    until(lambda: "tun_dst" in ovs.ofctl("-O", "OpenFlow15", "dump-flows", BRIDGE), "the other nodes' flows")
    assert programmed(ovs, WEB.name) == "c0ffee"
    assert working.logged("event failed") == working.logged("command failed") == []
    assert {line["reason"] for line in working.logged("problem")} == {reason for _, reason in expected}


def test_what_is_wrong_with_a_port_becomes_an_event_on_its_node(
    working: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    ovs.vsctl("add-port", BRIDGE, "eth7", "--", "set", "Interface", "eth7", "type=internal")
    until(lambda: events(kube) == [(NAME, "ForeignPort")], "the event")
    (event,) = kube.items("/api/v1/namespaces/default/events")
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": NAME, "uid": NAME}
    assert "port eth7 on the bridge of t-node is not Weft's" in event["message"]


def test_a_flow_that_the_switch_refuses_is_told_and_the_rest_goes_on(
    running: Running, kube: ApiClient, ovs: PrivateOvs
) -> None:
    """The table of senders takes no flow: nothing gets past it, everything else is in place."""
    make_bridge(ovs, NAME, target(ovs))
    ovs.vsctl("--id=@t", "create", "Flow_Table", "flow_limit=0", "overflow_policy=refuse", "--", "set", "Bridge",
              BRIDGE, "flow_tables:1=@t")  # fmt: skip
    kube.apply([node(NAME, "10.77.0.0/24", ovs), pod("web", NAME)])
    make_port(ovs, WEB)
    until(lambda: (NAME, "FlowRefused") in events(kube), "the event")
    until(lambda: _holds_all_but(ovs, "table=1,"), "the other flows")
    assert programmed(ovs, WEB.name) == ""
    assert running.metrics()["weft_flow_failures_total", NAME] >= 1
    ovs.vsctl("clear", "Bridge", BRIDGE, "flow_tables")
    until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")


def _holds_all_but(ovs: PrivateOvs, table: str) -> bool:
    flows = ovs.ofctl("-O", "OpenFlow15", "dump-flows", BRIDGE)
    return table not in flows and all(f"table={number}," in flows for number in (0, 2, 3, 4))


def _dpid(ovs: PrivateOvs) -> str:
    return ovs.vsctl("get", "Bridge", BRIDGE, "datapath_id").strip().strip('"')


def test_an_api_server_that_goes_away_takes_nothing_along(tmp_path: Path, ovs: PrivateOvs) -> None:
    with ExitStack() as stack:
        kube = stack.enter_context(api())
        settings = {"openflow_listen": target(ovs), "health_address": "127.0.0.1:0"}
        with controller(api_server=url(kube), **settings) as running:
            make_bridge(ovs, NAME, target(ovs))
            kube.apply([node(NAME, "10.77.0.0/24", ovs), node("t-more", "10.90.0.0/24"), pod("web", NAME)])
            make_port(ovs, WEB)
            until(lambda: programmed(ovs, WEB.name) == "c0ffee", "the port programmed")
            before = flow_count(ovs)
            stack.close()
            running.wait_logged("watch interrupted", kind="Node")
            ovs.restart_vswitchd(signal.SIGKILL)
            until(lambda: flow_count(ovs) == before, "the flows back, from memory")
            assert running.get("/healthz") == running.get("/readyz") == (200, "ok\n")


# Its end.


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_leaves_the_flows(
    working: Running, ovs: PrivateOvs, with_signal: signal.Signals
) -> None:
    before = flow_count(ovs)
    working.process.send_signal(with_signal)
    assert working.process.wait(2) == 0, "not within two seconds"
    until(lambda: working.logged("controller stopped"), "its last words")
    assert flow_count(ovs) == before
    assert not any("Traceback" in line for line in working.raw)


def test_a_signal_ends_it_while_it_waits_for_the_api_server(tmp_path: Path) -> None:
    settings = {"openflow_listen": f"unix:{tmp_path}/of.sock", "health_address": "127.0.0.1:0"}
    with controller(api_server="http://127.0.0.1:1", **settings) as running:
        running.wait_logged("watch interrupted", kind="Pod")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(2) == 0
