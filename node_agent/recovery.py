"""What a crash, a reboot or a runtime that forgot a pod leaves behind, and clearing it.

The ledger and the node's devices are compared. A device without a row is an ADD that died before it committed; a
row without a device is a pod whose namespace went, with a reboot or without a DEL. Everything that has both is alive
and untouched, also when its row cannot be read: that is a reason to report it, not to take a pod off the network.

At the start, before the first pod is attached, what is left over is cleared at once. Later an ADD or DEL may be under
way, so it has to be left over for a while; so has an attachment of a pod that the Kubernetes API no longer knows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daemon import logs
from kube.objects import Pod
from node_agent import wiring
from node_agent.bridge import NodeBridge
from ovsdb.rows import Bridge, PodPort

COMMIT_SECONDS = 5.0

log = logs.get("weft.recovery")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Names of devices that no row knows, and of ports whose device or pod is gone."""

    devices: tuple[str, ...]
    ports: tuple[str, ...]


def leftovers(bridge: Bridge, devices: Iterable[str]) -> Leftovers:
    """The difference between the ledger and the pods' host interfaces."""
    present, ledger = set(devices), bridge.ports.keys()
    return Leftovers(tuple(sorted(present - ledger - bridge.refused.keys())), tuple(sorted(ledger - present)))


Pods = Mapping[str, Pod | None]
"""The pods that the API knows on this node, by key; None for one that cannot be read."""


def abandoned(ports: Iterable[PodPort], pods: Pods) -> tuple[str, ...]:
    """The names of ports whose pod the API does not know, or of which it knows a later one of the same name."""
    return tuple(sorted(port.name for port in ports if not _has_pod(port, pods)))


def _has_pod(port: PodPort, pods: Pods) -> bool:
    key = f"{port.namespace}/{port.pod}"
    pod = pods.get(key)
    if pod is None:
        return key in pods
    return pod.goes_by(port.uid)


class Overdue:
    """Remembers for how long something has been left over. `grace_s` is in seconds, on the clock of `now`."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._since: dict[str, float] = {}

    def look(self, found: Leftovers, now: float) -> Leftovers:
        """Of what is left over now, that which was so at every look since the grace period began."""
        names = {*found.devices, *found.ports}
        self._since = {name: self._since.get(name, now) for name in names}
        late = {name for name, since in self._since.items() if now - since >= self._grace_s}
        return Leftovers(
            tuple(name for name in found.devices if name in late), tuple(name for name in found.ports if name in late)
        )


def clear(found: Leftovers, bridge: NodeBridge) -> None:
    """Remove them. Raises NetlinkError or OvsdbError; what was done until then need not be done again."""
    for future in [bridge.del_port(name) for name in found.ports]:
        future.result(COMMIT_SECONDS)
    for name in (*found.devices, *found.ports):
        wiring.delete(name)
    if found.devices or found.ports:
        log.info("leftovers cleared", devices=found.devices, ports=found.ports)
