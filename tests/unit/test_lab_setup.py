"""What `make` installs and how, with an apt-get, a dpkg and an id that only tell what they were asked."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("mkdir", "touch", "sh")
PACKAGES = "build/stamps/packages"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with nothing installed but what `has` says, and a Makefile in `directory`."""

    directory: Path

    def command(self, name: str, script: str) -> None:
        path = self.directory / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        make = shutil.which("make")
        assert make is not None
        environment = {"PATH": str(self.directory / "bin")}
        return subprocess.run(
            [make, target],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        """What apt-get was asked to do, a line a call."""
        log = self.directory / "apt.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    made = Machine(tmp_path)
    made.command("id", "echo 0")
    made.command("dpkg", "exit 1")
    made.command("apt-get", f'echo "$@" >> {tmp_path}/apt.log')
    return made


def test_kubectl_is_installed_with_the_rest_after_an_update(machine: Machine) -> None:
    assert machine.make(PACKAGES).returncode == 0
    update, install = machine.asked
    assert update.startswith("update")
    assert {"openvswitch-switch", "kubernetes-client"} <= set(install.split())


def test_a_kubectl_from_elsewhere_is_enough(machine: Machine) -> None:
    machine.command("kubectl", "exit 0")
    assert machine.make(PACKAGES).returncode == 0
    assert "openvswitch-switch" in machine.asked[-1]
    assert "kubernetes-client" not in machine.asked[-1]


def test_only_kubectl_missing_is_told_to_whoever_is_not_root(machine: Machine) -> None:
    machine.command("dpkg", '[ "$2" != kubernetes-client ]')
    machine.command("id", "echo 1000")
    ran = machine.make(PACKAGES)
    assert ran.returncode != 0
    assert "run make as root" in ran.stderr
    assert machine.asked == []


def test_where_everything_is_there_nothing_is_asked(machine: Machine) -> None:
    machine.command("dpkg", "exit 0")
    assert machine.make(PACKAGES).returncode == 0
    assert machine.asked == []


def test_the_benchmarks_packages_have_a_target_that_ci_calls(machine: Machine) -> None:
    assert machine.make("bench-packages").returncode == 0
    assert {"iperf3", "ovn-central", "ovn-host"} <= set(machine.asked[-1].split())
    steps = (ROOT / ".ci" / "run").read_text()
    assert steps.index("make bench-packages") < steps.index("make test")
