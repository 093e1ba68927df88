"""A machine that cannot hold the lab that was asked for is told so, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from weftctl_fixture import weftctl

from lab.bringup import BringUpError, check_machine
from lab.names import Datapath, LabPaths

NAME = "t-machine"
MODULE = Path("/sys/module/openvswitch")


def test_the_userspace_datapath_needs_no_module(tmp_path: Path) -> None:
    check_machine(Datapath.USERSPACE, tmp_path / "openvswitch")


def test_the_kernel_datapath_needs_the_module(tmp_path: Path) -> None:
    check_machine(Datapath.KERNEL, tmp_path)
    with pytest.raises(BringUpError, match=r"kernel datapath needs the openvswitch module.*`modprobe"):
        check_machine(Datapath.KERNEL, tmp_path / "openvswitch")


@pytest.mark.skipif(MODULE.exists(), reason="the module is loaded: there is nothing to refuse")
def test_weftctl_refuses_a_kernel_lab_without_the_module() -> None:
    ran = weftctl("lab", "up", "--name", NAME, "--datapath", "kernel")
    assert ran.status == 2
    assert "openvswitch module" in ran.err
    assert len(ran.err.splitlines()) == 2  # what it was about to build, and why not
    assert not LabPaths(NAME).root.exists()
