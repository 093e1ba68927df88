"""What a crash or a reboot leaves behind, and clearing it before the first pod is attached.

The ledger and the node's devices are compared. A device without a row is an ADD that died before it committed; a
row without a device is a pod whose namespace went with a reboot. Everything that has both is alive and untouched,
also when its row cannot be read: that is a reason to report it, not to take a pod off the network.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from daemon import logs
from node_agent import wiring
from node_agent.bridge import NodeBridge
from ovsdb.rows import Bridge

COMMIT_SECONDS = 5.0

log = logs.get("weft.recovery")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Names of devices that no row knows, and of ports whose device is gone."""

    devices: tuple[str, ...]
    ports: tuple[str, ...]


def leftovers(bridge: Bridge, devices: Iterable[str]) -> Leftovers:
    """The difference between the ledger and the pods' host interfaces."""
    present, ledger = set(devices), bridge.ports.keys()
    return Leftovers(tuple(sorted(present - ledger - bridge.refused.keys())), tuple(sorted(ledger - present)))


def clear(found: Leftovers, bridge: NodeBridge) -> None:
    """Remove them. Raises NetlinkError or OvsdbError; what was done until then need not be done again."""
    for future in [bridge.del_port(name) for name in found.ports]:
        future.result(COMMIT_SECONDS)
    for name in found.devices:
        wiring.delete(name)
    if found.devices or found.ports:
        log.info("leftovers cleared", devices=found.devices, ports=found.ports)
