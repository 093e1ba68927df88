"""containerd on one node of a lab, on a `machine` of its own where it finds its usual directories.

    with agent_lab("x") as lab:
        containerd = Containerd(lab, "node1")
        with containerd.run(stored_pod, "sleep", "60") as container:
            container.output("ping", "-c1", "10.244.1.7")

Containers have the lab's marker by their image, so that the lab's end is theirs, too. All that stays of one which is
ended in that way, and not by containerd, are its empty control groups.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from cri_client import Cri, Message, sandbox_config
from lab_fixture import until
from machine_fixture import WAIT, machine
from oci_image import busybox_image

from cni import conflist
from lab.lab import Lab
from lab.names import MARKER

IMAGE = "localhost/weft/busybox:test"
PAGE = "served by a container\n"
CTR, KUBERNETES = "default", "k8s.io"
"""containerd's namespaces: of what `ctr` runs, and of what the kubelet has it run."""

NET_D, CNI_BIN, CNI_CACHE = Path("/etc/cni/net.d"), Path("/opt/cni/bin"), Path("/var/lib/cni/results")
_NETNS, _SOCKET = Path("/run/netns"), Path("/run/containerd/containerd.sock")
_LOOPBACK = Path("/usr/lib/cni/loopback")
_BUSYBOX = Path("/bin/busybox")
_PROGRAMS = ("containerd", "ctr", "runc", "busybox")
_numbers = count(1)

Obj = dict[str, Any]

needs_containerd = pytest.mark.skipif(
    not all(map(shutil.which, _PROGRAMS)) or not _LOOPBACK.exists(),
    reason="containerd, runc, busybox-static or containernetworking-plugins is not installed",
)

# `ctr` cannot be told where the network configuration is: the directory $1 is put where it looks.
_CTR_WITH = f'mount --bind "$1" {NET_D}; shift; exec ctr "$@"'

# No parent control groups, which containerd would leave behind. Snapshots are copies: the image is small.
_CONFIG = f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "{IMAGE}"
    disable_apparmor = true
    disable_cgroup = true
    restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""
_CTR_RUN = ("run", "--rm", "--cni", "--snapshotter", "native", "--cgroup", "", IMAGE)


@dataclass(frozen=True)
class Container:
    """A running container; `space` is containerd's namespace that it is in."""

    name: str
    space: str
    containerd: Containerd

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, and wait for its end."""
        exec_id = f"exec-{next(_numbers)}"
        return self.containerd.ctr("task", "exec", "--exec-id", exec_id, self.name, *argv, space=self.space)

    def output(self, *argv: str) -> str:
        """What a command in it prints; fails the test if it fails."""
        return _output(self.call(*argv))

    def addresses(self) -> set[str]:
        """Global addresses of eth0 as `ip` sees them inside, with prefix length."""
        words = self.output("ip", "-o", "addr", "show", "dev", "eth0", "scope", "global").split()
        return {word for before, word in pairwise(words) if before in ("inet", "inet6")}


@dataclass(frozen=True)
class Left:
    """What there is of containers: libcni's cache, network namespaces, and the kubelet's containers themselves."""

    cached: list[Obj]
    namespaces: list[str]
    containers: list[str]


class Containerd:
    """The daemon, with the image that containers run, and its two clients: `ctr`, and the kubelet's interface."""

    def __init__(self, lab: Lab, node: str) -> None:
        """Starts it; returns when its network is ready."""
        self.lab = lab
        self.machine = machine(lab, node)
        self.cri = Cri(self.machine.inside(_SOCKET))
        self._process = f"{node}/containerd"
        config = self.machine.write("containerd.toml", _CONFIG.encode())
        self.machine.start("containerd", "containerd", "--config", str(config))
        self._wait()
        self._import_image()
        self._prepare_cni()
        self.install()

    def kill(self) -> None:
        """End the daemon alone, with SIGKILL; containers go on."""
        self.lab.kill(self._process)

    def start(self) -> None:
        self.lab.start(self._process)
        self._wait()

    def install(self, rendered: bytes | None = None) -> None:
        """Put Weft's executable and configuration where containerd looks, and wait until it has read them."""
        places = self.machine.inside(CNI_BIN), self.machine.inside(NET_D)
        conflist.install(self.lab.paths.relay, rendered or conflist.render_conflist(), *places)
        until(self.cri.network_ready, "containerd says that the network is ready", WAIT)

    def uninstall(self) -> None:
        """Take them away, and wait until containerd knows."""
        conflist.uninstall(self.machine.inside(CNI_BIN), self.machine.inside(NET_D))
        until(lambda: not self.cri.network_ready(), "containerd says that the network is not ready", WAIT)

    @contextmanager
    def configured(self, **plugin: object) -> Iterator[None]:
        """For a while, have other keys in the configuration of Weft's plugin."""
        self.uninstall()
        self.install(_with(plugin))
        try:
            yield
        finally:
            self.uninstall()
            self.install()

    def cached(self) -> list[Obj]:
        """What libcni keeps of attachments of Weft's network."""
        return [json.loads(path.read_bytes()) for path in sorted(self.machine.inside(CNI_CACHE).glob("weft-*"))]

    def cached_of(self, container: str) -> Obj:
        """What it keeps of one container, by the id that it was given."""
        (entry,) = (each for each in self.cached() if each["containerId"] == container)
        return entry

    def left(self) -> Left:
        directory = self.machine.inside(_NETNS)
        namespaces = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
        containers = _output(self.ctr("containers", "ls", "--quiet", space=KUBERNETES)).split()
        return Left(self.cached(), namespaces, containers)

    def lose_namespace(self, name: str) -> None:
        """Take a network namespace's name away, as a reboot does."""
        path = _NETNS / name
        _output(self.machine.run("umount", str(path)))
        self.machine.inside(path).unlink()

    def ctr(self, *arguments: str, space: str = CTR) -> subprocess.CompletedProcess[str]:
        """Run `ctr` to its end."""
        return self.machine.run("ctr", "--namespace", space, *arguments)

    @contextmanager
    def run(self, pod: Obj, *argv: str) -> Iterator[Container]:
        """A container of a pod by `ctr run --cni`; without a command it serves PAGE. At the end it is killed, and
        `ctr` detaches it.

        `ctr` gives no CNI_ARGS, so the pod's identity is in the configuration.
        """
        meta = pod["metadata"]
        identity = {"K8S_POD_NAMESPACE": meta["namespace"], "K8S_POD_NAME": meta["name"], "K8S_POD_UID": meta["uid"]}
        with self._ctr_run(meta["name"], identity, *argv) as process:
            until(lambda: self._runs(meta["name"], process), f"container {meta['name']} runs", WAIT)
            try:
                yield Container(meta["name"], CTR, self)
            finally:
                _output(self.ctr("task", "kill", "--signal", "SIGKILL", meta["name"]))
                process.communicate(timeout=WAIT)

    def refused(self, name: str, identity: Mapping[str, str]) -> str:
        """What `ctr run --cni` says when it fails, as it must."""
        with self._ctr_run(name, identity, "sleep", "60") as process:
            _, error = process.communicate(timeout=WAIT)
            assert process.returncode != 0
            return error

    @contextmanager
    def _ctr_run(self, name: str, identity: Mapping[str, str], *argv: str) -> Iterator[subprocess.Popen[str]]:
        rendered = _with({"args": {"cni": identity}})
        directory = self.machine.write(f"net.d/{name}/{conflist.CONFLIST_NAME}", rendered).parent
        script = ("unshare", "--mount", "sh", "-ec", _CTR_WITH, "sh", str(directory))
        with self.machine.popen(*script, *_CTR_RUN, name, *argv) as process:
            try:
                yield process
            finally:
                process.kill()

    def _runs(self, name: str, process: subprocess.Popen[str]) -> bool:
        assert process.poll() is None, f"ctr run {name}: {process.communicate()[1]}"
        tasks = _output(self.ctr("task", "ls")).splitlines()  # TASK, PID, STATUS
        return any(line.split()[::2] == [name, "RUNNING"] for line in tasks)

    @contextmanager
    def sandbox(self, pod: Obj, **asked: Message | list[Message]) -> Iterator[Container]:
        """A pod's sandbox, as the kubelet has it made and removed; it serves PAGE. `asked`: see `sandbox_config`."""
        made = Container(self.cri.run_pod_sandbox(sandbox_config(pod["metadata"], **asked)), KUBERNETES, self)
        try:
            yield made
        finally:
            self.cri.stop_pod_sandbox(made.name)
            self.cri.remove_pod_sandbox(made.name)

    def _wait(self) -> None:
        until(lambda: self.ctr("version").returncode == 0, "containerd serves", WAIT)

    def _import_image(self) -> None:
        marker = {MARKER: self.lab.config.name}
        image = self.machine.write("image.tar", busybox_image(IMAGE, _BUSYBOX, PAGE.encode(), marker))
        for space in (CTR, KUBERNETES):
            _output(self.ctr("images", "import", "--snapshotter", "native", str(image), space=space))
        until(lambda: self.cri.has_image(IMAGE), "the sandbox image", WAIT)

    def _prepare_cni(self) -> None:
        """The directories, and the reference plugin for a sandbox's loopback device."""
        for directory in (NET_D, CNI_BIN):
            self.machine.inside(directory).mkdir(parents=True, exist_ok=True)
        (self.machine.inside(CNI_BIN) / _LOOPBACK.name).symlink_to(_LOOPBACK)


def _with(plugin: Mapping[str, object]) -> bytes:
    """Weft's configuration list, with other keys for its plugin."""
    rendered = json.loads(conflist.render_conflist())
    rendered["plugins"][0] |= plugin
    return json.dumps(rendered).encode()


def _output(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{' '.join(done.args)}: {done.stderr.strip()}"
    return done.stdout
