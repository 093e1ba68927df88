"""A node of a lab with a machine's directories of its own, for programs that cannot be told to use others.

The node gets a mount namespace in which /run is empty but for the lab, and in which /etc, /opt and /var/lib are what
they are on this machine, with writes kept apart. What is written goes to memory and ends with the namespace, so
nothing of this machine is touched, whatever happens. Every process carries the lab's marker: the end of the lab ends
them, and the next run does after a kill.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from lab_fixture import agent_problem, node_config, until

from lab.bringup import agent
from lab.lab import Lab
from lab.names import MARKER
from lab.node import agent_spec
from lab.process import ProcessSpec

WAIT = 30.0

# $1: the lab's directory; $2: one in it, for what is written.
_MAKE = """
mount -t tmpfs tmpfs "$2"
mkdir -p "$2/run/${1##*/}"
mount --rbind "$1" "$2/run/${1##*/}"
mount --rbind "$2/run" /run
for each in etc opt var/lib; do
    mkdir -p "$2/$each/upper" "$2/$each/work"
    mount -t overlay -o "lowerdir=/$each,upperdir=$2/$each/upper,workdir=$2/$each/work" overlay "/$each"
done
touch "$2/ready"
exec sleep infinity
"""


@dataclass(frozen=True)
class Machine:
    """`env` is added to the environment of whatever is started."""

    lab: Lab
    node: str
    files: Path
    env: Mapping[str, str]

    @property
    def _process(self) -> str:
        return f"{self.node}/mounts"

    def inside(self, path: str | Path) -> Path:
        """A path of the machine's, as seen from outside."""
        return Path(f"/proc/{self.lab.processes.pid(self._process)}/root{path}")

    def write(self, name: str, data: bytes) -> Path:
        """A file that is seen under the same path from inside and outside."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def start(self, name: str, *argv: str) -> None:
        """Start a process of the lab there."""
        self._spawn(name, self._entering(*argv))

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        with self.popen(*argv) as process:
            try:
                out, err = process.communicate(timeout=WAIT)
            finally:
                process.kill()
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command there, without input, its output to be read."""
        env = {**os.environ, **self.env, MARKER: self.lab.config.name}
        none, pipe = subprocess.DEVNULL, subprocess.PIPE
        return subprocess.Popen(self._entering(*argv), env=env, stdin=none, stdout=pipe, stderr=pipe, text=True)

    def make(self) -> None:
        (self.files / "mounts").mkdir(parents=True)
        script = ("sh", "-ec", _MAKE, "sh", str(self.lab.paths.root), str(self.files / "mounts"))
        self._spawn("mounts", ("unshare", "--mount", "--propagation", "private", *script))
        until(lambda: self.inside(self.files / "mounts/ready").exists(), "the mount namespace", WAIT)

    def take_agent(self) -> None:
        """Start the node's agent again, there: it opens the network namespaces that runtimes mount."""
        spec = agent_spec(node_config(self.lab, self.node))
        self.lab.kill(agent(self.node))
        self.lab.processes.start(msgspec.structs.replace(spec, argv=self._entering(*spec.argv)))
        until(lambda: agent_problem(self.lab, self.node) is None, "the agent ready again", WAIT)

    def _spawn(self, name: str, argv: tuple[str, ...]) -> None:
        config = node_config(self.lab, self.node)
        log = str(config.paths.log / f"{name}.log")
        self.lab.processes.start(ProcessSpec(f"{self.node}/{name}", argv, log, str(config.namespace), self.env))

    def _entering(self, *argv: str) -> tuple[str, ...]:
        """A command with the machine's mounts, in the node's network."""
        pid = self.lab.processes.pid(self._process)
        return ("nsenter", f"--mount=/proc/{pid}/ns/mnt", f"--net=/proc/{pid}/ns/net", "--", *argv)


def machine(lab: Lab, node: str) -> Machine:
    """Make it, and move the node's agent there. It ends with the lab."""
    paths = node_config(lab, node).paths
    made = Machine(lab, node, paths.root / "machine", {"WEFT_CNI_SOCKET": str(paths.cni_socket)})
    made.make()
    made.take_agent()
    return made
