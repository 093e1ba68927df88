"""The peer of `cni-add` and `cni-add-50-reference`: the reference plugins `bridge` and `host-local` of CNI.

As cheap as they can be set up: without masquerading, which would run iptables for every pod.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.plugin import Plugin, Pod
from bench.stage import BenchError, pod_object, sandbox
from lab import netns
from lab.names import Family

NAME = "bridge+host-local"
_BIN = Path("/usr/lib/cni")
_NODE = "node90"  # no such node: only a name for namespaces that the lab's sweep will find
_SUBNETS = {4: "10.88.0.0/16", 6: "fd00:88::/64"}
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


def reference(lab: str, family: Family, pods: int, stack: ExitStack) -> tuple[Plugin, list[Pod]]:
    """The plugin beside a lab, and pods of its own. BenchError: containernetworking-plugins is not installed."""
    plugin = stack.enter_context(reference_plugin(f"weft-{lab}-{_NODE}", family))
    return plugin, [sandbox(lab, _NODE, pod_object(f"peer-{number}", _NODE), stack) for number in range(pods)]


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
