"""One node's bridge as its database describes it, with the ports that contradict each other told apart."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from openflow.features.base import SystemPorts
from openflow.fields import OfPort
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT, PodPort


@dataclass(slots=True)
class BridgeState:
    """The ports of a bridge. Changed only through its methods, by the thread that owns the cluster's state.

    Each address and OpenFlow port belongs to one pod port. If two rows claim one (which no agent does), the first
    by name has it and the other gets no flows. `needs_purge`: see `ovsdb.setup.needs_purge`.
    """

    ports: dict[str, PodPort] = field(default_factory=dict)
    system: dict[str, int | None] = field(default_factory=dict)
    needs_purge: bool = False
    _claims: dict[Hashable, set[str]] = field(default_factory=dict)

    def system_ports(self) -> SystemPorts:
        return SystemPorts(_ofport(self.system.get(GATEWAY_PORT)), _ofport(self.system.get(TUNNEL_PORT)))

    def set_port(self, port: PodPort) -> set[str]:
        """Take a row in. Returns the names of the ports whose flows may differ now."""
        touched = self.remove_port(port.name) if port.name in self.ports else set()
        self.ports[port.name] = port
        for claim in _claims(port):
            self._claims.setdefault(claim, set()).add(port.name)
        return touched | self._rivals(port) | {port.name}

    def remove_port(self, name: str) -> set[str]:
        """Forget a row. Returns the names of the ports whose flows may differ now."""
        port = self.ports.pop(name, None)
        if port is None:
            return set()
        touched = self._rivals(port) | {name}
        for claim in _claims(port):
            self._claims[claim].discard(name)
            if not self._claims[claim]:
                del self._claims[claim]
        return touched

    def usable(self, name: str) -> PodPort | None:
        """The port, if its OpenFlow number is known and nothing that it claims belongs to another."""
        port = self.ports.get(name)
        if port is None or _ofport(port.number) is None:
            return None
        return port if self.rival(port) is None else None

    def rival(self, port: PodPort) -> str | None:
        """The port that has one of this port's claims, if any."""
        return next((min(self._claims[c]) for c in _claims(port) if min(self._claims[c]) != port.name), None)

    def _rivals(self, port: PodPort) -> set[str]:
        found: set[str] = set()
        return found.union(*(self._claims.get(claim, ()) for claim in _claims(port)))


def bridge_state(
    ports: Iterable[PodPort], system: Mapping[str, int | None], *, needs_purge: bool = False
) -> BridgeState:
    state = BridgeState(system=dict(system), needs_purge=needs_purge)
    for port in ports:
        state.set_port(port)
    return state


def _claims(port: PodPort) -> Iterable[Hashable]:
    yield from port.ips
    if port.number is not None:
        yield port.number


def _ofport(number: int | None) -> OfPort | None:
    """None for a port that Open vSwitch has not opened (no number) or could not open (-1)."""
    return OfPort(number) if number is not None and number > 0 else None
