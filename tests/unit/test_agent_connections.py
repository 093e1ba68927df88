"""A switch that cannot be asked to forget connections."""

from ipaddress import ip_address
from pathlib import Path

from node_agent.connections import Connections


def test_a_switch_that_is_down_is_told_of_and_no_reason_to_fail(tmp_path: Path, capsys) -> None:
    Connections(tmp_path).forget([ip_address("10.1.0.5"), ip_address("fd00::5")])
    told = capsys.readouterr()
    assert "10.1.0.5" in told.out + told.err
