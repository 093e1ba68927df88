"""The chart as helm renders it, for sets of values that are kept in files."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from apiserver_fixture import ApiServer
from programs_fixture import ROOT, program

CHART = ROOT / "charts" / "weft"
NAMESPACE = "weft-system"
CASES = Path(__file__).with_name("chart") / "values"
GOLDEN = Path(__file__).with_name("chart") / "golden"

_WAIT = 120.0
_MADE = re.compile(r"^(?P<key>  (?:ca|tls)\.(?:crt|key): )(?P<data>\S+)$", re.MULTILINE)
_EXPIRES = re.compile(r'^(    weft\.dev/expires: )"\d{4}-\d\d-\d\d"$', re.MULTILINE)

Obj = dict[str, Any]


def case_names() -> list[str]:
    return sorted(path.stem for path in CASES.glob("*.yaml"))


def helm(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """helm, which succeeds or not, and has nothing to do with what its user has configured."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    return subprocess.run(
        [str(program("helm")), *arguments],
        env={**clean, "KUBECONFIG": "/nonexistent", **(env or {})},
        capture_output=True,
        text=True,
        timeout=_WAIT,
        check=False,
    )


@cache
def template(*arguments: str) -> str:
    """What the chart renders to with these arguments of helm."""
    done = helm("template", "weft", str(CHART), f"--namespace={NAMESPACE}", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(case: str, *arguments: str) -> list[Obj]:
    """The objects of a case."""
    return objects(template(f"--values={CASES / case}.yaml", *arguments))


def objects(text: str) -> list[Obj]:
    return [each for each in yaml.safe_load_all(text) if each]


def one(of: Sequence[Obj], kind: str, name: str) -> Obj:
    """The object of a kind and a name."""
    (found,) = (each for each in of if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def template_of(of: Sequence[Obj], kind: str, name: str) -> Obj:
    """The pod template of a workload."""
    found: Obj = one(of, kind, name)["spec"]["template"]
    return found


def pod_with(of: Sequence[Obj], container: str) -> tuple[Obj, Obj]:
    """The pod template that has a container of this name, and the container."""
    pods = [each["spec"]["template"] for each in of if "template" in each.get("spec", {})]
    ((pod, found),) = ((pod, each) for pod in pods for each in containers(pod) if each["name"] == container)
    return pod, found


def containers(pod: Obj) -> Iterator[Obj]:
    """All containers of a pod template."""
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]


def without_chance(text: str) -> str:
    """What the chart renders to, but for what is different each time: keys, certificates, dates."""
    given = (CASES / "pem.yaml").read_text().split()

    def made(match: re.Match[str]) -> str:
        lines = base64.b64decode(match["data"]).decode().splitlines()
        return match[0] if lines[1] in given else f"{match['key']}({lines[0].strip('-')} and so on)"

    return _EXPIRES.sub(r"\1(a date)", _MADE.sub(made, text))


@dataclass(frozen=True)
class Release:
    """The chart, installed. Every method fails the test when helm fails."""

    api: ApiServer

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """helm, which may fail."""
        env = {"KUBECONFIG": str(self.api.kubeconfig), "HELM_CACHE_HOME": str(self.api.directory / "helm")}
        return helm(*arguments, f"--namespace={NAMESPACE}", env=env)

    def helm(self, *arguments: str) -> str:
        done = self.tried(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *arguments: str) -> str:
        # There is nobody who would make pods, so there is nothing to wait for.
        return self.helm("install", "weft", str(CHART), "--create-namespace", "--wait=hookOnly", *arguments)

    def upgrade(self, *arguments: str) -> str:
        return self.helm("upgrade", "weft", str(CHART), "--wait=hookOnly", *arguments)

    def rollback(self, revision: int) -> None:
        self.helm("rollback", "weft", str(revision), "--wait=hookOnly")

    def uninstall(self) -> None:
        self.helm("uninstall", "weft", "--ignore-not-found", "--wait=hookOnly")


@contextmanager
def installed(api: ApiServer, *arguments: str) -> Iterator[Release]:
    """The chart with these arguments of helm, until the end of the block."""
    release = Release(api)
    try:
        release.install(*arguments)
        yield release
    finally:
        release.uninstall()
