"""Every name, path and address of the cluster. Pure: nothing here touches the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import names
from lab.names import Family, LabPaths, Underlay

ROOT = Path(__file__).resolve().parents[3]
LAB = "e2e"
"""The cluster's wires are a lab's, and so is its sweep."""

FAMILY = Family.DUAL
POD_RANGES = ("10.244.0.0/16", "fd57:244::/48")
POD_MASKS = (24, 64)
SERVICE_RANGES = ("10.96.0.0/16", "fd57:96::/112")
API_SERVICE = "10.96.0.1"
API = names.api_address(FAMILY)
API_URL = f"https://{API}"
DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """One node: node1, node2, …"""

    number: int

    @property
    def name(self) -> str:
        return names.node_name(self.number)

    @property
    def namespace(self) -> str:
        """Name of its network namespace."""
        return names.node_namespace(LAB, self.name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of eth0, by which kubelet and API talk; IPv4 first."""
        return tuple(str(each.address) for each in names.host_interfaces(Underlay.MANAGEMENT, self.number, FAMILY))

    @property
    def files(self) -> Path:
        """Its settings and logs, seen under the same path from inside the node and outside."""
        return PATHS.root / "nodes" / self.name

    @property
    def cgroup(self) -> str:
        """The control group of its pods, below each hierarchy's root."""
        return f"/weft-{LAB}/{self.name}"

    def process(self, program: str) -> str:
        """What the record of one of its processes is called."""
        return f"{self.name}/{program}"


PATHS = LabPaths(LAB)
PKI = PATHS.root / "pki"
CONTROL = PATHS.root / "control-plane"
NAMESPACE = names.underlay_namespace(LAB)
"""The control plane runs where the nodes find their gateway."""


def gateway_addresses() -> tuple[str, ...]:
    """The control plane's addresses, IPv4 first."""
    return tuple(str(each.address) for each in names.gateway_interfaces(FAMILY))
