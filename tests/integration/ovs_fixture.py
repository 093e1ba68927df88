"""A private Open vSwitch in a network namespace of its own, for tests on the real thing.

Every `PrivateOvs` has its own ovsdb-server and ovs-vswitchd, its own run, database and log directory, and a
namespace that holds its devices, so several live side by side and none touches the machine's own switch.
Processes are children of the test and are ended by pid; leaving the `with` block removes everything.

    with private_ovs(tmp_path) as ovs:
        ovs.vsctl("add-br", "br0")
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
WAIT_S = 10.0
# One handler and one revalidator: a test's switch should not start a thread per core.
SMALL = ("other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1")


class PrivateOvs:
    """One ovsdb-server and one ovs-vswitchd under `root`, with their devices in namespace `netns`."""

    def __init__(self, root: Path, netns: str) -> None:
        self.root = root
        self.netns = netns
        self.db_socket = root / "db.sock"
        self.env = os.environ | dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(root))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def remote(self) -> str:
        """The OVSDB remote of the private server, as the IDL takes it."""
        return f"unix:{self.db_socket}"

    def start(self) -> None:
        """Make the database, start both daemons, and wait until the switch has read its configuration."""
        self.start_ovsdb()
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", *SMALL)
        self.start_vswitchd()

    def start_ovsdb(self, *args: str) -> None:
        """Start ovsdb-server, on a new database if there is none; `args` are more of its arguments."""
        database = self.root / "conf.db"
        if not database.exists():
            subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True, capture_output=True)
        self._spawn("ovsdb-server", f"--remote=punix:{self.db_socket}", *args, str(database))
        self._wait(self._listens, "ovsdb-server does not listen")

    def start_vswitchd(self) -> None:
        """Start ovs-vswitchd and wait for its first pass over the configuration (next_cfg = cur_cfg)."""
        self._spawn("ovs-vswitchd", self.remote)
        # A new value each time: ovs-vsctl waits for the switch only when it changed something.
        stamp = f"external_ids:started={self.pid()}"
        self.vsctl(f"--timeout={WAIT_S:.0f}", "set", "Open_vSwitch", ".", stamp)

    def pid(self, daemon: str = "ovs-vswitchd") -> int:
        """Process id of a daemon that is running."""
        return self._processes[daemon].pid

    def stop(self, daemon: str, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End one daemon by pid and wait for it; nothing happens when it is not running."""
        process = self._processes.pop(daemon, None)
        if process is None:
            return
        process.send_signal(with_signal)
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT_S)

    def restart_vswitchd(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End ovs-vswitchd with the signal (SIGKILL for a crash) and start it on the same database."""
        self.stop("ovs-vswitchd", with_signal)
        self.start_vswitchd()

    def restart_ovsdb(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End ovsdb-server and start it again: every client is disconnected, the rows stay."""
        self.stop("ovsdb-server", with_signal)
        self.db_socket.unlink(missing_ok=True)
        self.start_ovsdb()

    def close(self) -> None:
        """Stop both daemons. The switch goes first, while it can still clean up through its database."""
        self.stop("ovs-vswitchd")
        self.stop("ovsdb-server")

    def vsctl(self, *args: str) -> str:
        return self.run("ovs-vsctl", f"--db={self.remote}", *args)

    def ofctl(self, *args: str) -> str:
        return self.run("ovs-ofctl", *args)

    def appctl(self, *args: str) -> str:
        return self.run("ovs-appctl", *args)

    def ip(self, *args: str) -> str:
        """`ip` inside the switch's namespace."""
        return self.run("ip", *args)

    def run(self, *command: str) -> str:
        """Run a command in the namespace with the private directories; its output, or an error with stderr."""
        done = subprocess.run(
            self._inside(*command), env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.netns, *command]

    def _spawn(self, daemon: str, *args: str) -> None:
        # Not --detach: a child has a pid that we know and a parent that reaps it. A pidfile, for ovs-appctl.
        command = self._inside(daemon, "--pidfile", "--no-chdir", "-vconsole:off", "-vfile:info",
                               f"--log-file={self.root / daemon}.log", *args)  # fmt: skip
        self._processes[daemon] = subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def _listens(self) -> bool:
        # The socket file is there a moment before it can be connected to. By way of the directory's descriptor:
        # a path under pytest's directories may be longer than a socket address can be.
        directory = os.open(self.root, os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(f"/proc/self/fd/{directory}/{self.db_socket.name}") == 0
        finally:
            os.close(directory)

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not ready():
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = {name: (self.root / f"{name}.log").read_text()[-800:] for name in dead}
                raise RuntimeError(f"{what}; ended: {logs}")
            time.sleep(0.002)


@contextmanager
def private_ovs(root: Path, *, start: bool = True) -> Iterator[PrivateOvs]:
    """A running `PrivateOvs` in a new namespace and a new directory under `root`; both are gone afterwards."""
    name = f"weft-t-{secrets.token_hex(4)}"
    directory = root / name
    with ExitStack() as undo:
        directory.mkdir(parents=True)
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        undo.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
        ovs = PrivateOvs(directory, name)
        undo.callback(ovs.close)
        ovs.ip("link", "set", "lo", "up")
        if start:
            ovs.start()
        yield ovs
