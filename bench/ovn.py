"""The peer of `port-ready` and `policy-ovn`: OVN's own daemons from Debian, beside a lab node's Open vSwitch alone.

Everything of it is in the lab's directory and marked as the lab's, so that the lab's sweep ends it too.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.stage import BenchError, Stage, wait_for
from lab import names, netns
from lab.process import ProcessSpec

NAME = "ovn"
BRIDGE = "br-int"
SWITCH = "bench"
_SCHEMAS = Path("/usr/share/ovn")
_PROGRAMS = ("ovn-northd", "ovn-controller", "ovn-nbctl", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
_COMMAND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ovn:
    """OVN with one logical switch, on the node of a stage."""

    stage: Stage

    @property
    def directory(self) -> Path:
        return self.stage.lab.paths.root / "ovn"

    def socket(self, database: str) -> str:
        """The remote of `nb` or `sb`."""
        return f"unix:{self.directory / database}.sock"

    def start(self) -> None:
        """Start both databases, northd and a controller; returns when the chassis has its bridge."""
        self.directory.mkdir()
        for database in ("nb", "sb"):
            self._start_database(database)
        self._spawn("ovn-northd", (f"--ovnnb-db={self.socket('nb')}", f"--ovnsb-db={self.socket('sb')}"))
        self._configure_chassis()
        self._spawn("ovn-controller", (f"unix:{self.stage.node.paths.ovsdb_socket}",))
        self._nbctl("ls-add", SWITCH)
        self.sync()

    def add_logical_ports(self, ports: Sequence[tuple[str, str]], *, secured: bool = False) -> None:
        """Logical ports (name, "MAC IP...") on the switch; returns when northd and the chassis know them. Those that
        are `secured` may send from their own addresses only."""
        words: list[str] = []
        for name, addresses in ports:
            words += ["--", "lsp-add", SWITCH, name, "--", "lsp-set-addresses", name, addresses]
            if secured:
                words += ["--", "lsp-set-port-security", name, addresses]
        self._nbctl(*words[1:])
        self.sync()

    def bind(self, ports: Sequence[str]) -> None:
        """Put interfaces on the bridge, each as the logical port of its name; returns when their flows are there."""
        words: list[str] = []
        for name in ports:
            words += ["--", "add-port", BRIDGE, name, "--", "set", "Interface", name, f"external_ids:iface-id={name}"]
        self._vsctl(*words[1:])
        wait_for(lambda: self._installed() == len(ports), "OVN has not installed every port", _COMMAND_SECONDS)
        self.sync()

    def sync(self) -> None:
        """Return when what was written until now is in the switch."""
        self._nbctl("--wait=hv", "sync")

    def _installed(self) -> int:
        marked = ("find", "Interface", "external_ids:ovn-installed=true")
        return len(self._vsctl("--format=csv", "--no-headings", "--columns=name", *marked).splitlines())

    def _start_database(self, name: str) -> None:
        database = self.directory / f"{name}.db"
        self._run("ovsdb-tool", "create", str(database), str(_SCHEMAS / f"ovn-{name}.ovsschema"))
        control = f"--unixctl={self.directory / name}.ctl"
        remote = f"--remote=p{self.socket(name)}"
        self._spawn("ovsdb-server", (remote, control, str(database)), f"ovn-{name}")
        path = Path(self.socket(name).removeprefix("unix:"))
        wait_for(path.exists, f"{path}: no socket")

    def _configure_chassis(self) -> None:
        settings = {
            "ovn-remote": self.socket("sb"),
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": str(
                names.host_interfaces(names.Underlay.TRANSPORT, 1, self.stage.node.family)[0].address
            ),
            "ovn-bridge-datapath-type": self.stage.node.datapath.ovs_type,
        }
        keys = [f"external_ids:{key}={value}" for key, value in settings.items()]
        self._vsctl("set", "Open_vSwitch", ".", *keys)

    def _spawn(self, program: str, arguments: Sequence[str], name: str = "") -> None:
        name = name or program
        log = self.directory / f"{name}.log"
        options = ("-vconsole:off", "-vfile:info", f"--log-file={log}", f"--pidfile={self.directory / name}.pid")
        self.stage.lab.processes.start(
            ProcessSpec(
                name=name,
                argv=(program, *options, *arguments),
                log=f"{log}.out",
                namespace=str(self.stage.node.namespace),
                env=self._environment(),
            )
        )

    def _environment(self) -> dict[str, str]:
        """Where OVN keeps what is its own; of Open vSwitch it needs the directory with the bridge's socket."""
        own, switch = str(self.directory), str(self.stage.node.paths.ovs)
        return {"OVN_RUNDIR": own, "OVN_LOGDIR": own, "OVN_DBDIR": own, "OVS_RUNDIR": switch, "OVS_LOGDIR": own}

    def _nbctl(self, *words: str) -> None:
        self._run("ovn-nbctl", f"--db={self.socket('nb')}", f"--timeout={_COMMAND_SECONDS}", *words)

    def _vsctl(self, *words: str) -> str:
        database = f"--db=unix:{self.stage.node.paths.ovsdb_socket}"
        return self._run("ovs-vsctl", database, "--timeout=20", *words)

    def _run(self, *words: str) -> str:
        env = {**os.environ, **self._environment(), names.MARKER: self.stage.lab.config.name}
        done = netns.run_in(
            self.stage.node.namespace,
            lambda: subprocess.run(
                words, env=env, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
            ),
        )
        if done.returncode:
            raise BenchError(f"{' '.join(words[:4])} ...: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def ovn(stage: Stage) -> Iterator[Ovn]:
    """OVN on a stage without Weft, running. BenchError: ovn-central or ovn-host is not installed."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise BenchError(f"{', '.join(missing)} missing: install ovn-central and ovn-host")
    peer = Ovn(stage)
    peer.start()
    yield peer
