"""The images under test, built as users build them, and how programs run in their files."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from images.build import OUT, archive_of, build, name_of

SECONDS = 30.0
_NEEDED = ("buildah", "mmdebstrap")
_PATH = "/opt/weft/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Built:
    """Images of one version."""

    version: str

    @property
    def archives(self) -> tuple[Path, Path]:
        """The agent's, and the controller's."""
        return archive_of("agent", self.version), archive_of("controller", self.version)

    @property
    def store(self) -> tuple[str, ...]:
        """Flags with which `buildah` finds them."""
        return ("--root", str(OUT / "store"), "--runroot", str(OUT / "run"))

    def inspect(self, target: str) -> dict[str, Any]:
        """An image's configuration, as the OCI image specification has it."""
        command = ("buildah", *self.store, "inspect", "--type", "image", name_of(target, self.version))
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        config: dict[str, Any] = json.loads(done.stdout)["OCIv1"]
        return config


def built(version: str) -> Built:
    """Build them from this checkout. What has not changed since the last time is not built again."""
    if missing := [each for each in _NEEDED if shutil.which(each) is None]:
        pytest.skip(f"images cannot be built without {' and '.join(missing)}: apt-get install {' '.join(missing)}")
    build(version)
    return Built(version)


def run(root: Path, *argv: str, user: int = 0) -> str:
    """What a command in an image's files prints."""
    done = run_chrooted(root, *argv, user=user)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def run_chrooted(root: Path, *argv: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    command = ("chroot", f"--userspec={user}:{user}", str(root), *argv)
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env={"PATH": _PATH})
