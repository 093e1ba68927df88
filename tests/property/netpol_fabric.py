"""A simulated cluster whose switches hold what the controller would have them hold."""

import json
from ipaddress import ip_address

from cluster_fixture import SYSTEM, dpid, node

from controller.bridge import bridge_state
from controller.cluster import Cluster
from controller.flows import flows
from kube.changes import Listed
from kube.netpol import parse_network_policy
from kube.objects import parse_namespace, parse_pod
from openflow.decode import decode
from openflow.simulate import Fabric, Guest, Host, Switch, Tunnel
from openflow.tables import Table
from ovsdb.rows import GATEWAY_PORT, TUNNEL_PORT, AttachmentKey, PodPort

PARSERS = {"namespaces": parse_namespace, "pods": parse_pod, "policies": parse_network_policy}
KINDS = {"namespaces": "Namespace", "pods": "Pod", "policies": "NetworkPolicy"}
FIRST_PORT = 10


def name_of(pod):
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def parsed(kind, obj):
    return PARSERS[kind](json.dumps(obj).encode())


def nodes(names):
    return tuple(
        node(name, (f"10.1.{number}.0/24", f"fd00:1:{number}::/64"), tunnel_ip=ip_address(f"192.0.2.{number}"))
        for number, name in enumerate(names, start=1)
    )


def port_of(number, pod):
    """The port that the node's agent makes for a pod, by its place in the cluster."""
    key = AttachmentKey("weft", f"c{number}", "eth0")
    meta, ips = pod["metadata"], tuple(ip_address(each["ip"]) for each in pod["status"]["podIPs"])
    mac = f"0a:58:00:00:00:{number:02x}"
    return PodPort(
        f"port{number}", key, meta["namespace"], meta["name"], meta["uid"], mac, ips, "/run/netns/none",
        FIRST_PORT + number,
    )  # fmt: skip


def told(raw, names, made=None):
    """A Cluster that has heard of everything at once."""
    made = made or Cluster()
    made.apply(Listed("Node", nodes(names)))
    for kind, text in KINDS.items():
        made.apply(Listed(text, tuple(parsed(kind, each) for each in raw[kind])))
    for name in names:
        made.set_bridge(name, bridge_state(ports_on(raw, name), SYSTEM))
    return made


def ports_on(raw, name):
    return [port_of(number, pod) for number, pod in enumerate(raw["pods"]) if pod["spec"]["nodeName"] == name]


def flows_on(cluster, name):
    """Everything that the node's switch should hold; no two flows may have one key."""
    found = {}
    for owner in cluster.owners(name):
        for flow in flows(cluster, name, owner):
            assert flow.key not in found, f"{owner} wants a flow that another has"
            found[flow.key] = flow
    return found


def fabric(raw, names, entered=None):
    """`entered`: the cluster as it was when packets were in the tables up to connection tracking, if not the same."""
    cluster = told(raw, names)
    assert {dpid(name) for name in names} == set(cluster.membership.by_datapath())
    held = {name: _held(cluster, name) for name in names}
    if entered is not None:
        held = {name: _changing(_held(told(entered, names), name), held[name]) for name in names}
    return Fabric.of(_switch(held[name], entered or raw, name, number) for number, name in enumerate(names, start=1))


def _held(cluster, name):
    return [decode(flow) for flow in flows_on(cluster, name).values()]


def _changing(before, after):
    """What a packet meets that connection tracking takes from the flows of one moment to those of the next."""
    return [each for each in before if each.table <= Table.CONNTRACK] + [
        each for each in after if each.table > Table.CONNTRACK
    ]


def _switch(held, raw, name, number):
    gateway = Host(f"node/{name}", (ip_address(f"10.1.{number}.1"), ip_address(f"fd00:1:{number}::1")))
    ports = {SYSTEM[TUNNEL_PORT]: Tunnel((ip_address(f"192.0.2.{number}"),)), SYSTEM[GATEWAY_PORT]: gateway}
    for each in ports_on(raw, name):
        ports[each.number] = Guest(f"{each.namespace}/{each.pod}", each.mac, each.ips)
    return Switch(name, held, ports)
