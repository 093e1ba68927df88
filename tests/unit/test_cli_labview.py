"""What `weftctl lab` prints."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cli import labview
from cli.labview import Objects
from cli.layout import plain, table
from lab.config import LabConfig
from lab.lab import LabStatus, ProcessStatus
from lab.reachability import Cell

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
CREATED = "2026-11-23T11:59:00Z"
NODE = {"metadata": {"name": "node1", "creationTimestamp": CREATED}, "status": {}}
STATUS = LabStatus(
    config=LabConfig(name="x"),
    api="http://127.0.0.1:1",
    processes=(
        ProcessStatus("controller", 12, 61440, "/run/weft-x/log/controller.log"),
        ProcessStatus("node1/agent", 0, 0, "/run/weft-x/nodes/node1/log/agent.log"),
    ),
    ready_nodes=2,
    pods=6,
    ready_pods=5,
)


def _pod(name: str, namespace: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": CREATED},
        "spec": {"nodeName": "node1", "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIP": "10.244.1.5", "containerStatuses": [{"ready": True}]},
    }


def _print(objects: Objects) -> list[list[str]]:
    return [plain(line).split() for line in table(objects.columns(), objects.rows(NOW))]


def test_pods_as_kubectl_shows_them() -> None:
    assert _print(Objects("pods", [_pod("web", "shop"), _pod("teller", "bank")])) == [
        ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        ["bank", "teller", "1/1", "Running", "0", "60s"],
        ["shop", "web", "1/1", "Running", "0", "60s"],
    ]


def test_wide_has_addresses_and_nodes() -> None:
    titles, row = _print(Objects("pods", [_pod("web", "shop")], wide=True))
    assert titles[-2:] == ["IP", "NODE"]
    assert row[-2:] == ["10.244.1.5", "node1"]


def test_nodes_have_no_namespace_column() -> None:
    titles, row = _print(Objects("nodes", [NODE]))
    assert titles == ["NAME", "STATUS", "ROLES", "AGE"]
    assert row == ["node1", "Unknown", "<none>", "60s"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("pods", "pods"), ("po", "pods"), ("node", "nodes"), ("no", "nodes"), ("svc", None), ("", None)],
)
def test_kinds_go_by_kubectls_names(text: str, kind: str | None) -> None:
    assert labview.kind_of(text) == kind


def test_a_lab_in_one_line() -> None:
    assert labview.summary(STATUS) == (
        "lab 'x': 2 of 2 nodes ready, 5 of 6 pods ready, geneve, dual, API http://127.0.0.1:1"
    )


def test_processes_that_run_and_processes_that_are_gone() -> None:
    lines = [plain(line).split() for line in table(labview.process_columns(), labview.process_rows(STATUS))]
    assert lines[1] == ["controller", "running", "12", "60", "MiB", "/run/weft-x/log/controller.log"]
    assert lines[2][:4] == ["node1/agent", "gone", "-", "-"]
    assert (labview.good("running"), labview.good("gone"), labview.good("12")) == ("green", "red", "")


def _cells(**broken: tuple[float | None, str]) -> list[Cell]:
    """Every pair of a, b and c over both families; `broken` by source, target and version, as in a_b_4."""
    found = []
    for source in "abc":
        for target in "abc":
            for version in (4, 6):
                works = (0.5 * version, "" if target == "c" else "ok")
                ping, http = broken.get(f"{source}_{target}_{version}", works)
                if source != target:
                    found.append(Cell(source, target, version, ping, http))
    return found


def _reach(cells: list[Cell]) -> list[str]:
    return [plain(line) for line in table(labview.reach_columns(cells), labview.reach_rows(cells))]


def test_who_reaches_whom() -> None:
    assert _reach(_cells()) == [
        "   FROM \\ TO  1      2      3",
        "1  a                 ✓✓ ✓✓  ✓ ✓",
        "2  b          ✓✓ ✓✓         ✓ ✓",
        "3  c          ✓✓ ✓✓  ✓✓ ✓✓",
    ]
    assert list(labview.reach_failures(_cells())) == []
    assert labview.reach_summary(_cells()) == "12 of 12 paths work; median ping IPv4 2.00 ms, IPv6 3.00 ms"


def test_what_does_not_reach_is_marked_and_explained() -> None:
    cells = _cells(a_b_6=(None, "timeout"), c_a_4=(1.0, "Connection refused"))
    assert _reach(cells)[1].split()[2:4] == ["✓✓", "✗✗"]
    assert list(labview.reach_failures(cells)) == [
        "a → b over IPv6: no answer to ping, HTTP: timeout",
        "c → a over IPv4: HTTP: Connection refused",
    ]
    assert labview.reach_summary(cells).startswith("10 of 12 paths work")


def test_without_any_answer_there_is_no_median() -> None:
    cells = [Cell("a", "b", 4, None, "timeout")]
    assert labview.reach_summary(cells) == "0 of 1 paths work; median ping IPv4 none"


def test_the_legend_names_the_families() -> None:
    assert labview.legend(_cells()) == "marks: ping and HTTP over IPv4, then over IPv6"
    assert labview.legend(_cells()[::2]) == "marks: ping and HTTP over IPv4"
