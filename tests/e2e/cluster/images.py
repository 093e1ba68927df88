"""Container images for a cluster that reaches no registry: made here, and imported into each node's containerd."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from oci_image import busybox_image

from cluster.layout import PATHS

if TYPE_CHECKING:
    from cluster.node import Node

BUSYBOX = "localhost/weft/busybox:test"
"""For the tests' pods: busybox with a web server."""
PAUSE = "localhost/weft/pause:test"
"""What every pod's sandbox runs: a process that does nothing."""

PAGE = "served by a pod\n"
_BUSYBOX = Path("/bin/busybox")
_FOREVER = ("sleep", "2147483647")


def test_images() -> tuple[Path, ...]:
    """Archives of the two images, made at the first call."""
    directory = PATHS.root / "images"
    if not directory.exists():
        directory.mkdir(parents=True)
        for name, command in ((BUSYBOX, None), (PAUSE, _FOREVER)):
            image = busybox_image(name, _BUSYBOX, PAGE.encode(), {}, command)
            (directory / _file_name(name)).write_bytes(image)
    return tuple(sorted(directory.iterdir()))


def import_images(node: Node, archives: Iterable[Path]) -> None:
    """Have a node's containerd import archives (OCI's or Docker's)."""
    for archive in archives:
        node.ctr("images", "import", str(archive))


def _file_name(image: str) -> str:
    return f"{image.replace('/', '_').replace(':', '_')}.tar"
