"""What the user said about where to look; light, because every command line starts with it."""

from dataclasses import dataclass

DEFAULT_BRIDGE = "br-int"


@dataclass(frozen=True, slots=True)
class Where:
    """What the user said about where to look; "" where nothing was said."""

    lab: str = ""
    rundir: str = ""
    ovsdb: str = ""
    openflow: str = ""
    bridge: str = DEFAULT_BRIDGE
    kubeconfig: str = ""
    context: str = ""
    weft_namespace: str = "weft-system"

    @property
    def says_sockets(self) -> bool:
        return bool(self.rundir or self.ovsdb or self.openflow)
