"""The control plane: etcd, API server, controller manager and scheduler, where the nodes' networks meet."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cluster import pki
from cluster.layout import (
    API,
    CONTROL,
    DOMAIN,
    NAMESPACE,
    POD_MASKS,
    POD_RANGES,
    SERVICE_RANGES,
    gateway_addresses,
)
from cluster.machine import MachineError, processes, wait
from lab import netns
from lab.process import ProcessSpec

API_SERVER = "kube-apiserver"

_ETCD = "http://127.0.0.1:2379"
_READY_SECONDS = 60.0


def start(programs: Path) -> None:
    """Start all four; returns when the API server is ready. Raises MachineError."""
    CONTROL.mkdir(parents=True, exist_ok=True)
    _start(programs, "etcd")
    _start(programs, API_SERVER)
    wait_ready(programs)
    # These give up when there is no API server.
    for name in ("kube-controller-manager", "kube-scheduler"):
        _start(programs, name)


def wait_ready(programs: Path) -> None:
    """Return when the API server says that it is ready. Raises MachineError."""
    wait(lambda: _is_ready(programs), "the API server is ready", _READY_SECONDS)


def _is_ready(programs: Path) -> bool:
    if died := processes().died():
        raise MachineError(f"{', '.join(died)} ended at once")
    return call(programs, "get", "--raw", "/readyz").returncode == 0


def _start(programs: Path, name: str) -> None:
    argv = (str(programs / name), *_FLAGS[name]())
    log = str(CONTROL / f"{name}.log")
    processes().start(ProcessSpec(name, argv, log, str(netns.path_of(NAMESPACE))))


def call(programs: Path, *arguments: str, stdin: str = "", seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """`kubectl` as the cluster's administrator."""
    return inside(str(programs / "kubectl"), f"--kubeconfig={pki.kubeconfig('admin')}", *arguments, stdin=stdin,
                  seconds=seconds)  # fmt: skip


def inside(*argv: str, stdin: str = "", seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a command where the API is reached, to its end."""
    command = ("nsenter", f"--net={netns.path_of(NAMESPACE)}", "--", *argv)
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds)


def _etcd() -> tuple[str, ...]:
    # Nothing here has to survive the machine.
    return (
        f"--data-dir={CONTROL / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def _api_server() -> tuple[str, ...]:
    certificate, key = pki.certificate("kube-apiserver")
    client, client_key = pki.certificate("kube-apiserver-client")
    return (
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={gateway_addresses()[0]}",
        f"--secure-port={API.rpartition(':')[2]}",
        f"--service-cluster-ip-range={','.join(SERVICE_RANGES)}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--anonymous-auth=false",
        f"--client-ca-file={pki.CA}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--kubelet-certificate-authority={pki.CA}",
        f"--kubelet-client-certificate={client}",
        f"--kubelet-client-key={client_key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-signing-key-file={pki.SERVICE_ACCOUNT_KEY}",
        f"--service-account-key-file={pki.SERVICE_ACCOUNT_KEY}",
        "--event-ttl=10m",
    )


def _controller_manager() -> tuple[str, ...]:
    masks = {"ipv4": POD_MASKS[0], "ipv6": POD_MASKS[1]}
    return (
        f"--kubeconfig={pki.kubeconfig('kube-controller-manager')}",
        "--allocate-node-cidrs",
        f"--cluster-cidr={','.join(POD_RANGES)}",
        f"--service-cluster-ip-range={','.join(SERVICE_RANGES)}",
        *(f"--node-cidr-mask-size-{family}={mask}" for family, mask in masks.items()),
        f"--root-ca-file={pki.CA}",
        f"--service-account-private-key-file={pki.SERVICE_ACCOUNT_KEY}",
        "--use-service-account-credentials",
        "--leader-elect=false",
    )


def _scheduler() -> tuple[str, ...]:
    return (f"--kubeconfig={pki.kubeconfig('kube-scheduler')}", "--leader-elect=false")


_FLAGS = {
    "etcd": _etcd,
    API_SERVER: _api_server,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
}
