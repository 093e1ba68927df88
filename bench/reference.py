"""The peer of `cni-add`: the reference plugins `bridge` and `host-local` of the CNI project.

As cheap as they can be set up: without masquerading, which would run iptables for every pod.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.plugin import Plugin
from bench.stage import BenchError
from lab import netns
from lab.names import Family

NAME = "bridge+host-local"
_BIN = Path("/usr/lib/cni")
_SUBNETS = {4: "10.88.0.0/16", 6: "fd00:88::/64"}
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


@contextmanager
def reference_plugin(namespace: str, family: Family) -> Iterator[Plugin]:
    """The plugin in a namespace of its own, so that neither side's interfaces are the other's.

    BenchError: Debian's package containernetworking-plugins is not installed.
    """
    if not (_BIN / "bridge").exists():
        raise BenchError(f"{_BIN}/bridge is missing: install containernetworking-plugins")
    netns.remove(namespace)
    path = netns.create(namespace)
    try:
        with tempfile.TemporaryDirectory(prefix="weft-bench-") as leases:
            yield Plugin(_BIN / "bridge", config(leases, family), path, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    finally:
        netns.remove(namespace)


def config(leases: str, family: Family) -> dict[str, Any]:
    """The network configuration; `leases` is the directory of host-local's files."""
    ranges = [(_SUBNETS[version], _DEFAULT[version]) for version in family.versions]
    return {
        "cniVersion": "1.0.0",
        "name": "bench",
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": leases,
            "ranges": [[{"subnet": subnet}] for subnet, _ in ranges],
            "routes": [{"dst": everything} for _, everything in ranges],
        },
    }
