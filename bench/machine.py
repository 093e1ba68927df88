"""What the figures were measured on."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.config import LabConfig


@dataclass(frozen=True, slots=True)
class Machine:
    """`memory` in GB (10^9 bytes); `load` is the mean of runnable processes over the minute before."""

    cores: int
    cpu: str
    memory: float
    kernel: str
    openvswitch: str
    datapath: str
    python: str
    load: float

    def lines(self) -> tuple[str, ...]:
        """Facts for people."""
        return (
            f"{self.cores} cores ({self.cpu}), {self.memory:.0f} GB of memory, load {self.load:.1f} at the start",
            f"Linux {self.kernel}, Open vSwitch {self.openvswitch} with the {self.datapath} datapath, "
            f"Python {self.python}",
        )


def this_machine() -> Machine:
    """Read from /proc and from Open vSwitch itself."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_field("/proc/cpuinfo", "model name") or platform.machine(),
        memory=int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) * 1024 / 1e9,
        kernel=platform.release().split("-")[0],
        openvswitch=_openvswitch(),
        datapath=LabConfig().datapath.value,
        python=platform.python_version(),
        load=os.getloadavg()[0],
    )


def _field(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _openvswitch() -> str:
    """The version, which is the last word of the first line."""
    try:
        done = subprocess.run(["ovs-vswitchd", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "(not installed)"
    return (done.stdout.splitlines() or ["unknown"])[0].split()[-1]
