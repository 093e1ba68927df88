"""weftctl flows, nodes and pods on a real cluster of two nodes, and on one of them alone."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
from weftctl_fixture import WAIT, Places, Ran, demo_lab, ip_of, key_of, places, rundir_of, weftctl

from cli.switch import records
from lab.lab import Lab
from openflow.codec import Encoded
from openflow.decode import decode
from openflow.render import ofctl
from openflow.tables import Table
from ovsdb.appctl import ask

NAME = "t-weftctl"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        yield lab


@pytest.fixture(scope="module")
def pods(lab: Lab) -> Places:
    return places(lab)


def look(command: str, *arguments: str) -> Ran:
    """A command that looks at this test's lab; it must succeed."""
    ran = weftctl(command, *arguments, "--lab", NAME)
    assert (ran.status, ran.err) == (0, "")
    return ran


class TestFlows:
    def test_every_flow_is_one_line_and_all_of_it_has_a_name(self, lab: Lab, pods: Places) -> None:
        ran = look("flows", "--node", pods.node)
        dump = records(rundir_of(lab, pods.node) / "br-int.mgmt")
        assert len(ran.lines) == len(dump) + 1
        assert ran.lines[0].split() == ["TABLE", "PRIO", "OWNER", "MATCH", "ACTIONS"]
        titles = {table.title for table in Table}
        assert {line.split()[0] for line in ran.lines[1:]} <= titles
        owners = {line.split()[2] for line in ran.lines[1:]}
        keys = {f"pod/{key_of(pod)}" for pod in lab.pods() if pod["spec"]["nodeName"] == pods.node}
        assert owners == {"pipeline", "node/node1", "node/node2", *keys}
        assert not re.search(r"in_port=\d|reg\d|OutPort:=\d", ran.out)

    def test_columns_are_aligned(self, lab: Lab, pods: Places) -> None:
        lines = look("flows", "--node", pods.node).lines
        at = [lines[0].index(title) for title in ("OWNER", "MATCH", "ACTIONS")]
        assert [line for line in lines if any(line[start - 2 : start].strip() for start in at)] == []

    def test_both_nodes_are_told_apart(self, lab: Lab, pods: Places) -> None:
        nodes = {line.split()[0] for line in look("flows").lines[1:]}
        assert nodes == {"node1", "node2"}

    def test_the_flows_of_a_pod_are_on_its_node_only(self, lab: Lab, pods: Places) -> None:
        ran = look("flows", "--pod", pods.here)
        assert {row["OWNER"] for row in ran.table} == {f"pod/{pods.here}"}
        assert {row["TABLE"] for row in ran.table} == {"Classify", "SpoofGuard", "SourceIdentity", "Route"}

    def test_one_table_by_title_or_number(self, lab: Lab, pods: Places) -> None:
        by_title = look("flows", "--node", pods.node, "--table", "route")
        assert by_title.out == look("flows", "--node", pods.node, "--table", str(int(Table.ROUTE))).out
        assert {row["TABLE"] for row in by_title.table} == {"Route"}

    def test_counters_count(self, lab: Lab, pods: Places) -> None:
        def packets() -> int:
            rows = look("flows", "--pod", pods.here, "--table", "classify", "--stats").table
            return int(rows[0]["PACKETS"])

        before = packets()
        assert lab.capture(pods.here, ["ping", "-c", "3", "-i", "0.01", ip_of(lab, pods.beside, 4)]).returncode == 0
        # Open vSwitch moves the counts of its cache into the flows when it revalidates.
        ask(rundir_of(lab, pods.node), "revalidator/wait")
        assert packets() >= before + 3

    def test_raw_is_what_ovs_ofctl_reads_back_to_the_same_flows(self, lab: Lab, pods: Places) -> None:
        raw = look("flows", "--node", pods.node, "--raw").lines
        dump = records(rundir_of(lab, pods.node) / "br-int.mgmt")
        assert set(raw) == {ofctl(decode(Encoded(*each.flow))) for each in dump}
        file = rundir_of(lab, pods.node) / "raw-flows"
        for arguments in ((), ("--stats",)):
            file.write_text(look("flows", "--node", pods.node, "--raw", *arguments).out)
            socket = f"unix:{rundir_of(lab, pods.node)}/br-int.mgmt"
            differences = subprocess.run(
                ["ovs-ofctl", "-O", "OpenFlow15", "diff-flows", str(file), socket],
                capture_output=True, text=True, timeout=30,
            )  # fmt: skip
            assert (differences.returncode, differences.stdout) == (0, ""), differences.stderr
        file.unlink()

    def test_a_foreign_flow_is_shown_too(self, lab: Lab, pods: Places) -> None:
        socket = f"unix:{rundir_of(lab, pods.other)}/br-int.mgmt"
        flow = "cookie=0xbad,table=30,priority=7,vlan_tci=0x1000/0x1000,actions=NORMAL"
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", socket, flow], check=True, timeout=30)
        try:
            line = next(line for line in look("flows", "--node", pods.other).lines if "0xbad" in line)
            assert line.split()[:4] == ["30", "7", "foreign", "0xbad"]
            assert "NORMAL" in line
        finally:
            delete = ["ovs-ofctl", "-O", "OpenFlow15", "del-flows", socket, "cookie=0xbad/-1"]
            subprocess.run(delete, check=True, timeout=30)

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("--table", "nope"), "there is no table 'nope'; the tables are 0 Classify, 1 SpoofGuard"),
            (("--pod", "shop/nope"), f"lab {NAME!r} has no pod shop/nope"),
            (("--pod", "nope"), "write <namespace>/<name>"),
            (("--node", "node9"), f"lab {NAME!r} has no node 'node9': it has node1, node2"),
            (("--bridge", "br9"), "there is no bridge br9 (bridges: br-int, br-phy); give --bridge"),
        ],
    )
    def test_errors(self, lab: Lab, arguments: tuple[str, ...], complaint: str) -> None:
        ran = weftctl("flows", "--lab", NAME, *arguments)
        assert (ran.status, ran.out) == (2, "")
        assert complaint in ran.err
        assert len(ran.err.splitlines()) == 1


class TestNodes:
    def test_both_nodes(self, lab: Lab) -> None:
        rows = look("nodes").table
        assert [row["NODE"] for row in rows] == ["node1", "node2"]
        for number, row in enumerate(rows, 1):
            assert row["READY"] == "yes"
            assert row["POD-CIDRS"] == f"10.244.{number}.0/24, fd57:244:0:{number}::/64"
            assert (row["TUNNEL-IP"], row["MTU"]) == (f"198.18.1.{number}", "1450")
            assert re.fullmatch(r"[0-9a-f]{16}", row["DATAPATH-ID"])
            assert re.fullmatch(r"\d+\.\d+\.\d+", row["OVS"])
            assert (row["BRIDGE"], row["PODS"]) == ("br-int", "3")
            assert int(row["FLOWS"]) == len(records(rundir_of(lab, row["NODE"]) / "br-int.mgmt"))

    def test_the_controller_is_connected(self, lab: Lab) -> None:
        def missing() -> list[str]:
            return [row["NODE"] for row in look("nodes").table if row["CONTROLLER"] != "connected"]

        lab.wait_until(missing, "connections", WAIT)


class TestPods:
    def test_every_pod_is_programmed(self, lab: Lab) -> None:
        rows = {row["POD"]: row for row in look("pods").table}
        assert sorted(rows) == sorted(key_of(pod) for pod in lab.pods())
        for pod in lab.pods():
            row = rows[key_of(pod)]
            assert row["NODE"] == pod["spec"]["nodeName"]
            assert row["ADDRESSES"].split(", ") == [entry["ip"] for entry in pod["status"]["podIPs"]]
            assert row["PORT"].startswith(pod["metadata"]["name"][:6])
            assert row["PROGRAMMED"] == "yes"
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["SINCE"])
            assert re.fullmatch(r"\d+[sm](\d+s)?", row["AGE"])

    def test_of_one_namespace_and_node(self, lab: Lab, pods: Places) -> None:
        namespace = pods.here.partition("/")[0]
        rows = look("pods", "-n", namespace, "--node", pods.node).table
        expected = [
            key_of(pod) for pod in lab.pods()
            if pod["metadata"]["namespace"] == namespace and pod["spec"]["nodeName"] == pods.node
        ]  # fmt: skip
        assert [row["POD"] for row in rows] == sorted(expected)

    def test_a_namespace_without_pods(self, lab: Lab) -> None:
        ran = weftctl("pods", "-n", "nowhere", "--lab", NAME)
        assert (ran.status, ran.out) == (0, "")
        assert ran.err == f"no pods in namespace nowhere on lab {NAME!r}\n"


class TestOneNode:
    """The same commands, given a node's sockets and no lab: as on a machine of a real cluster."""

    def test_nodes_and_pods(self, lab: Lab, pods: Places) -> None:
        (row,) = weftctl("nodes", "--rundir", str(rundir_of(lab, pods.node))).table
        assert (row["NODE"], row["READY"], row["POD-CIDRS"], row["PODS"]) == (pods.node, "-", "-", "3")
        rows = weftctl("pods", "--rundir", str(rundir_of(lab, pods.node))).table
        assert {row["NODE"] for row in rows} == {pods.node}
        assert {row["PROGRAMMED"] for row in rows} == {"yes"}

    def test_a_cluster_adds_what_a_switch_does_not_know(self, lab: Lab, pods: Places) -> None:
        where = ("--rundir", str(rundir_of(lab, pods.node)), "--kubeconfig", str(lab.paths.kubeconfig))
        (row,) = weftctl("nodes", *where).table
        assert row["READY"] == "yes"
        assert row["POD-CIDRS"].startswith("10.244.")
        assert f"node/{pods.other}" in weftctl("flows", *where).out
        ran = weftctl("trace", pods.here, pods.away, *where)
        assert ran.status == 0
        assert "a node that this command cannot look into" in ran.lines[-1]

    def test_sockets_by_name(self, lab: Lab, pods: Places) -> None:
        sockets = (
            "--ovsdb",
            f"unix:{rundir_of(lab, pods.node)}/db.sock",
            "--openflow",
            f"unix:{rundir_of(lab, pods.node)}/br-int.mgmt",
        )
        ran = weftctl("flows", *sockets, "--pod", pods.here)
        assert ran.status == 0
        assert {row["OWNER"] for row in ran.table} == {f"pod/{pods.here}"}

    def test_a_node_of_another_name_is_not_here(self, lab: Lab, pods: Places) -> None:
        ran = weftctl("flows", "--rundir", str(rundir_of(lab, pods.node)), "--node", pods.other)
        assert ran.status == 2
        assert f"there is no node '{pods.other}' here, only {pods.node}" in ran.err

    def test_traces_stay_on_the_node(self, lab: Lab, pods: Places) -> None:
        where = ("--rundir", str(rundir_of(lab, pods.node)))
        assert weftctl("trace", pods.here, pods.beside, *where).status == 0
        away = weftctl("trace", pods.here, ip_of(lab, pods.away, 4), *where)
        assert away.status == 0
        assert away.lines[-1].endswith("a node that this command cannot look into")
        unknown = weftctl("trace", pods.here, pods.away, *where)
        assert unknown.status == 2
        assert f"has no pod {pods.away}" in unknown.err
