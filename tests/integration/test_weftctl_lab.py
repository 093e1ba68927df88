"""weftctl lab, and the other commands on a lab that is broken."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from weftctl_fixture import DEMO, ROOT, Places, Ran, demo_lab, ip_of, places, typed, weftctl

from lab import names, netns
from lab.bringup import ovsdb, vswitchd
from lab.cleanup import marked_processes
from lab.lab import Lab
from lab.names import LabPaths

NAME = "t-weftctl-lab"
OTHER = "t-weftctl-up"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        yield lab


@pytest.fixture(scope="module")
def pods(lab: Lab) -> Places:
    return places(lab)


def trace(*arguments: str) -> Ran:
    return weftctl("trace", *arguments, "--lab", NAME)


class TestLab:
    def test_status(self, lab: Lab) -> None:
        ran = weftctl("lab", "status", "--name", NAME)
        assert ran.status == 0
        assert ran.lines[0].startswith(
            f"lab {NAME!r}: 2 of 2 nodes ready, 6 of 6 pods ready, geneve, dual, API http://"
        )
        states = {line.split()[0]: line.split()[1] for line in ran.lines[3:]}
        assert states["controller"] == "running"
        assert set(states.values()) == {"running"}

    def test_get(self, lab: Lab) -> None:
        assert weftctl("lab", "get", "pods", "--name", NAME).lines[0].split()[:3] == ["NAMESPACE", "NAME", "READY"]
        wide = weftctl("lab", "get", "no", "-o", "wide", "--name", NAME)
        assert [line.split()[0] for line in wide.lines[1:]] == ["node1", "node2"]
        found = json.loads(weftctl("lab", "get", "pods", "-n", "bank", "-o", "json", "--name", NAME).out)
        assert {pod["metadata"]["namespace"] for pod in found["items"]} == {"bank"}
        assert found["kind"] == "List"

    def test_exec_has_the_pods_network_and_the_commands_status(self, lab: Lab, pods: Places) -> None:
        shown = typed("lab", "exec", pods.here, "--name", NAME, "--", "ip", "-o", "addr", "show", "eth0")
        assert shown.status == 0
        assert ip_of(lab, pods.here, 4) in shown.out
        assert typed("lab", "exec", "--name", NAME, pods.here, "--", "sh", "-c", "exit 7").status == 7
        assert typed("lab", "exec", pods.here, "--name", NAME, "--", "sh", "-c", "kill -9 $$").status == 137

    def test_exec_errors(self, lab: Lab, pods: Places) -> None:
        missing = typed("lab", "exec", pods.here, "--name", NAME, "--", "no-such-program")
        assert (missing.status, missing.err) == (
            127,
            "weftctl: there is no program 'no-such-program' on this machine\n",
        )
        unknown = typed("lab", "exec", "shop/nope", "--name", NAME, "--", "true")
        assert unknown.status == 2
        assert "nope" in unknown.err

    def test_reach(self, lab: Lab) -> None:
        ran = weftctl("lab", "reach", "--name", NAME)
        assert ran.status == 0, ran.out
        assert ran.lines[-1].startswith("60 of 60 paths work")

    def test_apply(self, lab: Lab) -> None:
        ran = weftctl("lab", "apply", "-f", str(DEMO), "--wait", "--name", NAME)
        assert ran.status == 0
        assert "pod shop/web-1 applied" in ran.lines
        piped = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\n"
        assert typed("lab", "apply", "-f", "-", "--name", NAME, stdin=piped).out == "configmap shop/c applied\n"

    @pytest.mark.parametrize(
        ("file", "complaint"),
        [
            ("/nowhere.yaml", "cannot read /nowhere.yaml: No such file"),
            ("-", "expected objects with apiVersion, kind"),
        ],
    )
    def test_apply_errors(self, lab: Lab, file: str, complaint: str) -> None:
        ran = typed("lab", "apply", "-f", file, "--name", NAME, stdin="just text")
        assert ran.status == 2
        assert complaint in ran.err
        assert len(ran.err.splitlines()) == 1

    def test_kubeconfig(self, lab: Lab) -> None:
        ran = weftctl("lab", "kubeconfig", "--name", NAME)
        assert ran.lines == [str(lab.paths.kubeconfig)]
        assert lab.paths.kubeconfig.exists()

    def test_a_lab_that_is_up_is_not_built_again(self, lab: Lab) -> None:
        ran = weftctl("lab", "up", "--name", NAME)
        assert ran.status == 2
        assert f"lab {NAME} is up already" in ran.err
        assert lab.status().healthy

    def test_up_and_down(self) -> None:
        try:
            up = weftctl("lab", "up", "--name", OTHER, "--nodes", "1", "--tunnel", "vxlan")
            assert up.status == 0, up.err
            assert "1 node ready" in up.err
            assert up.out == ""
            status = weftctl("lab", "status", "--name", OTHER)
            assert status.lines[0].startswith(f"lab {OTHER!r}: 1 of 1 nodes ready, 0 of 0 pods ready, vxlan, dual")
            alone = weftctl("lab", "reach", "--name", OTHER)
            assert alone.status == 2
            assert "fewer than two running pods" in alone.err
        finally:
            down = weftctl("lab", "down", "--name", OTHER)
        assert down.status == 0
        assert down.err.startswith(f"removed lab {OTHER!r}: ")
        assert not LabPaths(OTHER).root.exists()
        assert [name for name in netns.names() if names.namespace_pattern(OTHER).fullmatch(name)] == []
        assert marked_processes(OTHER) == []
        assert weftctl("lab", "down", "--name", OTHER).err == f"there is no lab {OTHER!r}: nothing to remove\n"

    def test_a_lab_of_ipv6_only_is_seen_and_traced_over_ipv6(self) -> None:
        try:
            assert weftctl("lab", "up", "--name", OTHER, "--family", "ipv6").status == 0
            assert weftctl("lab", "apply", "-f", str(DEMO), "--wait", "--name", OTHER).status == 0
            assert [row["TUNNEL-IP"] for row in weftctl("nodes", "--lab", OTHER).table] == [
                "fd57:e1::1",
                "fd57:e1::2",
            ]
            where = {row["POD"]: row["NODE"] for row in weftctl("pods", "--lab", OTHER).table}
            near, far = next((a, b) for a in where for b in where if where[a] != where[b])
            ran = weftctl("trace", near, far, "--lab", OTHER)
            assert ran.status == 0, ran.out
            assert "over IPv6" in ran.lines[0]
            assert ran.lines[-1].startswith(f"delivered to {far} on {where[far]} by port ")
            assert any("out by weft-tun0, through the tunnel to fd57:e1::" in line for line in ran.lines)
            assert weftctl("trace", near, "1.1.1.1", "--lab", OTHER).status == 2
            reach = weftctl("lab", "reach", "--name", OTHER)
            assert reach.status == 0, reach.out
        finally:
            weftctl("lab", "down", "--name", OTHER)

    def test_ctrl_c_while_it_comes_up_leaves_nothing(self) -> None:
        command = [sys.executable, "-m", "cli.main", "lab", "up", "--name", OTHER]
        started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert started.stderr is not None
            assert "building lab" in started.stderr.readline()
            started.send_signal(signal.SIGINT)
            assert started.wait(60) != 0
            assert "Traceback" not in started.stderr.read()
            assert not LabPaths(OTHER).root.exists()
            assert marked_processes(OTHER) == []
        finally:
            started.kill()
            started.wait()
            weftctl("lab", "down", "--name", OTHER)


class TestBroken:
    """What people look at when something does not work. These come last: they break the lab and mend it again."""

    def test_a_switch_that_is_gone(self, lab: Lab, pods: Places) -> None:
        lab.kill(vswitchd(pods.other))
        try:
            flows = weftctl("flows", "--lab", NAME)
            assert flows.status == 2
            assert f"{pods.other} does not answer" in flows.err
            assert {line.split()[0] for line in flows.lines[1:]} == {pods.node}
            listed = weftctl("nodes", "--lab", NAME)
            assert listed.status == 2
            assert [row["NODE"] for row in listed.table] == ["node1", "node2"]
            assert {row["NODE"]: row["FLOWS"] for row in listed.table}[pods.other] == "-"
            traced = trace(pods.here, pods.away)
            assert traced.status == 2
            assert "is ovs-vswitchd running" in traced.err
        finally:
            lab.start(vswitchd(pods.other))

    def test_a_database_that_is_gone(self, lab: Lab, pods: Places) -> None:
        lab.kill(ovsdb(pods.other))
        try:
            listed = weftctl("nodes", "--lab", NAME)
            assert listed.status == 2
            silent = next(row for row in listed.table if row["NODE"] == pods.other)
            assert silent["TUNNEL-IP"] == "-"
            assert "ovsdb-server" in listed.err or "connect" in listed.err
            status = weftctl("lab", "status", "--name", NAME)
            assert status.status == 1
            assert re.search(rf"^{pods.other}/ovsdb +gone", status.out, re.MULTILINE)
        finally:
            lab.start(ovsdb(pods.other))

    def test_the_switches_can_be_looked_at_without_the_api(self, lab: Lab, pods: Places) -> None:
        lab.kill("daemon")
        ran = weftctl("flows", "--node", pods.node, "--lab", NAME)
        assert ran.status == 0
        assert "warning: the Kubernetes API does not answer" in ran.err
        assert f"pod/{pods.here}" in ran.out
        assert weftctl("lab", "get", "pods", "--name", NAME).status == 2
