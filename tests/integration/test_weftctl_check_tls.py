"""weftctl check on a node and a controller with only TLS between them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from controller_fixture import until
from tls_fixture import OPENFLOW_PORT, OVSDB_PORT, World, world
from weftctl_fixture import weftctl


def found(made: World, check: str) -> tuple[str, str]:
    """What the check says of the node: its first result that is not ok, else what is."""
    ran = weftctl("check", "-o", "json", "--rundir", str(made.ovs.root), "--peers", "0")
    findings = [each for each in json.loads(ran.out)["findings"] if each["check"] == check]
    first = next((each for each in findings if each["result"] != "ok"), findings[0])
    return first["result"], first["what"]


@pytest.mark.parametrize("family", [4, 6])
def test_both_ports_are_tried_as_they_are_used(tmp_path: Path, family: int) -> None:
    with world(tmp_path, family) as made, made.agent() as agent:
        with made.controller():
            until(lambda: agent.get("/readyz")[0] == 200, "a node that is ready")
            until(lambda: found(made, "controller")[0] == "ok", "a switch that is connected")
            result, what = found(made, "ports")
            assert (result, what.startswith("open: OpenFlow by TLS at ")) == ("ok", True)
            assert f":{OPENFLOW_PORT}, " in what
            assert what.endswith(f":{OVSDB_PORT}")
            assert found(made, "certificates")[0] == "warning"  # the test's are for days only
        result, what = found(made, "ports")
        assert (result, what.endswith("connection refused: nothing listens there")) == ("failed", True)
