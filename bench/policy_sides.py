"""The sides of `policy-ovn`: a node with the same pods and policies, by Weft and by OVN."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any, Protocol, Self

from bench import apps, ovn_acls
from bench.northbound import Database, database
from bench.ovn import BRIDGE, Ovn
from bench.stage import Stage, pod_object
from bench.stream import Lane
from bench.switch import Bridge
from lab import names, netns
from lab.names import Datapath
from node_agent import wiring
from node_agent.netns import NetNs

Obj = dict[str, Any]

Addresses = Mapping[str, Sequence[str]]
"""The addresses of each pod, by its name, IPv4 first."""

_UP_SECONDS = 120.0
_MTU = 1450


class Side(Protocol):
    """A node of which two pods are the ends of a stream. `isolate` writes a policy that denies it, and returns when
    that is written; `release` takes it back."""

    @property
    def bridge(self) -> Bridge: ...

    @property
    def lane(self) -> Lane: ...

    def isolate(self, number: int) -> None: ...

    def release(self, number: int) -> None: ...


@dataclass(frozen=True, slots=True)
class WeftSide:
    """Weft, with pods and policies of a Kubernetes API."""

    stage: Stage
    lane: Lane

    @classmethod
    def filled(cls, stage: Stage, labels: Mapping[str, str], policies: Sequence[apps.AppPolicy]) -> Self:
        """Make the pods, wait for them, and make the policies."""
        pods = [pod_object(name, stage.node.name) for name in labels]
        for pod in pods:
            pod["metadata"]["labels"] = {"app": labels[pod["metadata"]["name"]]}
        stage.lab.wait_pods(_UP_SECONDS, stage.lab.apply(pods))
        stage.lab.apply([apps.network_policy(each) for each in policies])
        sender, receiver = (stage.lab.pod_namespace(name) for name in (apps.SENDER, apps.RECEIVER))
        found = _addresses(stage)
        return cls(stage, Lane(sender, receiver, found[apps.SENDER][0], found[apps.RECEIVER][0]))

    @property
    def bridge(self) -> Bridge:
        return Bridge(self.stage, BRIDGE)

    def addresses(self) -> Addresses:
        return _addresses(self.stage)

    def isolate(self, number: int) -> None:
        self.stage.lab.apply([apps.isolation(f"isolate-{number}", apps.RECEIVER)])

    def release(self, number: int) -> None:
        self.stage.lab.delete([apps.isolation(f"isolate-{number}", apps.RECEIVER)])


def _addresses(stage: Stage) -> Addresses:
    return {pod["metadata"]["name"]: [each["ip"] for each in pod["status"]["podIPs"]] for pod in stage.lab.pods()}


@dataclass(frozen=True, slots=True)
class OvnSide:
    """OVN, with what OVN-Kubernetes makes of the same. `receiver` is the id of the receiver's logical port."""

    system: Ovn
    lane: Lane
    receiver: str

    @classmethod
    def filled(
        cls,
        system: Ovn,
        labels: Mapping[str, str],
        policies: Sequence[apps.AppPolicy],
        found: Addresses,
        stack: ExitStack,
    ) -> Self:
        """Make the pods, whose namespaces `stack` removes, and the policies; wait until they are in the switch."""
        ports = {name: _port(place, found[name]) for place, name in enumerate(labels)}
        system.add_logical_ports(
            [(port.name, " ".join((port.mac, *port.ips))) for port in ports.values()], secured=True
        )
        spaces = _wire(system.stage, ports, stack)
        system.bind([port.name for port in ports.values()])
        with _northbound(system) as northbound:
            (listed,) = northbound.transact([ovn_acls.LOGICAL_PORTS])
            ids = {row["name"]: row["_uuid"][1] for row in listed["rows"]}
            pods = {name: ovn_acls.Port(ids[port.name], port.ips) for name, port in ports.items()}
            northbound.transact(ovn_acls.namespace(labels, policies, pods))
        system.sync()
        (sender, source), (receiver, target) = (
            (spaces[name].path, ports[name].ips[0]) for name in (apps.SENDER, apps.RECEIVER)
        )
        lane = Lane(Path(sender), Path(receiver), source, target)
        return cls(system, lane, pods[apps.RECEIVER].id)

    @property
    def bridge(self) -> Bridge:
        return Bridge(self.system.stage, BRIDGE)

    def isolate(self, number: int) -> None:
        with _northbound(self.system) as northbound:
            northbound.transact(ovn_acls.isolate(f"isolate-{number}", self.receiver))

    def release(self, number: int) -> None:
        with _northbound(self.system) as northbound:
            northbound.transact(ovn_acls.release(f"isolate-{number}", self.receiver))
        self.system.sync()


def _northbound(system: Ovn) -> AbstractContextManager[Database]:
    return database(system.directory / "nb.sock", "OVN_Northbound")


@dataclass(frozen=True, slots=True)
class _Port:
    """A pod's interface: the name of its host's end, and the addresses of the pod's."""

    name: str
    mac: str
    ips: tuple[str, ...]


def _port(place: int, ips: Sequence[str]) -> _Port:
    return _Port(f"p{place}", f"0a:00:00:00:{place >> 8:02x}:{place & 255:02x}", tuple(ips))


def _wire(stage: Stage, ports: Mapping[str, _Port], stack: ExitStack) -> Mapping[str, NetNs]:
    """Namespaces with veth pairs, made by Weft's agent's code."""
    spaces = {name: _namespace(stage, name, stack) for name in ports}
    userspace = stage.node.datapath is Datapath.USERSPACE

    def work() -> None:
        for name, space in spaces.items():
            attachment = _attachment(ports, name, userspace=userspace)
            wiring.create(attachment, space)
            wiring.configure(attachment, space)

    netns.run_in(stage.node.namespace, work)
    return spaces


def _namespace(stage: Stage, pod: str, stack: ExitStack) -> NetNs:
    """Under a name that the lab's own sweep knows, too."""
    name = names.pod_namespace(stage.lab.config.name, stage.node.name, f"default/{pod}")
    path = netns.create(name)
    stack.callback(netns.remove, name)
    return stack.enter_context(NetNs.open(str(path)))


def _attachment(ports: Mapping[str, _Port], name: str, *, userspace: bool) -> wiring.Attachment:
    """A switch has no router: the receiver takes the place of one for every pod, and the sender for the receiver."""
    router = ports[apps.SENDER if name == apps.RECEIVER else apps.RECEIVER]
    port = ports[name]
    addresses, gateways = tuple(map(ip_interface, port.ips)), tuple(map(ip_address, router.ips))
    return wiring.Attachment(port.name, "eth0", port.mac, addresses, gateways, router.mac, _MTU, userspace)
