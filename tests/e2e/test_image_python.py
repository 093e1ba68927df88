"""Weft runs on the Python that is in the images, with the dependencies as they are there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from images_fixture import Built, run

from images.build import OUT, ROOT, mounted, name_of

pytestmark = pytest.mark.timeout(600)

_FOR_TESTS = ("hypothesis", "packaging", "pytest")
_NEEDS_MAKE = "tests/unit/test_lab_setup.py"
_INSIDE = """
set -e
mkdir {root}/src {root}/tools
mount --bind {source} {root}/src
mount -o remount,bind,ro {root}/src
mount --bind {tools} {root}/tools
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
ip link set lo up
exec chroot {root} /usr/bin/env -i -C /src PATH=/opt/weft/bin:/usr/sbin:/usr/bin PYTHONPATH=/src:/tools \
    PYTHONDONTWRITEBYTECODE=1 python3 -m pytest -q -p no:cacheprovider --ignore={ignored} tests/unit
"""

_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
current-context: here
"""


@pytest.fixture
def controller(built: Built) -> Iterator[Path]:
    with mounted(name_of("controller", built.version)) as root:
        yield root


def test_the_unit_tests_pass_in_the_image(controller: Path) -> None:
    script = _INSIDE.format(root=controller, source=ROOT, tools=tools(controller), ignored=_NEEDS_MAKE)
    command = ("unshare", "--mount", "--net", "sh", "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " passed" in done.stdout


def test_kubeconfigs_are_read_with_what_is_left_of_the_kubernetes_package(controller: Path) -> None:
    (controller / "tmp/config").write_text(_KUBECONFIG)
    script = "from kube.endpoint import from_kubeconfig; print(from_kubeconfig('/tmp/config').server)"
    assert run(controller, "python3", "-c", script) == "https://192.0.2.1:6443\n"


def test_no_program_compiles_modules_when_it_starts(controller: Path) -> None:
    started = run(controller, "python3", "-c", _UNCOMPILED)
    assert started == "[]\n"


_UNCOMPILED = """
import sys
import controller.main, cli.main, kubernetes.config
from pathlib import Path
print([m.__name__ for m in list(sys.modules.values())
       if getattr(m, "__cached__", None) and m.__file__.endswith(".py") and not Path(m.__cached__).exists()])
"""


def tools(root: Path) -> Path:
    """What unit tests need and images do not have, for the image's Python."""
    version = run(root, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    place = OUT / f"test-tools-{version}"
    if not place.exists():
        asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
        wanted = [each for each in asked if each.startswith(_FOR_TESTS)]
        pip = (
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            str(place),
        )
        subprocess.run((*pip, "--python-version", version, "--only-binary=:all:", *wanted), check=True, timeout=300)
    return place
