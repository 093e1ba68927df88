"""`ovs-start`, by which Open vSwitch runs in the agent's image; here with the userspace datapath, in a namespace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from images_fixture import SECONDS, Built, run, run_chrooted

from images.build import mounted, name_of

pytestmark = pytest.mark.timeout(300)

_SOCKET = "unix:/run/openvswitch/db.sock"


@pytest.fixture
def agent(built: Built) -> Iterator[Path]:
    """The files of the agent's image, as built."""
    with mounted(name_of("agent", built.version)) as root:
        yield root


def test_open_vswitch_runs_and_keeps_its_database(agent: Path) -> None:
    with switch(agent):
        assert "3.5." in run(agent, "ovs-appctl", "version")
        run(agent, "ovs-vsctl", "--timeout=10", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
    with switch(agent):
        assert run(agent, "ovs-vsctl", "--timeout=10", "list-br") == "br0\n"


def test_it_is_ended_as_a_kubelet_ends_containers(agent: Path) -> None:
    with switch(agent) as started:
        pids = [pid_of(agent, each) for each in ("ovsdb-server", "ovs-vswitchd")]
        started.terminate()
        assert started.wait(SECONDS) == 0
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("half", ["ovsdb-server", "ovs-vswitchd"])
def test_when_half_of_it_ends_so_does_the_other(agent: Path, half: str) -> None:
    with switch(agent) as started:
        other = {"ovsdb-server": "ovs-vswitchd", "ovs-vswitchd": "ovsdb-server"}[half]
        left = pid_of(agent, other)
        os.kill(pid_of(agent, half), signal.SIGKILL)
        assert started.wait(SECONDS) == 1
        assert not Path(f"/proc/{left}").exists()


def test_what_a_killed_one_left_does_not_stop_the_next(agent: Path) -> None:
    with switch(agent) as started:
        pids = [started.pid, *(pid_of(agent, each) for each in ("ovsdb-server", "ovs-vswitchd"))]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    assert (agent / "run/openvswitch/ovs-vswitchd.pid").exists()
    with switch(agent):
        run(agent, "ovs-vsctl", "--timeout=10", "show")


def test_a_database_of_an_older_open_vswitch_is_converted_and_kept_aside(agent: Path) -> None:
    older = json.loads((agent / "usr/share/openvswitch/vswitch.ovsschema").read_text())
    version, older["version"] = older["version"], "8.0.0"
    del older["tables"]["Bridge"]["columns"]["flood_vlans"]
    (agent / "tmp/older.ovsschema").write_text(json.dumps(older))
    run(agent, "ovsdb-tool", "create", "/etc/openvswitch/conf.db", "/tmp/older.ovsschema")
    insert = (
        '["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {"external_ids": ["map", [["a", "b"]]]}}]'
    )
    run(agent, "ovsdb-tool", "transact", "/etc/openvswitch/conf.db", insert)
    with switch(agent):
        assert run(agent, "ovsdb-client", "get-schema-version", _SOCKET).strip() == version
        assert run(agent, "ovs-vsctl", "--timeout=10", "get", "Open_vSwitch", ".", "external_ids:a") == "b\n"
    assert (agent / "etc/openvswitch/conf.db.backup-8.0.0").exists()


@contextmanager
def switch(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ovs-start` in an image, with a network of its own, until the end of the block."""
    command = ("unshare", "--net", "--mount", "chroot", str(root), "ovs-start")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            wait_for(root, started)
            yield started
        finally:
            started.terminate()
            started.wait(SECONDS)


def wait_for(root: Path, started: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while run_chrooted(root, "ovs-appctl", "--timeout=2", "--target=ovs-vswitchd", "version").returncode != 0:
        assert started.poll() is None, f"ovs-start ended with {started.returncode}"
        assert time.monotonic() < deadline, "Open vSwitch does not answer"
        time.sleep(0.1)


def pid_of(root: Path, program: str) -> int:
    return int((root / f"run/openvswitch/{program}.pid").read_text())
