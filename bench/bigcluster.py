"""A cluster in memory whose first node should hold a given number of flows: what a controller knows once it has
listed everything and read the node's database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from bench.flows import local_pod
from controller import commands as c
from controller.bridge import bridge_state
from controller.core import Core
from kube.annotations import NodeAnnotations
from kube.changes import Listed
from kube.objects import Meta, Namespace, Node, Pod
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT, AttachmentKey, PodPort, port_name

NODE = "node-0"
_BORN = datetime(2026, 1, 1, tzinfo=UTC)
_FLOWS_PER_POD = 8
SYSTEM = {GATEWAY_PORT: 60001, TUNNEL_PORT: 60002}


@dataclass(frozen=True, slots=True)
class BigCluster:
    """`nodes` nodes, of which the first has datapath id `datapath` and all the pods."""

    nodes: int
    pods: int
    datapath: int

    def events(self) -> Iterator[c.Event]:
        """What the edges of a controller that has just started tell the core."""
        yield Listed("Node", tuple(node(number, self.datapath) for number in range(self.nodes)))
        yield Listed("Namespace", tuple(Namespace(_meta(f"ns-{number}")) for number in range(20)))
        yield Listed("NetworkPolicy", ())
        ports = list(self._ports())
        yield Listed("Pod", tuple(_pod(port) for port in ports))
        yield c.BridgeRead(NODE, bridge_state(ports, SYSTEM))

    def _ports(self) -> Iterator[PodPort]:
        for number in range(1, self.pods + 1):
            local = local_pod(number)
            key = AttachmentKey("weft", f"container{number}", "eth0")
            name = port_name(local.namespace, local.name, key)
            yield PodPort(
                name, key, local.namespace, local.name, f"uid-{number}", local.mac, local.ips, "/run/netns/x", number
            )


def big_cluster(flows: int, datapath: int, nodes: int = 500) -> BigCluster:
    """A cluster whose first node holds `flows` flows or a few more."""
    fixed = flow_count(BigCluster(nodes, 0, datapath))
    return BigCluster(nodes, -(-(flows - fixed) // _FLOWS_PER_POD), datapath)


def node(number: int, datapath: int) -> Node:
    """The node `number` of a cluster whose first node has datapath id `datapath`."""
    annotations = NodeAnnotations(
        tunnel_ip=IPv4Address("172.16.0.1") + number,
        ovsdb="unix:/nowhere",
        datapath_id=datapath + number,
        mtu=1450,
    ).format()
    cidrs = (IPv4Network((0x64400000 + (number << 8), 24)), IPv6Network(((0xFD58 << 112) + (number << 64), 64)))
    return Node(_meta(f"node-{number}", annotations=annotations, age=number), cidrs, ())


def flow_count(cluster: BigCluster) -> int:
    """How many flows the first node of a cluster should hold."""
    return listed(cluster.events()).flow_counts(NODE).total()


def listed(events: Iterable[c.Event]) -> Core:
    """A core that has heard these events, none of whose commands are carried out."""
    core = Core()
    for event in events:
        for _ in core.handle(event):
            pass
    return core


def _pod(port: PodPort) -> Pod:
    meta = _meta(port.pod, port.namespace, port.uid, labels={"app": port.pod})
    return Pod(meta, NODE, False, "Running", port.ips, ())


def _meta(
    name: str,
    namespace: str = "",
    uid: str = "",
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    age: int = 0,
) -> Meta:
    return Meta(name, namespace, uid, "1", labels or {}, annotations or {}, _BORN + timedelta(seconds=age), False)
