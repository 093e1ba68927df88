"""weft-agent as a process: mistakes in one line, readiness with reasons, signals, metrics."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from agent_fixture import WAIT, Node, agent_lab
from lab_fixture import agent_problem, in_node, log_lines, start_agent_and_controller, until
from prometheus_client.parser import text_string_to_metric_families

from lab.lab import Lab, LabConfig
from lab.names import AGENT_HEALTH_PORT
from lab.node import python_environment
from ovsdb.appctl import version
from ovsdb.setup import needs_purge

CONF = {"cniVersion": "1.1.0", "name": "weft", "type": "weft"}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-agent-main") as lab, Node(lab) as node:
        yield node


# Starting.


def start(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the agent with settings that cannot be used; it must end by itself."""
    harmless = {
        "node-name": "n1",
        "api-server": "http://127.0.0.1:1",
        "ovsdb": f"unix:{tmp_path}/db.sock",
        "cni-socket": f"{tmp_path}/cni.sock",
        "health-address": "127.0.0.1:0",
    }
    flags = [f"--{key}={value}" for key, value in {**harmless, **settings}.items() if value]
    return subprocess.run(
        [sys.executable, "-m", "node_agent.main", *flags],
        env=python_environment(), capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"node-name": ""}, "required and not given: node-name"),
        ({"mtu": "12"}, "--mtu: 12 is not allowed; give a whole number, at least 576"),
        ({"config": "/none-such.yaml"}, "--config /none-such.yaml: No such file or directory"),
        ({"kubeconfig": "/none-such"}, "api-server and kubeconfig exclude each other"),
        ({"api-server": "ftp://x"}, "API server 'ftp://x': give a URL"),
        ({"api-server": "", "kubeconfig": "/none-such"}, "kubeconfig /none-such"),
        ({"api-server": ""}, "not in a cluster: KUBERNETES_SERVICE_HOST is not set"),
        ({"ovsdb": "db.sock"}, "ovsdb 'db.sock': give unix:PATH"),
        ({"controllers": "127.0.0.1"}, "controllers '127.0.0.1': give unix:PATH"),
        ({"health-address": "9443"}, "address '9443': give HOST:PORT"),
        ({"health-address": "192.0.2.1:9443"}, "health address 192.0.2.1:9443"),
        ({"proc-sys": "/none-such"}, "proc-sys /none-such: there is no /none-such/net; mount the host's"),
        ({"cni-socket": "/proc/none/cni.sock"}, "cannot listen on cni-socket /proc/none/cni.sock"),
    ],
)
def test_settings_that_cannot_be_used_are_told_in_one_line(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    done = start(tmp_path, **settings)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("weft-agent: ")
    assert words in line
    assert not (tmp_path / "cni.sock").exists()


def test_help_names_every_setting(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "node_agent.main", "--help"],
        env=python_environment(), capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "--transport-interface" in done.stdout
    assert "weft.dev/ovsdb" in done.stdout


# Readiness, for the kubelet's probe and for STATUS.


def status(node: Node) -> str:
    """What CNI STATUS gives as a reason; "" when it has none."""
    answer = node.call("STATUS", CONF)
    return "" if answer.status == 0 else str(json.loads(answer.stdout)["msg"])


def test_c38_an_agent_that_has_not_what_it_needs_says_what_it_is() -> None:
    """One reason after the other: no database, no Node, no range; then ready."""
    with Lab.up(LabConfig(name="t-agent-bare", nodes=1, weft=False, kubelets=False), replace=True) as lab:
        node = Node(lab)
        (stored,) = lab.nodes()
        lab.api.request("DELETE", "/api/v1/nodes/node1")
        with node.stopped(node.ovsdb):
            start_agent_and_controller(lab)
            until(lambda: agent_problem(lab, node.name), "the agent answers")
            told = until(lambda: status(node), "STATUS is answered")
            assert "no connection to Open vSwitch's database: not connected yet" in told
        told = until(lambda: "there is no Node node1" in status(node), "the agent misses its Node")
        bare = {key: stored[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "node1"}, "spec": {}}
        lab.apply([bare])
        until(lambda: "spec.podCIDRs is empty" in status(node), "the agent misses its range")
        box = node.box("early")
        assert (refused := box.refused()).code == 11
        assert "spec.podCIDRs is empty" in refused.msg
        ranges = {"podCIDR": stored["spec"]["podCIDR"], "podCIDRs": stored["spec"]["podCIDRs"]}
        lab.api.request("PATCH", "/api/v1/nodes/node1", {"spec": ranges}, "application/merge-patch+json")
        node.wait_ready()
        until(lambda: status(node) == "", "the controller has programmed the switch")
        assert len(box.add()["ips"]) == 2
        box.delete()


ELSEWHERE = "10.244.77.0/24"


@contextmanager
def foreign_route(node: Node) -> Iterator[str]:
    """Another node appears whose range somebody else has a route to here; what is said of it."""
    node.ip(f"route add {ELSEWHERE} dev lo")
    meta = {"name": "elsewhere", "annotations": {"weft.dev/tunnel-ip": "198.18.1.77"}}
    spec = {"podCIDR": ELSEWHERE, "podCIDRs": [ELSEWHERE]}
    (stored,) = node.lab.apply([{"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec}])
    try:
        yield f"the node has a route to {ELSEWHERE}"
    finally:
        node.ip(f"route del {ELSEWHERE} dev lo")
        node.lab.delete([stored])


@contextmanager
def stolen_rules(node: Node) -> Iterator[str]:
    """Somebody empties the node's rules, and holds the table's name for himself (nft(8), flag owner)."""
    argv = ["ip", "netns", "exec", node.namespace.name, "nft", "-i"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as thief:
        assert thief.stdin is not None
        thief.stdin.write("flush ruleset\nadd table inet weft { flags owner; }\n")
        thief.stdin.flush()
        try:
            yield "nft failed"
        finally:
            thief.stdin.close()


@pytest.mark.parametrize("damage", [foreign_route, stolen_rules])
def test_what_goes_wrong_on_a_node_that_was_ready_is_told_until_it_is_right_again(
    node: Node, damage: Callable[[Node], AbstractContextManager[str]]
) -> None:
    """By /readyz, by STATUS and to the pods that come; those that are there are left alone."""
    there, late = node.box("there"), node.box("late")
    there.add()
    before = node.rows(), node.devices()
    with damage(node) as words:
        told = until(lambda: agent_problem(node.lab, node.name), "the agent is not ready")
        assert words in told
        assert words in status(node)
        refused = late.refused()
        assert (refused.code, words in refused.msg) == (11, True)
        assert (node.rows(), node.devices()) == before
        assert "1 received" in there.output("ping", "-n", "-c", "1", "-W", "2", "10.244.1.1")
    node.wait_ready()
    assert status(node) == ""
    late.add()


def test_a_controller_that_is_away_does_not_make_the_node_unready(node: Node) -> None:
    """Pods that run keep their network, and a node that is not ready would lose its endpoints."""
    with node.stopped("controller"):
        assert status(node) == ""
        assert agent_problem(node.lab, node.name) is None


def test_metrics_tell_of_purges(node: Node) -> None:
    """One at the start of the agent, where the switch needs purges at all; then for each change of flows."""
    needed = needs_purge("netdev", version(node.config.paths.ovs))
    before = metrics(node)[("weft_datapath_purges_total",)]
    assert (before > 0) == needed
    node.box("purged").add()
    if needed:
        until(lambda: metrics(node)[("weft_datapath_purges_total",)] > before, "a purge")


def test_metrics_tell_of_requests_by_verb_step_and_code(node: Node) -> None:
    box = node.box("counted")
    before = metrics(node)
    box.add()
    assert metrics(node)[("weft_pod_ports",)] >= before[("weft_pod_ports",)]
    box.refused()
    box.delete()
    after = metrics(node)
    counted = {key: after[key] - before.get(key, 0.0) for key in after}
    assert counted[("weft_cni_request_seconds_count", "ADD")] == 2
    assert counted[("weft_cni_request_seconds_count", "DEL")] == 1
    assert counted[("weft_cni_failures_total", "ADD", "101")] == 1
    for step in ("allocate", "veth", "configure", "commit", "program"):
        assert counted[("weft_cni_step_seconds_count", "ADD", step)] == 1
    for step in ("veth", "commit"):
        assert counted[("weft_cni_step_seconds_count", "DEL", step)] == 1


def metrics(node: Node) -> dict[tuple[str, ...], float]:
    def ask() -> str:
        with urlopen(f"http://127.0.0.1:{AGENT_HEALTH_PORT}/metrics", timeout=WAIT) as answer:
            return str(answer.read().decode())

    families = text_string_to_metric_families(in_node(node.lab, node.name, ask))
    return {_key(s.name, s.labels): s.value for family in families for s in family.samples}


def _key(name: str, labels: dict[str, str]) -> tuple[str, ...]:
    return (name, *(labels[each] for each in ("verb", "step", "code", "le") if each in labels))


# Running and ending.


def test_the_socket_is_roots_alone(node: Node) -> None:
    assert stat.S_IMODE(node.config.paths.cni_socket.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_pods_do_not_notice(node: Node, number: signal.Signals) -> None:
    box = node.box("lives")
    box.add()
    before = node.state()
    node.lab.kill(node.agent, number)
    assert not node.config.paths.cni_socket.exists()
    assert log_lines(node.config.paths.log / "agent.log")[-1]["event"] == "agent stopped"
    assert node.state() == before
    assert "1 received" in box.output("ping", "-n", "-c", "1", "-W", "2", "10.244.1.1")
    node.start_agent()
    assert node.state() == before
    box.check()


def test_the_log_is_json_and_has_no_defect(node: Node) -> None:
    """Whatever the tests above did: nothing was uncaught, and every line has its fields."""
    path = node.config.paths.log / "agent.log"
    lines = log_lines(path)
    assert len(lines) == len(path.read_text().splitlines())
    assert {"timestamp", "level", "logger", "event"} <= set.intersection(*map(set, lines))
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
