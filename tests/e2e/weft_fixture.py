"""Weft as users install it: images and chart of this checkout, by helm, in a cluster without a network."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cluster.cluster import Cluster
from cluster.layout import PATHS, ROOT
from figures import record
from images_fixture import Built

CHART = ROOT / "charts" / "weft"
RELEASE = "weft"
SPACE = "weft-system"
READY_SECONDS = 60
"""From `helm install` to all nodes Ready, with images present."""

Obj = dict[str, Any]


def values(built: Built) -> Obj:
    """For nodes whose kernel has no openvswitch module, and which reach no registry."""
    tag = {"tag": built.version}
    return {
        "datapathType": "netdev",
        "transportInterface": "eth1",
        "image": {"pullPolicy": "Never", "controller": tag, "agent": tag},
    }


def load(cluster: Cluster, *images: Built) -> None:
    """Give the nodes images."""
    cluster.import_images(*(archive for built in images for archive in built.archives))


def install(cluster: Cluster, built: Built, **changed: Any) -> str:
    """`helm install`, until everything that it makes and every node is ready; what helm says. Raises ClusterError,
    also when that takes longer than READY_SECONDS."""
    began = time.monotonic()
    given = ("--namespace", SPACE, "--create-namespace", "--values", str(write({**values(built), **changed})))
    said = cluster.helm("install", RELEASE, str(CHART), *given, "--wait", f"--timeout={READY_SECONDS}s")
    left = READY_SECONDS - (time.monotonic() - began)
    cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", f"--timeout={left:.0f}s", seconds=left + 10)
    record("from helm install to all nodes Ready", seconds=round(time.monotonic() - began, 1))
    return said


def upgrade(cluster: Cluster, built: Built, **changed: Any) -> None:
    """`helm upgrade` to other images, perhaps with other values; workloads roll on after it. Raises ClusterError."""
    given = ("--namespace", SPACE, "--values", str(write({**values(built), **changed})))
    cluster.helm("upgrade", RELEASE, str(CHART), *given)


def write(given: Obj) -> Path:
    """A file with values."""
    path = PATHS.root / "values.json"
    path.write_text(json.dumps(given))
    return path
