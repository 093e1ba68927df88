"""Things broken on purpose in a lab, and mended at the end whatever happened."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import names
from lab.lab import Lab

_TABLE = "t-broken"


@contextmanager
def stopped(lab: Lab, *processes: str) -> Iterator[None]:
    """These processes of the lab are killed."""
    try:
        for name in processes:
            lab.kill(name)
        yield
    finally:
        for name in processes:
            lab.start(name)


@contextmanager
def dropped(lab: Lab, *rules: str) -> Iterator[None]:
    """The network between the nodes drops what these nftables expressions match."""
    space = names.underlay_namespace(lab.config.name)
    try:
        _run("ip", "netns", "exec", space, "nft", "add", "table", "bridge", _TABLE)
        chain = "{ type filter hook forward priority 0 ; }"
        _run("ip", "netns", "exec", space, "nft", "add", "chain", "bridge", _TABLE, "forward", chain)
        for rule in rules:
            _run("ip", "netns", "exec", space, "nft", "add", "rule", "bridge", _TABLE, "forward", f"{rule} drop")
        yield
    finally:
        _run("ip", "netns", "exec", space, "nft", "delete", "table", "bridge", _TABLE)


@contextmanager
def shrunk(lab: Lab, node: str, interface: str, mtu: int) -> Iterator[None]:
    """An interface of a node has another MTU than the lab's."""
    space = names.node_namespace(lab.config.name, node)
    try:
        _run("ip", "-n", space, "link", "set", interface, "mtu", str(mtu))
        yield
    finally:
        _run("ip", "-n", space, "link", "set", interface, "mtu", str(lab.config.mtu))


def certificate(directory: Path, name: str, *, days: int = 365, by: Path | None = None) -> Path:
    """A directory with ca.crt, tls.crt and tls.key: the certificate has this DNS name, is valid for that many days
    (fewer than none: expired), and is signed by the authority of the directory `by`, or one of its own."""
    directory.mkdir(parents=True)
    ca = by or directory
    if by is None:
        files = ("-keyout", ca / "ca.key", "-out", ca / "ca.crt")
        _openssl("req", "-x509", "-subj", "/CN=authority", "-days", "365", *files)
    else:
        (directory / "ca.crt").write_bytes((by / "ca.crt").read_bytes())
    request, extensions = directory / "tls.csr", directory / "tls.ext"
    _openssl("req", "-subj", f"/CN={name}", "-keyout", directory / "tls.key", "-out", request)
    extensions.write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
    _run(
        "openssl", "x509", "-req", "-in", str(request), "-CA", str(ca / "ca.crt"), "-CAkey", str(ca / "ca.key"),
        "-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(directory / "tls.crt"),
    )  # fmt: skip
    return directory


def _openssl(verb: str, *arguments: str | Path) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _run("openssl", verb, *key, *map(str, arguments))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"
