"""A node's machine: a network namespace with a host name, directories and kernel settings of its own.

It has this machine's programs, and nothing of its state: what a node's programs write goes to memory and ends with
the namespace. Its mounts are shared among themselves, as on a real machine, so that what is mounted there is seen in
containers that ask for it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.layout import LAB, PATHS, NodeLayout
from lab import netns
from lab.names import MARKER
from lab.process import Processes, ProcessSpec

HOLDER = "machine"
"""The process that a machine's namespaces live by."""

_SECONDS = 20.0

KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""The kubelet sets these for the whole machine (and, asked not to, ends if they differ): it gets copies."""

# $1: the cluster's directory; $2: where the node's files go; $3: the node's name.
# /sys anew, because it shows the devices of the network namespace that it is mounted from.
_MAKE = f"""
hostname "$3"
mkdir -p "$2"
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir -p "$2/run/${{1##*/}}" "$2/run/netns" "$2/run/lock" "$2/cgroup"
mount --rbind /sys/fs/cgroup "$2/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$2/cgroup" /sys/fs/cgroup
mount --rbind "$1" "$2/run/${{1##*/}}"
mount --rbind "$2/run" /run
for each in etc opt var/lib; do
    mkdir -p "$2/$each/upper" "$2/$each/work"
    mount -t overlay -o "lowerdir=/$each,upperdir=$2/$each/upper,workdir=$2/$each/work" overlay "/$each"
done
for each in etc/cni etc/openvswitch opt/cni var/lib/cni var/lib/containerd var/lib/kubelet var/lib/openvswitch \\
            var/log; do
    mkdir -p "$2/own/$each" "/$each"
    mount --bind "$2/own/$each" "/$each"
done
for each in {" ".join(KERNEL_SETTINGS)}; do
    mkdir -p "$2/proc/${{each%/*}}"
    cat "/proc/sys/$each" > "$2/proc/$each"
    mount --bind "$2/proc/$each" "/proc/sys/$each"
done
mount --make-rshared /
touch "$2/ready"
exec sleep infinity
"""


class MachineError(RuntimeError):
    """A node's machine could not be made, or a command there failed."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`node` says which; everything else about it is on the machine itself."""

    node: NodeLayout

    @property
    def _files(self) -> Path:
        return PATHS.root / "machines" / self.node.name

    def make(self) -> None:
        """Make its directories; its network namespace is there. Raises MachineError."""
        self.node.files.mkdir(parents=True, exist_ok=True)
        script = ("sh", "-ec", _MAKE, "sh", str(PATHS.root), str(self._files), self.node.name)
        self._spawn(HOLDER, ("unshare", "--mount", "--uts", "--propagation", "private", *script))
        wait(lambda: self.inside(self._files / "ready").exists(), f"the machine of {self.node.name}", _SECONDS)

    def inside(self, path: str | Path) -> Path:
        """A path of the machine's, as seen from outside."""
        return Path(f"/proc/{self._pid()}/root{path}")

    def start(self, program: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a long-running program there; its log is in the node's files."""
        self._spawn(program, (*self.entering(), *argv), env or {})

    def run(self, *argv: str, seconds: float = 60.0, check: bool = True) -> str:
        """Run a command there to its end and return what it printed. Raises MachineError."""
        done = subprocess.run(
            (*self.entering(), *argv), capture_output=True, text=True, timeout=seconds, env=_environment()
        )
        if check and done.returncode != 0:
            raise MachineError(f"{self.node.name}: {' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def entering(self) -> tuple[str, ...]:
        """What to put before a command so that it runs there."""
        space = f"/proc/{self._pid()}/ns"
        return ("nsenter", f"--mount={space}/mnt", f"--net={space}/net", f"--uts={space}/uts", "--")

    def _pid(self) -> int:
        return processes().pid(self.node.process(HOLDER))

    def _spawn(self, program: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        namespace = str(netns.path_of(self.node.namespace))
        log = str(self.node.files / f"{program}.log")
        processes().start(ProcessSpec(self.node.process(program), tuple(argv), log, namespace, env or {}))


def processes() -> Processes:
    """The records of everything that the cluster runs."""
    return Processes(PATHS)


def wait(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Return when `condition()` is true; MachineError, saying `what` was waited for, when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise MachineError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    return {**os.environ, MARKER: LAB}
