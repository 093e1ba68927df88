"""What runs on a node before any pod does: containerd, kubelet, kube-proxy."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import cgroups, pki
from cluster.images import PAUSE, import_images, test_images
from cluster.layout import DOMAIN, POD_RANGES, NodeLayout
from cluster.machine import Machine, MachineError, processes, wait

CONTAINERD, KUBELET, PROXY = "containerd", "kubelet", "kube-proxy"
SOCKET = "/run/containerd/containerd.sock"
_SECONDS = 30.0

# Snapshots are overlays; loopback devices are containerd's own affair, so that no plugin but Weft's is needed.
_CONTAINERD = f"""
version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
    disable_apparmor = true
    restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
    use_internal_loopback = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = false
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster; `programs` is the directory with Kubernetes' and containerd's."""

    layout: NodeLayout
    programs: Path

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def static_pods(self) -> Path:
        """The directory whose pods the kubelet runs without being told to by the API."""
        return self._file("static-pods")

    @property
    def machine(self) -> Machine:
        return Machine(self.layout)

    def start(self, archives: Sequence[Path] = ()) -> None:
        """Make the machine and start everything, with images from archives; its network namespace is there."""
        cgroups.make(self.layout)
        pki.make_node(self.layout)
        self.machine.make()
        self._configure()
        self.start_program(CONTAINERD)
        self._wait_for_runtime()
        import_images(self, (*test_images(), *archives))
        for program in (KUBELET, PROXY):
            self.start_program(program)

    def start_program(self, program: str) -> None:
        self.machine.start(program, self._argv(program), {"PATH": f"{self.programs.resolve()}:{os.environ['PATH']}"})

    def stop_program(self, program: str) -> None:
        processes().stop(self.layout.process(program))

    def restart_runtime(self) -> None:
        """End kubelet and containerd, as an upgrade of both does, and start them again; returns when both serve.

        Containers go on.
        """
        self.stop_program(KUBELET)
        self.stop_program(CONTAINERD)
        self.start_program(CONTAINERD)
        self._wait_for_runtime()
        self.start_program(KUBELET)
        wait(self._kubelet_serves, f"the kubelet of {self.name} serves", _SECONDS)

    def ctr(self, *arguments: str, seconds: float = 120.0) -> str:
        """`ctr` among the kubelet's containers and images. Raises MachineError."""
        return self.machine.run(str(self.programs.resolve() / "ctr"), "-n", "k8s.io", *arguments, seconds=seconds)

    def _wait_for_runtime(self) -> None:
        wait(self._serves, f"containerd of {self.name} serves", _SECONDS)

    def _serves(self) -> bool:
        try:
            self.ctr("version")
        except MachineError:
            return False
        return True

    def _kubelet_serves(self) -> bool:
        url = "http://127.0.0.1:10248/healthz"
        return self.machine.run("curl", "--silent", "--max-time", "2", url, check=False) == "ok"

    def _argv(self, program: str) -> tuple[str, ...]:
        binary = str(self.programs.resolve() / program)
        flags = {
            CONTAINERD: ("--config", str(self._file("containerd.toml"))),
            KUBELET: (
                f"--config={self._file('kubelet.json')}",
                f"--kubeconfig={pki.kubeconfig(self.name)}",
                f"--hostname-override={self.name}",
                f"--node-ip={','.join(self.layout.addresses)}",
            ),
            PROXY: (f"--config={self._file('kube-proxy.json')}", f"--hostname-override={self.name}"),
        }
        return (binary, *flags[program])

    def _configure(self) -> None:
        self.static_pods.mkdir(exist_ok=True)
        self._file("containerd.toml").write_text(_CONTAINERD)
        self._file("kubelet.json").write_text(json.dumps(self._kubelet(), indent=1))
        self._file("kube-proxy.json").write_text(json.dumps(_proxy(), indent=1))

    def _file(self, name: str) -> Path:
        return self.layout.files / name

    def _kubelet(self) -> dict[str, Any]:
        """KubeletConfiguration (kubelet.config.k8s.io/v1beta1).

        Nothing is evicted and no image removed: the node's disk is memory, and images cannot be had again.
        """
        certificate, key = pki.certificate(self.name)
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"x509": {"clientCAFile": str(pki.CA)}, "anonymous": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.layout.cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "tlsCertFile": certificate,
            "tlsPrivateKeyFile": key,
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            "staticPodPath": str(self.static_pods),
            "enforceNodeAllocatable": ["pods"],
            "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
            "maxPods": 200,
            "registryPullQPS": 0,
            "serializeImagePulls": False,
        }


def _proxy() -> dict[str, Any]:
    """KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1).

    The sizes of the connection table are the whole machine's; a namespace may not set them.
    """
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("kube-proxy"))},
        "clusterCIDR": ",".join(POD_RANGES),
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
