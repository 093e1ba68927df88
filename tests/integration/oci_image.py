"""A container image made of busybox alone, byte for byte the same each time: no registry, no build tool.

The format is an OCI image layout (image-layout.md, config.md and manifest.md of the OCI image specification 1.0)
in a tar, as `ctr images import` reads it.
"""

from __future__ import annotations

import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

APPLETS = ("httpd", "ip", "nc", "ping", "sh", "sleep", "wget")
_DIRECTORIES = ("bin", "dev", "etc", "proc", "sys", "tmp", "www")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Go names them
_SERVE = ("httpd", "-f", "-h", "/www")
_TYPE = "application/vnd.oci.image"

Obj = dict[str, Any]


def busybox_image(
    name: str, busybox: Path, page: bytes, env: Mapping[str, str], command: Sequence[str] | None = None
) -> bytes:
    """The image `name` as a tar; what it runs by default, without a `command`, serves `page` at port 80."""
    layer = _tar({"bin/busybox": busybox.read_bytes(), "www/index.html": page}, _DIRECTORIES, _links())
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin", *(f"{key}={value}" for key, value in sorted(env.items()))],
            "Cmd": list(command or _SERVE),
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    return _layout(name, layer, json.dumps(config).encode())


def _layout(name: str, layer: bytes, config: bytes) -> bytes:
    manifest = {
        "schemaVersion": 2,
        "config": _descriptor("config.v1+json", config),
        "layers": [_descriptor("layer.v1.tar", layer)],
    }
    described = json.dumps(manifest).encode()
    entry = _descriptor("manifest.v1+json", described) | {"annotations": {"io.containerd.image.name": name}}
    index = {"schemaVersion": 2, "manifests": [entry]}
    blobs = {f"blobs/sha256/{sha256(blob).hexdigest()}": blob for blob in (layer, config, described)}
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode(), **blobs}
    return _tar(files, ("blobs", "blobs/sha256"), {})


def _links() -> dict[str, str]:
    return {f"bin/{applet}": "busybox" for applet in APPLETS}


def _descriptor(kind: str, blob: bytes) -> Obj:
    return {"mediaType": f"{_TYPE}.{kind}", "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{sha256(blob).hexdigest()}"


def _tar(files: Mapping[str, bytes], directories: tuple[str, ...], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in directories:
            tar.addfile(_entry(name, type=tarfile.DIRTYPE))
        for name, data in sorted(files.items()):
            tar.addfile(_entry(name, size=len(data)), io.BytesIO(data))
        for name, target in sorted(links.items()):
            tar.addfile(_entry(name, type=tarfile.SYMTYPE, linkname=target))
    return out.getvalue()


def _entry(name: str, **fields: Any) -> tarfile.TarInfo:
    """Everything root's, executable, and from the epoch."""
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry
