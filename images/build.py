"""`python -m images.build`: both images with the Dockerfile that users have, without a daemon or a registry.

Needs root, Debian's packages buildah and mmdebstrap, and what pip and apt reach. The base is made by mmdebstrap as
Debian makes its slim images. Everything is kept in build/images, so that building again takes what has not changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from images import sbom

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "images"
SUITE = "trixie"
TARGETS = ("agent", "controller")

_BASE = f"localhost/weft-base:{SUITE}"
# What debian:trixie-slim leaves out, too.
_SLIM = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
_MIRROR = "http://deb.debian.org/debian"
_SECONDS = 1800
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_TRUSTED_INSIDE = "/run/trusted.crt"


class BuildError(RuntimeError):
    """An image could not be built; the message says which step failed."""


@dataclass(frozen=True, slots=True)
class Image:
    """`archive` is what `ctr images import` reads, `bytes` the size of the unpacked files."""

    name: str
    archive: Path
    bytes: int


def name_of(target: str, version: str) -> str:
    """As runtimes complete it: docker.io/weft/agent:0.1.0."""
    return f"docker.io/weft/{target}:{version}"


def archive_of(target: str, version: str) -> Path:
    return OUT / f"weft-{target}-{version}.tar"


def build(version: str, targets: Sequence[str] = TARGETS) -> list[Image]:
    """Build images and write their archives and bills of materials. Raises BuildError."""
    OUT.mkdir(parents=True, exist_ok=True)
    _make_base()
    return [_build(target, version) for target in targets]


def _make_base() -> None:
    """Once: a base that is there is kept. `make clean` removes it."""
    if _buildah("images", "--quiet", "--filter", f"reference={_BASE}"):
        return
    context = OUT / "base"
    context.mkdir(exist_ok=True)
    options = [f"--dpkgopt={each}" for each in _SLIM]
    _run("mmdebstrap", "--variant=minbase", *options, SUITE, str(context / "base.tar"), _MIRROR)
    (context / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["bash"]\n')
    _buildah("build-using-dockerfile", "--isolation", "chroot", "--tag", _BASE, str(context))
    shutil.rmtree(context)


def _build(target: str, version: str) -> Image:
    name = name_of(target, version)
    arguments = {"BASE": _BASE, "VERSION": version}
    if _TRUSTED.exists():  # pip trusts whom this machine trusts
        arguments["PIP_CERT"] = _TRUSTED_INSIDE
    flags = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    _buildah(
        "build-using-dockerfile", "--isolation", "chroot", "--layers", *flags,
        *(("--volume", f"{_TRUSTED}:{_TRUSTED_INSIDE}:ro") if _TRUSTED.exists() else ()),
        "--file", str(ROOT / "images" / "Dockerfile"), "--target", target, "--tag", name, str(ROOT),
    )  # fmt: skip
    archive = archive_of(target, version)
    archive.unlink(missing_ok=True)
    _buildah("push", name, f"docker-archive:{archive}:{name}")
    with mounted(name) as files:
        document = sbom.document(name, files, _created())
        archive.with_suffix(".spdx.json").write_text(document)
        return Image(name, archive, _size(files))


@contextmanager
def mounted(name: str) -> Iterator[Path]:
    """The files of an image, as long as the block lasts; what is written there is forgotten."""
    container = _buildah("from", "--pull-never", name)
    try:
        yield Path(_buildah("mount", container))
    finally:
        _buildah("rm", container)


def _size(files: Path) -> int:
    """Of regular files, each counted once however many names it has."""
    seen = {}
    for directory, _, names in os.walk(files):
        for name in names:
            stat = os.lstat(os.path.join(directory, name))
            seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())


def _created() -> datetime:
    """SOURCE_DATE_EPOCH (reproducible-builds.org), else now."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)


def _buildah(*arguments: str) -> str:
    """Run buildah on a store of our own; what it printed."""
    store = ("--root", str(OUT / "store"), "--runroot", str(OUT / "run"))
    return _run("buildah", *store, *arguments)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError as e:
        raise BuildError(f"{command[0]} is not installed: apt-get install buildah mmdebstrap") from e
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise BuildError("\n".join((f"{' '.join(command)} failed:", *said[-30:])))
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="images.build", description="Build Weft's container images.")
    parser.add_argument("--version", default=project_version(), help="the tag (default: the project's version)")
    asked = parser.parse_args()
    try:
        for image in build(asked.version):
            packed = image.archive.stat().st_size
            print(f"{image.name}: {image.bytes / 1e6:.0f} MB of files, {image.archive} has {packed / 1e6:.0f} MB")
    except BuildError as e:
        print(f"images: {e}", file=sys.stderr)
        return 1
    return 0


def project_version() -> str:
    """That of pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


if __name__ == "__main__":
    sys.exit(main())
