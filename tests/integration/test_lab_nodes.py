"""A lab without Weft: its networks, its switches, its API, and pods that use a node's own network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lab import names, netns, reachability
from lab.bringup import vswitchd
from lab.cleanup import marked_processes
from lab.client import ApiClientError
from lab.lab import Lab, LabConfig, LabError
from lab.names import Family, Interface, Underlay
from lab.reachability import Endpoint

NAME = f"t-nodes-{os.getpid()}"  # Two runs of the tests may overlap.
NODES = 2
WAIT = 30.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabConfig(name=NAME, nodes=NODES, weft=False), replace=True) as lab:
        yield lab


def _namespace(node: str) -> Path:
    return netns.path_of(names.node_namespace(NAME, node))


def _pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "agnhost", "args": ["netexec", "--http-port=8080", "--udp-port=8081"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "hostNetwork": True, "containers": [container], **spec},
    }


def _command(*argv: str) -> list[dict[str, Any]]:
    return [{"name": "c", "image": "any", "command": list(argv)}]


def _phase(lab: Lab, name: str) -> str:
    return str(lab.pod(name)["status"]["phase"])


def _wait_for_phase(lab: Lab, name: str, phase: str) -> None:
    lab.wait_until(lambda: [] if _phase(lab, name) == phase else [name], phase, WAIT)


def _delete(lab: Lab, *pods: dict[str, Any]) -> None:
    lab.delete(pods)
    gone = {pod["metadata"]["name"] for pod in pods}
    lab.wait_until(lambda: sorted(gone & {pod["metadata"]["name"] for pod in lab.pods()}), "deleted pods", WAIT)


@pytest.mark.parametrize("underlay", list(Underlay))
def test_nodes_reach_each_other_on_both_networks(lab: Lab, underlay: Underlay) -> None:
    def endpoint(number: int) -> Endpoint:
        node = names.node_name(number)
        ips = tuple(i.address for i in names.host_interfaces(underlay, number, Family.DUAL))
        return Endpoint(node, _namespace(node), ips, node, None)

    cells = reachability.measure([endpoint(number) for number in range(1, NODES + 1)])
    assert [(cell.source, cell.target, cell.version) for cell in cells if not cell.ok] == []
    assert len(cells) == NODES * (NODES - 1) * 2


def test_nodes_reach_the_api_over_both_families(lab: Lab) -> None:
    for gateway in names.gateway_interfaces(Family.DUAL):
        url = f"http://{_host(gateway)}:{names.API_PORT}/version"
        script = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=5).status)"
        ran = _run_in(_namespace("node1"), "python3", "-c", script)
        assert ran.stdout.strip() == "200", ran.stderr


def test_the_transport_network_leaves_no_checksum_to_hardware(lab: Lab) -> None:
    ends = [(_namespace("node1"), "eth1"), (netns.path_of(names.underlay_namespace(NAME)), "t-node1")]
    for namespace, device in ends:
        shown = _run_in(namespace, "ethtool", "-k", device)
        assert "tx-checksumming: off" in shown.stdout


def test_nothing_of_the_lab_is_in_the_root_namespace(lab: Lab) -> None:
    devices = set(_run("ip", "-o", "link").stdout.split())
    assert devices.isdisjoint({"mgmt:", "transport:", "m-node1@if2:", "t-node1@if3:", "eth1:"})


def test_each_node_has_its_own_switch(lab: Lab) -> None:
    for node in ("node1", "node2"):
        database = f"--db=unix:{lab.paths.node(node).ovsdb_socket}"
        _run(
            "ovs-vsctl",
            database,
            "--timeout=10",
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=netdev",
        )
        shown = _run_in(_namespace(node), "ip", "-o", "link", "show", "br0")
        assert "br0" in shown.stdout
    system_ids = {_system_id(lab, node) for node in ("node1", "node2")}
    assert len(system_ids) == 2


def test_a_switch_that_was_killed_is_started_again_with_its_bridges(lab: Lab) -> None:
    database = f"--db=unix:{lab.paths.node('node2').ovsdb_socket}"
    add = ["--may-exist", "add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=netdev"]
    _run("ovs-vsctl", database, "--timeout=10", *add)
    lab.kill(vswitchd("node2"))
    assert not lab.processes.running(vswitchd("node2"))
    before = lab.start(vswitchd("node2"))
    # Waits until the switch has taken the database's configuration over.
    _run("ovs-vsctl", database, "--timeout=10", "set", "bridge", "br1", "external_ids:again=yes")
    assert lab.processes.pid(vswitchd("node2")) == before
    shown = _run_in(_namespace("node2"), "ip", "-o", "link", "show", "br1")
    assert "br1" in shown.stdout


def test_nodes_are_registered_and_not_ready_without_an_agent(lab: Lab) -> None:
    found = {node["metadata"]["name"]: node for node in lab.nodes()}
    assert found["node2"]["spec"]["podCIDRs"] == ["10.244.2.0/24", "fd57:244:0:2::/64"]
    status = lab.status()
    assert status.ready_nodes == 0
    assert not status.healthy
    assert all(process.running for process in status.processes)


def test_waiting_for_nodes_that_never_get_ready_names_them(lab: Lab) -> None:
    with pytest.raises(LabError, match="node1, node2"):
        lab.wait_ready(timeout=0.0)


def test_a_host_network_pod_serves_on_its_nodes_addresses(lab: Lab) -> None:
    pods = [_pod("serve-1", "node1"), _pod("serve-2", "node2")]
    lab.apply(pods)
    try:
        _wait_for_phase(lab, "serve-1", "Running")
        _wait_for_phase(lab, "serve-2", "Running")
        ips = [entry["ip"] for entry in lab.pod("serve-1")["status"]["podIPs"]]
        assert ips == ["198.18.0.1", "fd57:e0::1"]
        cells = lab.reachability()
        assert len(cells) == 4
        assert [(cell, cell.http) for cell in cells if not cell.ok] == []
        assert {cell.http for cell in cells} == {"ok"}
    finally:
        _delete(lab, *pods)
    refused = lab.config.node_configs()[0]
    probe = netns.run_in(
        refused.namespace, lambda: _run("curl", "-s", "-m", "2", "http://198.18.0.2:8080/", ok=False)
    )
    assert probe.returncode != 0


def test_udp_is_answered_over_both_families(lab: Lab) -> None:
    pod = _pod("udp", "node2")
    lab.apply([pod])
    try:
        _wait_for_phase(lab, "udp", "Running")
        for entry in lab.pod("udp")["status"]["podIPs"]:
            family = "AF_INET6" if ip_address(entry["ip"]).version == 6 else "AF_INET"
            script = (
                f"import socket as s; u = s.socket(s.{family}, s.SOCK_DGRAM); u.settimeout(5); "
                f"u.sendto(b'hostname', ({entry['ip']!r}, 8081)); print(u.recv(99).decode())"
            )
            ran = _run_in(_namespace("node1"), "python3", "-c", script)
            assert ran.stdout.strip() == "node2", ran.stderr
    finally:
        _delete(lab, pod)


def test_two_pods_cannot_have_one_port(lab: Lab) -> None:
    first, second = _pod("port-a", "node1"), _pod("port-b", "node1")
    lab.apply([first])
    try:
        _wait_for_phase(lab, "port-a", "Running")
        lab.apply([second])
        lab.wait_until(lambda: [] if _waiting(lab, "port-b") else ["port-b"], "waiting", WAIT)
        assert "port 8080" in _waiting(lab, "port-b")
    finally:
        _delete(lab, first, second)


def test_a_command_runs_in_the_nodes_network_and_ends_with_its_pod(lab: Lab) -> None:
    pod = _pod("sleeper", "node1", containers=_command("sh", "-c", "sleep 600 & exec sleep 601"))
    lab.apply([pod])
    try:
        _wait_for_phase(lab, "sleeper", "Running")
        lab.wait_until(lambda: [] if _pids("sleep 60") == 2 else ["sleep"], "children", WAIT)
        own = lab.capture("sleeper", ["readlink", "/proc/self/ns/net"]).stdout
        assert own == _run_in(_namespace("node1"), "readlink", "/proc/self/ns/net").stdout
        assert lab.exec("sleeper", ["sh", "-c", "exit 7"]) == 7
    finally:
        _delete(lab, pod)
    assert _pids("sleep 60") == 0


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_a_command_that_ends_ends_its_pod(lab: Lab, code: int, phase: str) -> None:
    pod = _pod("ends", "node2", restartPolicy="Never", containers=_command("sh", "-c", f"exit {code}"))
    lab.apply([pod])
    try:
        _wait_for_phase(lab, "ends", phase)
        ended = lab.pod("ends")["status"]["containerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] == code
    finally:
        _delete(lab, pod)


def test_a_command_that_crashes_is_started_again(lab: Lab) -> None:
    pod = _pod("crashes", "node2", containers=_command("sh", "-c", "sleep 0.1; exit 1"))
    lab.apply([pod])
    try:
        lab.wait_until(lambda: [] if _restarts(lab, "crashes") else ["crashes"], "restarted", WAIT)
    finally:
        _delete(lab, pod)


def test_a_pod_whose_image_the_lab_has_not_says_what_would_work(lab: Lab) -> None:
    pod = _pod("image", "node1", containers=[{"name": "web", "image": "nginx"}])
    lab.apply([pod])
    try:
        lab.wait_until(lambda: [] if _waiting(lab, "image") else ["image"], "waiting", WAIT)
        assert "netexec" in _waiting(lab, "image")
        events = lab.api.items("/api/v1/namespaces/default/events")
        assert any("nginx" in event["message"] for event in events)
    finally:
        _delete(lab, pod)


def test_a_program_that_is_missing_is_an_event_too(lab: Lab) -> None:
    pod = _pod("missing", "node1", containers=_command("/no/such/program"))
    lab.apply([pod])
    try:
        lab.wait_until(lambda: [] if _waiting(lab, "missing") else ["missing"], "waiting", WAIT)
        assert "/no/such/program" in _waiting(lab, "missing")
    finally:
        _delete(lab, pod)


def test_a_pod_with_its_own_network_waits_until_the_nodes_network_is_ready(lab: Lab) -> None:
    pod = _pod("waits", "node1", hostNetwork=False)
    lab.apply([pod])
    try:
        with pytest.raises(LabError, match="no network yet"):
            lab.exec("waits", ["true"])
        assert _phase(lab, "waits") == "Pending"
    finally:
        _delete(lab, pod)


def test_a_pod_that_does_not_exist_is_named(lab: Lab) -> None:
    with pytest.raises(ApiClientError, match='pods "nobody" not found'):
        lab.exec("default/nobody", ["true"])


def test_kubectl_works_with_the_labs_kubeconfig(lab: Lab) -> None:
    ran = _run("kubectl", f"--kubeconfig={lab.paths.kubeconfig}", "get", "nodes", "-o", "name")
    assert ran.stdout.split() == ["node/node1", "node/node2"]


def test_a_lab_that_runs_is_found_and_not_replaced_by_accident(lab: Lab) -> None:
    assert Lab.open(NAME).config == lab.config
    with pytest.raises(LabError, match="weftctl lab down"):
        Lab.up(LabConfig(name=NAME, nodes=1, weft=False))
    assert len(lab.nodes()) == NODES


def _host(interface: Interface) -> str:
    return f"[{interface.address}]" if interface.address.version == 6 else str(interface.address)


def _system_id(lab: Lab, node: str) -> str:
    database = f"--db=unix:{lab.paths.node(node).ovsdb_socket}"
    return _run("ovs-vsctl", database, "--timeout=10", "get", "Open_vSwitch", ".", "external_ids:system-id").stdout


def _waiting(lab: Lab, name: str) -> str:
    states = lab.pod(name)["status"].get("containerStatuses") or [{}]
    return str(states[0].get("state", {}).get("waiting", {}).get("message", ""))


def _restarts(lab: Lab, name: str) -> int:
    states = lab.pod(name)["status"].get("containerStatuses") or [{"restartCount": 0}]
    return int(states[0]["restartCount"])


def _pids(command: str) -> int:
    """How many processes of this lab run a command line that starts so."""
    lines = (Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in marked_processes(NAME))
    return sum(line.startswith(command.encode()) for line in lines)


def _run_in(namespace: Path, *argv: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    return netns.run_in(namespace, lambda: _run(*argv, ok=ok))


def _run(*argv: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=WAIT)
    assert not ok or ran.returncode == 0, f"{argv}: {ran.stderr}"
    return ran
