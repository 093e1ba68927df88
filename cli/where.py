"""What the user said about where to look; light, because every command line starts with it."""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

DEFAULT_BRIDGE = "br-int"
WEFT_NAMESPACE = "weft-system"
OF_KUBECTL: ContextVar[bool] = ContextVar("OF_KUBECTL", default=False)
"""Whether this runs as kubectl's plugin, which is about a cluster whatever runs on this machine."""


@dataclass(frozen=True, slots=True)
class Where:
    """What the user said about where to look; "" where nothing was said. `cluster`: if at nothing else, at one."""

    lab: str = ""
    rundir: str = ""
    ovsdb: str = ""
    openflow: str = ""
    bridge: str = DEFAULT_BRIDGE
    kubeconfig: str = ""
    context: str = ""
    weft_namespace: str = WEFT_NAMESPACE

    cluster: bool = False

    @property
    def says_cluster(self) -> bool:
        """Whether a cluster is meant; beside sockets or a lab, a kubeconfig only says who knows names."""
        return bool(self.kubeconfig or self.context or self.cluster)

    @property
    def says_sockets(self) -> bool:
        return bool(self.rundir or self.ovsdb or self.openflow)


def default_kubeconfig(environ: Mapping[str, str] = os.environ) -> str:
    """What kubectl reads when it is told nothing: $KUBECONFIG, which may be several, else ~/.kube/config."""
    return environ.get("KUBECONFIG") or str(Path(environ.get("HOME", "/root")) / ".kube" / "config")
