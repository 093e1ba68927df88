"""`python -m images.build`: both images with the Dockerfile that users have, without a daemon or a registry.

Needs root, Debian's packages buildah and mmdebstrap, and what pip and apt reach. The base is made by mmdebstrap as
Debian makes its slim images. Everything is kept in build/images, so that building again takes what has not changed;
`--fresh` takes nothing of it, and so has what Debian has mended since.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG

from images import sbom

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "images"
SUITE = "trixie"
TARGETS = ("agent", "controller")

_ARCHIVE = "http://deb.debian.org"
_SOURCES = (
    f"deb {_ARCHIVE}/debian {SUITE} main",
    f"deb {_ARCHIVE}/debian {SUITE}-updates main",
    f"deb {_ARCHIVE}/debian-security {SUITE}-security main",
)
_OPTIONS = (
    "--variant=minbase",
    # What debian:trixie-slim leaves out, too.
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    # Of the machine that builds.
    '--customize-hook=rm -f "$1"/etc/hostname "$1"/etc/resolv.conf',
)
# A base made in another way is another base.
_RECIPE = hashlib.sha256("\n".join((*_OPTIONS, *_SOURCES)).encode()).hexdigest()[:8]
_BASE = f"localhost/weft-base:{SUITE}-{_RECIPE}"

_SECONDS = 1800
# Where pip finds whom to trust, as a directory: it is mounted on one that is in the base, so nothing of it stays.
_TRUSTED = Path(os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"))
_TRUSTED_INSIDE = Path("/mnt")


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


def build(version: str, *, fresh: bool = False) -> list[Image]:
    """Build the images and write their archives and bills of materials; `fresh`: from nothing. Raises BuildError."""
    if os.geteuid() != 0:
        raise BuildError("only root can build: the files of an image belong to several users")
    OUT.mkdir(parents=True, exist_ok=True)
    if fresh:
        _buildah("rmi", "--all", "--force")
    if not _buildah("images", "--quiet", "--filter", f"reference={_BASE}"):
        _make_base()
    return [_build(target, version) for target in TARGETS]


def _make_base() -> None:
    _say(f"making a base of Debian {SUITE}")
    context = OUT / "base"
    context.mkdir(exist_ok=True)
    _run("mmdebstrap", *_OPTIONS, SUITE, str(context / "base.tar"), *_SOURCES)
    (context / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["bash"]\n')
    _buildah("build-using-dockerfile", "--isolation", "chroot", "--tag", _BASE, str(context))
    shutil.rmtree(context)


def _build(target: str, version: str) -> Image:
    name = name_of(target, version)
    _say(f"building {name}")
    _buildah(
        "build-using-dockerfile", "--isolation", "chroot", "--layers", *_arguments(version),
        "--file", str(ROOT / "images" / "Dockerfile"), "--target", target, "--tag", name, str(ROOT),
    )  # fmt: skip
    archive = archive_of(target, version)
    archive.unlink(missing_ok=True)
    _buildah("push", name, f"docker-archive:{archive}:{name}")
    with mounted(name) as files:
        bill = sbom.document(name, files, _created(name))
        archive.with_suffix(".spdx.json").write_text(bill)
        return Image(name, archive, _size(files))


def _arguments(version: str) -> Iterator[str]:
    """Flags with the build's arguments."""
    arguments = {"BASE": _BASE, "VERSION": version, "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL", "")}
    if _TRUSTED.exists():  # pip trusts whom this machine trusts
        arguments["PIP_CERT"] = str(_TRUSTED_INSIDE / _TRUSTED.name)
        yield from ("--volume", f"{_TRUSTED.parent}:{_TRUSTED_INSIDE}:ro")
    for key, value in arguments.items():
        if value:
            yield from ("--build-arg", f"{key}={value}")


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
    paths = (os.path.join(directory, name) for directory, _, names in os.walk(files) for name in names)
    found = (os.lstat(path) for path in paths)
    return sum({(each.st_dev, each.st_ino): each.st_size for each in found if S_ISREG(each.st_mode)}.values())


def _created(name: str) -> datetime:
    """When the image was, so that the same image has the same bill."""
    inspected = json.loads(_buildah("inspect", "--type", "image", name))
    return datetime.fromisoformat(inspected["OCIv1"]["created"][:19]).replace(tzinfo=UTC)


def _say(what: str) -> None:
    print(f"images: {what}", file=sys.stderr, flush=True)


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
    parser.add_argument("--fresh", action="store_true", help="take nothing from earlier builds")
    asked = parser.parse_args()
    try:
        for image in build(asked.version, fresh=asked.fresh):
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
