"""The images under test, built as users build them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from images.build import OUT, archive_of, build


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


def built(version: str) -> Built:
    """Build them from this checkout. What has not changed since the last time is not built again."""
    build(version)
    return Built(version)
