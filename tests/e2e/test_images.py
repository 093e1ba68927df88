"""The images that users build are what they are said to be, and what runs in them runs."""

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
from images_fixture import Built

from images.build import archive_of, mounted, name_of

pytestmark = pytest.mark.timeout(300)

SECONDS = 30.0
_COMPILERS = ("cc", "gcc", "as", "ld", "make", "pip", "pip3")


@pytest.fixture(scope="module", params=["agent", "controller"])
def files(request: pytest.FixtureRequest, built: Built) -> Iterator[Path]:
    """Those of an image."""
    with mounted(name_of(request.param, built.version)) as root:
        yield root


@pytest.fixture(scope="module")
def agent(built: Built) -> Iterator[Path]:
    with mounted(name_of("agent", built.version)) as root:
        yield root


def test_no_compiler_and_no_installer_is_in_the_result(files: Path) -> None:
    places = [files / each for each in ("bin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/weft/bin")]
    assert not [place / name for place in places for name in _COMPILERS if os.path.lexists(place / name)]
    assert not list((files / "usr/include").glob("*.h"))


def test_the_programs_start(files: Path) -> None:
    daemon = "weft-agent" if (files / "usr/bin/ovs-start").exists() else "weft-controller"
    for program in (daemon, "weftctl"):
        assert program in run(files, program, "--help")


def test_the_controller_is_nobody_in_particular(built: Built) -> None:
    config = json.loads(run_here("buildah", *built.store, "inspect", name_of("controller", built.version)))
    assert config["OCIv1"]["config"]["User"] == "65532:65532"
    assert config["OCIv1"]["config"]["Labels"]["org.opencontainers.image.version"] == built.version


def test_the_bill_names_open_vswitch_and_every_distribution(built: Built, agent: Path) -> None:
    bill = json.loads(archive_of("agent", built.version).with_suffix(".spdx.json").read_text())
    versions = {each["name"]: each.get("versionInfo", "") for each in bill["packages"]}
    assert versions["openvswitch-switch"].startswith("3.5.")
    found = json.loads(run(agent, "python3", "-c", _DISTRIBUTIONS))
    assert {name: versions.get(name.lower().replace("_", "-").replace(".", "-")) for name in found} == found


def test_a_node_is_given_weft_and_rid_of_it(agent: Path) -> None:
    run(agent, "weft-install")
    assert (agent / "opt/cni/bin/weft").stat().st_mode & 0o777 == 0o755
    assert b"/ld-linux" not in (agent / "opt/cni/bin/weft").read_bytes(), "static: it runs on any host"
    assert json.loads((agent / "etc/cni/net.d/10-weft.conflist").read_text())["name"] == "weft"
    run(agent, "weft-install", "--remove")
    assert not (agent / "opt/cni/bin/weft").exists()


def test_open_vswitch_runs_and_keeps_its_database(agent: Path) -> None:
    with switch(agent):
        assert "3.5." in run(agent, "ovs-appctl", "version")
        run(agent, "ovs-vsctl", "--timeout=10", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
    with switch(agent):
        assert run(agent, "ovs-vsctl", "--timeout=10", "list-br") == "br0\n"


@pytest.mark.parametrize("half", ["ovsdb-server", "ovs-vswitchd"])
def test_when_half_of_it_ends_so_does_the_other(agent: Path, half: str) -> None:
    with switch(agent) as started:
        other = {"ovsdb-server": "ovs-vswitchd", "ovs-vswitchd": "ovsdb-server"}[half]
        os.kill(pid_of(agent, half), signal.SIGKILL)
        left = pid_of(agent, other)
        assert started.wait(SECONDS) == 1
        assert not Path(f"/proc/{left}").exists()


def test_a_database_of_an_older_open_vswitch_is_converted_and_kept_aside(agent: Path) -> None:
    database = agent / "etc/openvswitch/conf.db"
    schema = agent / "usr/share/openvswitch/vswitch.ovsschema"
    older = json.loads(schema.read_text())
    version, older["version"] = older["version"], "8.0.0"
    del older["tables"]["Bridge"]["columns"]["flood_vlans"]
    (agent / "tmp/older.ovsschema").write_text(json.dumps(older))
    database.unlink(missing_ok=True)
    run(agent, "ovsdb-tool", "create", "/etc/openvswitch/conf.db", "/tmp/older.ovsschema")
    with switch(agent):
        assert run(agent, "ovsdb-client", "get-schema-version", "unix:/run/openvswitch/db.sock").strip() == version
    assert (agent / "etc/openvswitch/conf.db.backup-8.0.0").exists()


@contextmanager
def switch(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ovs-start` in an image, with a network of its own, until the end of the block."""
    command = ("unshare", "--net", "--mount", "chroot", str(root), "ovs-start")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            wait_for(root)
            yield started
        finally:
            started.terminate()
            started.wait(SECONDS)


def wait_for(root: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while run_chrooted(root, "ovs-appctl", "--timeout=2", "--target=ovs-vswitchd", "version").returncode != 0:
        assert time.monotonic() < deadline, "Open vSwitch does not answer"
        time.sleep(0.1)


def pid_of(root: Path, program: str) -> int:
    return int((root / f"run/openvswitch/{program}.pid").read_text())


def run(root: Path, *argv: str) -> str:
    """What a command in an image prints."""
    done = run_chrooted(root, *argv)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def run_chrooted(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/opt/weft/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(("chroot", str(root), *argv), capture_output=True, text=True, timeout=SECONDS, env=env)


def run_here(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=True).stdout


_DISTRIBUTIONS = """
import importlib.metadata, json
print(json.dumps({each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}))
"""
