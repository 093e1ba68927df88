"""A small cluster with policies, as objects of the API, for what weftctl says of policies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.inforce import PolicyState, states
from cli.view import NodeView, Place, Silent
from controller.policy.names import PolicyObjects
from kube.netpol import parse_network_policy
from kube.objects import Pod, parse_namespace, parse_pod
from openflow.codec import Record
from ovsdb.rows import AttachmentKey, Bridge, PodPort

Obj = dict[str, Any]


def pod(key: str, node: str, *ips: str, **changes: Any) -> Obj:
    """`<namespace>/<app>-<n>`, labelled with its app, that serves `http` on TCP port 8080."""
    namespace, _, name = key.partition("/")
    port = {"name": "http", "containerPort": 8080}
    return {
        "metadata": {
            "name": name, "namespace": namespace, "uid": key, "labels": {"app": name.partition("-")[0]},
            "creationTimestamp": changes.pop("created", "2026-01-01T00:00:00Z"),
        },
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [port]}], **changes},
        "status": {"phase": "Running", "podIPs": [{"ip": ip} for ip in ips]},
    }  # fmt: skip


def policy(key: str, app: str = "", **spec: Any) -> Obj:
    namespace, _, name = key.partition("/")
    selector = {"matchLabels": {"app": app}} if app else {}
    meta = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": meta, "spec": {"podSelector": selector, **spec}}


def block(cidr: str, *excepted: str) -> Obj:
    return {"ipBlock": {"cidr": cidr, "except": [*excepted]}}


def apps(app: str) -> Obj:
    return {"podSelector": {"matchLabels": {"app": app}}}


WORLD = (
    pod("shop/web-1", "alpha", "10.1.0.2", "fd00::2"),
    pod("shop/web-2", "beta", "10.1.1.2", "fd00::12"),
    pod("shop/cart-1", "alpha", "10.1.0.3", "fd00::3"),
    pod("bank/teller-1", "beta", "10.1.1.3", "fd00::13"),
)


def objects(*policies: Obj, pods: tuple[Obj, ...] = WORLD) -> PolicyObjects:
    spaces = sorted({each["metadata"]["namespace"] for each in pods})
    return PolicyObjects(
        tuple(parse_pod(json.dumps(each).encode()) for each in pods),
        tuple(parse_namespace(json.dumps({"metadata": {"name": name}}).encode()) for name in spaces),
        tuple(parse_network_policy(json.dumps(each).encode()) for each in policies),
    )


Held = dict[str, dict[bytes, Record]]


def state(made: PolicyObjects, held: Held, silent: Sequence[Silent] = ()) -> dict[str, PolicyState]:
    """Every policy by its key, where the nodes' switches hold these flows."""
    answers = [(view(made, node), records) for node, records in held.items()]
    return {each.key: each for each in states(made, answers, silent, sorted(made.engine.policies))}


def wanted(made: PolicyObjects, *nodes: str) -> Held:
    """What is missing on switches that hold nothing."""
    found: Held = defaultdict(dict)
    for each in state(made, {node: {} for node in nodes}).values():
        for at in each.nodes:
            found[at.node] |= {flow.key: Record(flow, 0, 0, 5.0) for flow in at.missing}
    return found


def view(made: PolicyObjects, node: str) -> NodeView:
    """A node with a port for each of its pods."""
    mine = [each for each in made.pods if each.node_name == node]
    ports = {f"port{number}": _port(number, each) for number, each in enumerate(mine, 10)}
    bridge = Bridge("br-int", node, "", None, "netdev", ports, {"weft-tun0": 1, "weft-gw0": 2})
    return NodeView(node, Place("unix:/no/db.sock", Path("/no")), bridge, "", None, "", {})


def _port(number: int, of: Pod) -> PodPort:
    key, mac = AttachmentKey("weft", f"c{number}", "eth0"), f"0a:58:00:00:00:{number:02x}"
    return PodPort(
        f"port{number}", key, of.meta.namespace, of.meta.name, of.meta.uid, mac, of.ips, "/run/netns/none", number
    )
