"""The flows of an owner on a node's bridge: a pure function of the cluster's state."""

from collections.abc import Iterable, Iterator, Mapping

from controller.cluster import Cluster
from controller.owners import Kind, Owner
from controller.policy.flows import CELLS, cell_flows, node_flows
from controller.policy.members import UNKNOWN, Made
from kube.membership import NodeFacts
from openflow.codec import Encoded, encode
from openflow.features import base, node, pod
from openflow.fields import Disposition, OfPort
from openflow.flow import Flow
from openflow.net import gateway_address

MANY_CELLS = 1000
"""From so many on, a node's cells are worked out together: it takes a fraction of the time."""


def flows(cluster: Cluster, where: str, owner: Owner) -> tuple[Encoded, ...]:
    """The flows of `owner` on the bridge of node `where`, as bytes; none when it is not there or not usable."""
    bridge = cluster.bridges.get(where)
    if bridge is None:
        return ()
    if owner.kind is Kind.PIPELINE:
        return tuple(map(encode, base.flows(bridge.system_ports())))
    if owner.kind is Kind.NODE:
        return tuple(map(encode, _node_flows(cluster, where, owner.name)))
    if owner.kind is Kind.PORT:
        return _port_flows(cluster, where, owner.name)
    return cell_flows(cluster.policy, where, owner)


_DENYING = {encode(flow).key: side for side in base.DENIED for flow in base.denying(side)}


def denied(packets: Mapping[bytes, int]) -> dict[Disposition, int]:
    """How many packets each side has denied on a switch, from the counters of its flows by key."""
    counts = dict.fromkeys(base.DENIED, 0)
    for key, side in _DENYING.items():
        counts[side] += packets.get(key, 0)
    return counts


def flows_of(cluster: Cluster, where: str, owners: Iterable[Owner]) -> dict[Owner, tuple[Encoded, ...]]:
    """The flows of some owners on the bridge of node `where`, as `flows` has them."""
    wanted = tuple(owners)
    known: Made = {}
    if where in cluster.bridges and sum(owner.kind in CELLS for owner in wanted) >= MANY_CELLS:
        known = node_flows(cluster.policy, where)
        # What it does not have has no flows.
        known |= {owner: () for owner in wanted if owner.kind in CELLS and owner not in known}
    return {owner: known[owner] if owner in known else flows(cluster, where, owner) for owner in wanted}


def _node_flows(cluster: Cluster, where: str, name: str) -> Iterator[Flow]:
    facts = cluster.membership.nodes.get(name)
    ports = cluster.bridges[where].system_ports()
    if facts is None:
        return
    if name == where:
        if ports.gateway is not None:
            yield from node.gateway_flows(_gateway(facts, ports.gateway))
    elif facts.tunnel_ip is not None and ports.tunnel is not None:
        yield from node.remote_flows(node.Remote(name, facts.pod_cidrs, facts.tunnel_ip, ports.tunnel))


def _gateway(facts: NodeFacts, port: OfPort) -> node.Gateway:
    addresses = tuple(gateway_address(cidr) for cidr in facts.pod_cidrs)
    return node.Gateway(facts.name, facts.pod_cidrs, addresses, port)


def _port_flows(cluster: Cluster, where: str, name: str) -> tuple[Encoded, ...]:
    port = cluster.bridges[where].usable(name)
    if port is None or port.number is None or port.leaving:
        return ()
    found = cluster.identity_of(where, port)
    if found is None and port.namespace:
        return ()  # Unknown means dropped: no flow before the Pod, hence its identity, is known.
    identity = UNKNOWN if found is None else found.id
    return pod.encoded(pod.LocalPod(port.namespace, port.pod, OfPort(port.number), port.mac, port.ips, identity))
