"""docs/pipeline.md is what the code says, whole and current."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openflow import document, example
from openflow.features import priority
from openflow.fields import LAYOUT
from openflow.render import named
from openflow.tables import PIPELINE

ROOT = Path(__file__).parents[2]
TEXT = document.document()


def run(*args, env=None):
    command = [sys.executable, "-m", "openflow.document", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, env=env, timeout=60, check=False)


def test_the_page_in_the_repository_is_current():
    done = run("--check")
    assert done.returncode == 0, done.stderr.decode()


def test_the_page_is_printed_whatever_the_locale():
    env = {"PATH": os.environ["PATH"], "LC_ALL": "POSIX"}
    assert run(env=env).stdout.decode() == TEXT


@pytest.mark.parametrize("content", [None, "", TEXT + "more"])
def test_a_stale_page_is_refused_with_what_to_do(tmp_path, content):
    stale = tmp_path / "pipeline.md"
    if content is not None:
        stale.write_text(content, encoding="utf-8")
    done = run("--check", str(stale))
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"{stale} is stale: run `python -m openflow.document >")


def test_every_table_is_there_in_order_and_in_the_diagram():
    listed = TEXT.split("| # | table |")[1].split("\n\n")[0]
    rows = [line for line in listed.splitlines() if line.split(" ")[1].isdigit()]
    assert [row.split(" | ")[1] for row in rows] == [spec.table.title for spec in PIPELINE]
    diagram = TEXT.split("```mermaid")[1].split("```")[0]
    for one, two in (("Classify", "SpoofGuard"), ("ConntrackState", "Route"), ("IngressIdentity", "Commit")):
        assert f"{one} --> {two}\n" in diagram
    assert "Neighbor -.-> Conntrack\n" in diagram
    assert all(f" {spec.table.title}\n" in diagram for spec in PIPELINE)


def test_every_meaning_priority_and_flow_is_there():
    for part in LAYOUT:
        assert f"| {part.name} | `{part.stored.name}" in TEXT
    assert f"| NORMAL | {priority.NORMAL} |" in TEXT
    for flow in example.flows():
        columns = named(flow, example.NAMES)
        assert f"| {columns.table} | {columns.priority} | `{columns.match}` | `{columns.actions}` |" in TEXT


def test_tables_have_as_many_cells_in_every_row():
    for block in TEXT.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("| ")]
        assert len({line.count(" | ") for line in rows}) <= 1
