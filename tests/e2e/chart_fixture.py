"""The chart as helm renders it, for sets of values that are kept in files."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
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


def containers(pod: Obj) -> Iterator[Obj]:
    """All containers of a pod template."""
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]


def without_chance(text: str) -> str:
    """What the chart renders to, but for what is different each time: keys, certificates, dates."""
    return _EXPIRES.sub(r"\1(a date)", _MADE.sub(_kind_of, text))


def _kind_of(match: re.Match[str]) -> str:
    """In place of a certificate or key that helm has made, what it is."""
    lines = base64.b64decode(match["data"]).decode().splitlines()
    made = len(lines) > 3  # those of the cases have one line between the marks
    return f"{match['key']}({lines[0].strip('-')} and so on)" if made else match[0]
