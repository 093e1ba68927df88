"""Chains of plugins: Weft among Debian's, and among one of our own that stands before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_fixture import NETWORK, Box

from lab.runtime import Conflist

REFERENCE = Path("/usr/lib/cni")
WEFT = {"type": "weft"}

Obj = dict[str, Any]


def chained(
    box: Box, *plugins: Obj, version: str = "1.0.0", network: str = NETWORK, also: Sequence[Path] = ()
) -> Box:
    """The same container, on a network of these plugins; they are found where Debian's are, and `also` elsewhere."""
    runtime = box.runtime
    conflist = Conflist(network, version, plugins)
    bin_dirs = dict.fromkeys((*runtime.bin_dirs, REFERENCE, *also))
    return replace(box, runtime=replace(runtime, conflist=conflist, bin_dirs=tuple(bin_dirs)))


def second(box: Box, *plugins: Obj, version: str = "1.0.0") -> Box:
    """The same container, on another network with an interface of its own, as Multus calls a delegate."""
    return chained(box.having(ifname="net1"), *(plugins or (WEFT,)), version=version, network="second")


def given(result: Obj, ifname: str = "eth0") -> dict[int, str]:
    """The addresses of an interface by IP version, as containerd finds them: by the index that each has."""
    named = [each["name"] for each in result["interfaces"]]
    mine = (ip["address"].partition("/")[0] for ip in result["ips"] if named[ip["interface"]] == ifname)
    return {6 if ":" in address else 4: address for address in mine}


FIRST_ADDRESS = "192.0.2.9/24"
FIRST_ROUTE = {"dst": "198.51.100.0/24", "gw": "192.0.2.1"}

_FIRST = """#!/bin/sh -e
# A CNI plugin that gives a container an interface of another name than CNI_IFNAME.
cat >/dev/null
inside() { nsenter --net="$CNI_NETNS" "$@"; }
case $CNI_COMMAND in
ADD)
    inside ip link add extra0 type veth peer name extra1
    inside ip address add 192.0.2.9/24 dev extra0
    inside ip link set extra0 up
    cat <<END
{"cniVersion": "1.0.0", "dns": {"nameservers": ["192.0.2.53"]},
 "interfaces": [{"name": "first0"}, {"name": "extra0", "sandbox": "$CNI_NETNS"}],
 "ips": [{"interface": 1, "address": "192.0.2.9/24", "gateway": "192.0.2.1"}],
 "routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.1"}]}
END
    ;;
DEL)
    inside ip link delete extra0 2>/dev/null || true
    ;;
esac
"""


def first_plugin(directory: Path) -> Obj:
    """The configuration of a plugin, made in the directory, that stands before Weft and has a result already."""
    script = directory / "first"
    script.write_text(_FIRST)
    script.chmod(0o755)
    return {"type": script.name}
