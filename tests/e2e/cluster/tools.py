"""The programs of Kubernetes, compiled from their Go modules and kept by version.

`tests/e2e/tools/go.mod` names them as tool dependencies. They are compiled once for each state of that file: into the
user's cache, so that a fresh clone on the same machine has them too. The first time takes some minutes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from cluster.layout import ROOT

MODULE = Path(__file__).resolve().parents[1] / "tools"
BIN = ROOT / "build" / "e2e" / "bin"
"""A link to the cached programs of this checkout's go.mod."""

PROGRAMS = (
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "etcd",
    "helm",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)

# The last element of etcd's import path is the module's major version, so Go calls the program after the one before.
_RENAMED = {"server": "etcd"}
_STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_BUILD_SECONDS = 3600


class ToolsError(RuntimeError):
    """The programs cannot be had; the message says what to do."""


def programs() -> Path:
    """The directory with all programs, compiled if need be. Raises ToolsError."""
    directory = _cached()
    if not directory.exists():
        _compile(directory)
    BIN.parent.mkdir(parents=True, exist_ok=True)
    BIN.unlink(missing_ok=True)
    BIN.symlink_to(directory)
    return BIN


def kubernetes_version() -> str:
    """Such as v1.37.2, from go.mod."""
    return _version((MODULE / "go.mod").read_text())


def _version(go_mod: str) -> str:
    found = re.search(r"^\s*k8s\.io/kubernetes (v[\w.+-]+)", go_mod, re.MULTILINE)
    if found is None:
        raise ToolsError(f"{MODULE}/go.mod does not require k8s.io/kubernetes")
    return found[1]


def _cached() -> Path:
    """Named by the version and by all that decides what is compiled: both module files, and this one."""
    state = hashlib.sha256()
    for path in (MODULE / "go.mod", MODULE / "go.sum", Path(__file__)):
        state.update(path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "weft" / "e2e" / f"{kubernetes_version()}-{state.hexdigest()[:12]}"


def _compile(directory: Path) -> None:
    """All in one go: they share most of their packages. Complete, or not there at all."""
    if shutil.which("go") is None:
        raise ToolsError("Go is not installed: the end-to-end tests compile Kubernetes from its Go modules")
    partial = directory.with_name(f"{directory.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    env = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(partial), "GOFLAGS": "-buildvcs=false"}
    print(f"compiling Kubernetes {kubernetes_version()}, which takes some minutes the first time", flush=True)
    command = ("go", "install", "-trimpath", "-ldflags", _ldflags(kubernetes_version()), "tool")
    done = subprocess.run(command, cwd=MODULE, env=env, timeout=_BUILD_SECONDS)
    if done.returncode != 0:
        raise ToolsError(f"`go install tool` in {MODULE} failed; what it said is above")
    for built, name in _RENAMED.items():
        (partial / built).rename(partial / name)
    partial.rename(directory)


def _ldflags(version: str) -> str:
    """Without symbols, and with the version, which kubelets and helm go by. A module build has no other."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = (f"-X {package}.{key}={value}" for package in _STAMPED for key, value in values.items())
    return " ".join(("-s", "-w", *stamps))
