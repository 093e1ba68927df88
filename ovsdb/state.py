"""A bridge as its events tell it: what an owner that only listens knows at any moment. Pure."""

from ovsdb.rows import Bridge, ForeignPort, PodPort, PortReading, PortRefused, SystemPort, by_kind
from ovsdb.view import BridgeEvent, BridgeGone, BridgeSeen, OvsdbLost, PortChanged, PortGone, Snapshot


class BridgeState:
    """Apply events in order. `lost` is why what is known may be out of date; None while connected."""

    def __init__(self) -> None:
        self.lost: str | None = "not connected yet"
        self.head: BridgeSeen | None = None
        self.ports: dict[str, PortReading] = {}

    def apply(self, event: BridgeEvent) -> None:
        match event:
            case Snapshot():
                self._start_from(event)
            case BridgeSeen():
                self.head = event
            case PortChanged(port):
                self.ports[port.name] = port
            case SystemPort() | ForeignPort() | PortRefused():
                self.ports[event.name] = event
            case PortGone(name):
                self.ports.pop(name, None)
            case BridgeGone():
                self.head = None
                self.ports.clear()
            case OvsdbLost(reason):
                self.lost = reason

    def pod_port(self, name: str) -> PodPort | None:
        """The pod's port of that name, if there is one and it could be read."""
        port = self.ports.get(name)
        return port if isinstance(port, PodPort) else None

    def bridge(self) -> Bridge | None:
        """Everything, as `parse_bridge` would read it now."""
        head = self.head
        if head is None:
            return None
        own = (head.name, head.node, head.version, head.datapath_id, head.datapath_type)
        return Bridge(*own, purging=head.purging, **by_kind(self.ports.values()))

    def _start_from(self, event: Snapshot) -> None:
        self.lost, self.head, self.ports = None, event.head, {}
        if event.bridge is None:
            return
        self.ports |= event.bridge.ports
        self.ports |= {port.name: port for port in event.system}
        self.ports |= {name: ForeignPort(name) for name in event.bridge.foreign}
        self.ports |= {name: PortRefused(name, why) for name, why in event.bridge.refused.items()}
