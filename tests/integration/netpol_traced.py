"""Random clusters with NetworkPolicies as objects of the API, what the switch of one node holds for them, and packets
that meet it: of its pods, by the tunnel and from the host; honest mostly, at the edges of blocks and port ranges."""

from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random
from typing import Any

import netpol_fabric
from cluster_fixture import SYSTEM
from netpol_strategies import BLOCKS, BOUNDARIES, KEYS, NAMES, OUTSIDE, PORTS, PROTOCOLS, VALUES
from openflow_traced import Question

from controller.bridge import bridge_state
from controller.cluster import Cluster
from openflow import oxm
from openflow.codec import Encoded
from openflow.constants import GATEWAY_MAC, ROUTER_MAC, VNI
from openflow.net import IPAddress
from openflow.simulate import Outer, Packet
from openflow.simulate.conntrack import EST, INV, NEW, REL, RPL, TRK
from openflow.simulate.packet import ICMP, ICMP6, SCTP, TCP, UDP
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT, PodPort

Obj = dict[str, Any]

NODES = HERE, *_ = ("n1", "n2", "n3")
NAMESPACES = ("x", "y", "z")
LOCAL_PODS, REMOTE_PODS, POLICIES = 5, 6, 9
FIRST_PORT = 3
"""Of the pods' ports, the first two are on the bridge of `openflow_bridge`; to the others nothing can be sent, but a
trace shows all the same that it should have been."""
STATES = (*[NEW | TRK] * 5, *[EST | TRK] * 4, *[EST | RPL | TRK] * 2, REL | TRK, REL | RPL | TRK, INV | TRK)
_PASSES = 20
_STRANGE_PORT, _STRANGE_MAC = 77, "02:00:00:00:00:99"
# Nobody's, within the nodes' ranges; around the edges of blocks.
_ODD = {
    4: ("10.1.1.200", "10.1.2.200", "203.0.113.7", "203.0.113.8", "203.0.113.16", "10.2.0.1", "10.1.1.1"),
    6: ("fd00:1:1::c8", "fd00:1:2::c8", "fd00:2::1", "2001:db8:0:1::", "fd00:1:1::1"),
}


def random_cluster(random: Random) -> Obj:
    """Namespaces, pods on three nodes, and policies."""
    places = [HERE] * LOCAL_PODS + [random.choice(NODES[1:]) for _ in range(REMOTE_PODS)]
    return {
        "namespaces": [{"metadata": {"name": name, "labels": _labels(random)}} for name in NAMESPACES],
        "pods": [_pod(random, number, place) for number, place in enumerate(places)],
        "policies": [_policy(random, number) for number in range(POLICIES)],
    }


def _labels(random: Random) -> dict[str, str]:
    return {key: random.choice(VALUES) for key in KEYS if random.random() < 0.7}


def _pod(random: Random, number: int, node: str) -> Obj:
    place = NODES.index(node) + 1
    meta = {"name": f"pod{number}", "namespace": NAMESPACES[number % len(NAMESPACES)], "uid": f"u{number}"}
    called = [
        {"name": name, "protocol": random.choice(PROTOCOLS), "containerPort": random.choice(PORTS)} for name in NAMES
    ]
    phase = "Running" if node == HERE or random.random() < 0.8 else "Succeeded"
    ips = (f"10.1.{place}.{number + 2}", f"fd00:1:{place}::{number + 2:x}")
    return {
        "metadata": meta | {"labels": _labels(random)},
        "spec": {"nodeName": node, "containers": [{"name": "main", "ports": called}]},
        "status": {"phase": phase, "podIPs": [{"ip": ip} for ip in ips]},
    }


def _policy(random: Random, number: int) -> Obj:
    """Namespaces and directions take turns, so that no cluster is without one of them."""
    meta = {"name": f"p{number}", "namespace": NAMESPACES[number % len(NAMESPACES)]}
    types = (["Ingress"], ["Egress"], ["Ingress", "Egress"])[number // len(NAMESPACES) % 3]
    spec: Obj = {"podSelector": _selector(random), "policyTypes": types}
    for direction, word in (("ingress", "from"), ("egress", "to")):
        spec[direction] = [_rule(random, word) for _ in range(random.choice((0, 2, 3, 4)))]
    return {"metadata": meta, "spec": spec}


def _rule(random: Random, word: str) -> Obj:
    made: Obj = {}
    if random.random() < 0.95:
        made[word] = [_peer(random) for _ in range(random.choice((1, 2, 2, 3)))]
    if random.random() < 0.7:
        made["ports"] = [_ports(random) for _ in range(random.choice((2, 3, 4)))]
    return made


def _peer(random: Random) -> Obj:
    if random.random() < 0.4:
        cidr, parts = random.choice(BLOCKS)
        excepted = random.sample(parts, random.randint(0, min(2, len(parts))))
        return {"ipBlock": {"cidr": cidr} | ({"except": excepted} if excepted else {})}
    which = random.choice((("podSelector",), ("namespaceSelector",), ("podSelector", "namespaceSelector")))
    return {name: _selector(random) for name in which}


def _selector(random: Random) -> Obj:
    key, values = random.choice(KEYS), random.sample(VALUES, random.choice((1, 2)))
    operator = random.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    expression = {"key": key, "operator": operator} | ({"values": values} if "In" in operator else {})
    return random.choice(({}, {"matchLabels": {key: values[0]}}, {"matchExpressions": [expression]}))


def _ports(random: Random) -> Obj:
    first, last = sorted((random.choice(BOUNDARIES[:5]), random.choice(BOUNDARIES)))
    which = random.choice(({}, {"port": random.choice(PORTS)}, {"port": first, "endPort": last},
                           {"port": random.choice(NAMES)}))  # fmt: skip
    return which | ({"protocol": random.choice(PROTOCOLS)} if random.random() < 0.8 else {})


def flows_here(raw: Obj) -> dict[bytes, Encoded]:
    """Everything that the node's switch should hold, of all owners, by the flows' keys."""
    cluster = netpol_fabric.told(raw, NODES, Cluster())
    cluster.set_bridge(HERE, bridge_state([port for _, port in local_ports(raw)], SYSTEM))
    return netpol_fabric.flows_on(cluster, HERE)


def local_ports(raw: Obj) -> list[tuple[Obj, PodPort]]:
    """The node's pods and their ports."""
    local = [pod for pod in raw["pods"] if pod["spec"]["nodeName"] == HERE]
    made = (replace(netpol_fabric.port_of(n, pod), ofport=FIRST_PORT + n) for n, pod in enumerate(local))
    return [*zip(local, made, strict=True)]


@dataclass(frozen=True, slots=True)
class _Way:
    """By which port a packet comes in, and what it looks like there."""

    port: int
    mac: str
    ip: IPAddress
    outer: Outer | None = None


class Traffic:
    """Questions about a cluster."""

    def __init__(self, raw: Obj) -> None:
        self._local = [port for _, port in local_ports(raw)]
        self._remote = [pod for pod in raw["pods"] if pod["spec"]["nodeName"] != HERE]

    def question(self, random: Random) -> Question:
        """Conntrack finds the same in every pass."""
        family = random.choice((4, 6))
        way = self._way(random, family)
        states = random.choice(((), *((state,) * _PASSES for state in STATES)))
        return Question(self._packet(random, family, way), way.port, states, random.choice((0, 0, 1, 2, 3)))

    def _way(self, random: Random, family: int) -> _Way:
        kind = random.choices(("pod", "tunnel", "gateway", "strange"), (10, 5, 3, 0.3))[0]
        if kind == "pod":
            port = random.choice(self._local)
            forged = random.random() < 0.03
            own = self._anybody(random, family) if forged else _of(family, port.ips)
            return _Way(port.ofport or 0, port.mac, own)
        if kind == "tunnel":
            pod = random.choice(self._remote)
            node = pod["spec"]["nodeName"] if random.random() < 0.95 else random.choice(NODES)
            outer = Outer(VNI, ip_address(f"192.0.2.{NODES.index(node) + 1}"), ip_address("192.0.2.1"))
            return _Way(SYSTEM[TUNNEL_PORT] or 0, ROUTER_MAC, _address(pod, family), outer)
        ip = ip_address(random.choice((*OUTSIDE[family], *_ODD[family])))
        if kind == "gateway":
            return _Way(SYSTEM[GATEWAY_PORT] or 0, GATEWAY_MAC, ip)
        return _Way(_STRANGE_PORT, _STRANGE_MAC, ip)

    def _anybody(self, random: Random, family: int) -> IPAddress:
        kind = random.choices(("local", "remote", "outside", "odd"), (9, 5, 3, 1))[0]
        if kind == "local":
            return _of(family, random.choice(self._local).ips)
        if kind == "remote":
            return _address(random.choice(self._remote), family)
        return ip_address(random.choice(OUTSIDE[family] if kind == "outside" else _ODD[family]))

    def _packet(self, random: Random, family: int, way: _Way) -> Packet:
        icmp = ICMP if family == 4 else ICMP6
        protocol = random.choices((TCP, UDP, SCTP, icmp, 89), (5, 3, 2, 1, 0.3))[0]
        sport, dport = random.choice((40000, *PORTS)), random.choice(BOUNDARIES)
        if protocol == icmp:
            sport, dport = random.choice((8, 0, 3) if family == 4 else (128, 129, 1, 135)), 0
        return Packet(
            way.ip, self._anybody(random, family), protocol, sport, dport, eth_src=way.mac, eth_dst=ROUTER_MAC,
            ttl=random.choice((64, 64, 64, 2, 1)), outer=way.outer,
            eth_type=oxm.ETH_IPV4 if family == 4 else oxm.ETH_IPV6,
        )  # fmt: skip


def _address(pod: Obj, family: int) -> IPAddress:
    return _of(family, tuple(ip_address(each["ip"]) for each in pod["status"]["podIPs"]))


def _of(family: int, ips: tuple[IPAddress, ...]) -> IPAddress:
    return next(ip for ip in ips if ip.version == family)
