"""The cluster that a lab joins (`lab up --kubeconfig`) instead of playing Kubernetes itself.

The lab registers its Nodes there and removes them in the end. They are known by an id that only this lab has: labs of
one name, on different machines, may join one cluster. Source: Kubernetes concepts, "Nodes", "Pod garbage collection".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kube.endpoint import from_kubeconfig
from kube.errors import ConfigError
from lab import access, names
from lab.client import ApiClient, ApiClientError
from lab.config import LabConfig, LabState
from lab.names import LAB, Network

OWNER = "lab.weft.dev/owner"
"""Label of a Node that a lab has registered in another's cluster; its value is `LabState.owner`."""
_QUICK_SECONDS = 5.0

Obj = dict[str, Any]


class ClusterError(RuntimeError):
    """The cluster cannot be joined or left; the message says what to do."""


def join(config: LabConfig) -> None:
    """Copy the access that the lab's kubeconfig gives, and look whether the lab can join by it.

    Raises AccessError for the file; ClusterError when the API does not answer, or has Nodes with the names or pod
    ranges that the lab's would have. Nothing is made in the cluster.
    """
    paths = config.paths
    stored = access.store(access.read(Path(config.kubeconfig)), paths.kubeconfig.parent)
    access.write(stored, paths.kubeconfig)
    access.write(stored.through(names.api_address(config.family)), paths.nodes_kubeconfig)
    try:
        nodes = _connect(config).items("/api/v1/nodes")
    except (ConfigError, ApiClientError) as e:
        raise ClusterError(f"the cluster of {config.kubeconfig} cannot be joined: {e}") from e
    for complaint in _obstacles(config, nodes):
        raise ClusterError(f"the cluster of {config.kubeconfig} cannot be joined: {complaint}")


def _connect(config: LabConfig) -> ApiClient:
    return ApiClient(from_kubeconfig(str(config.paths.kubeconfig)), _QUICK_SECONDS)


def _obstacles(config: LabConfig, nodes: list[Obj]) -> Iterator[str]:
    for each in config.node_configs():
        wanted = names.pod_cidrs(each.number, config.family)
        for node in nodes:
            name = node["metadata"]["name"]
            if name == each.name:
                yield f"it has a Node {name} already, as the lab would call its own"
            for cidr in node["spec"].get("podCIDRs") or ():
                if _overlaps(ip_network(cidr), wanted):
                    yield f"its Node {name} has pods in {cidr}, where those of the lab's {each.name} would be"


def _overlaps(one: Network, others: tuple[Network, ...]) -> bool:
    return any(one.version == other.version and one.overlaps(other) for other in others)


def leave(state: LabState) -> list[str]:
    """Remove the Nodes that the lab has registered, and the pods that are bound to them; the names of the Nodes.

    The pods have ended with their processes; a cluster with a controller manager would collect their objects by
    itself. Raises ClusterError, then with the command that does it by hand.
    """
    try:
        api = _connect(state.config)
        mine = api.items(selected("nodes", labelSelector=f"{OWNER}={state.owner}"))
        nodes = [str(node["metadata"]["name"]) for node in mine]
        for node in nodes:
            _remove_node(api, node)
    except (ConfigError, ApiClientError) as e:
        command = f"kubectl --kubeconfig {state.config.kubeconfig} delete node -l {OWNER}={state.owner}"
        raise ClusterError(
            f"its Nodes may still be in the cluster that it joined, `{command}` removes them: {e}"
        ) from e
    return nodes


def as_guest(node: Obj, owner: str) -> Obj:
    """The Node of a lab as it is registered in another's cluster, whose own pods stay away from it."""
    labels = node["metadata"]["labels"]
    taint = {"key": LAB, "value": labels[LAB], "effect": "NoSchedule"}
    meta = {**node["metadata"], "labels": {**labels, OWNER: owner}}
    return {**node, "metadata": meta, "spec": {**node["spec"], "taints": [taint]}}


def for_guests(obj: Obj, lab: str) -> Obj:
    """An object whose pods are meant for the Nodes of a lab: they select these and tolerate their taint.

    That is a Pod, or whatever has a template of one. A pod that names its node is left as it is.
    """
    spec = obj.get("spec") or {}
    if obj["kind"] == "Pod":
        return {**obj, "spec": _for_guests(spec, lab)}
    template = spec.get("template")
    if not isinstance(template, dict) or "containers" not in (template.get("spec") or {}):
        return obj
    return {**obj, "spec": {**spec, "template": {**template, "spec": _for_guests(template["spec"], lab)}}}


def _for_guests(spec: Obj, lab: str) -> Obj:
    if spec.get("nodeName"):
        return spec
    toleration = {"key": LAB, "operator": "Equal", "value": lab, "effect": "NoSchedule"}
    return {
        **spec,
        "nodeSelector": {**(spec.get("nodeSelector") or {}), LAB: lab},
        "tolerations": [*(spec.get("tolerations") or ()), toleration],
    }


def _remove_node(api: ApiClient, node: str) -> None:
    for pod in api.items(selected("pods", fieldSelector=f"spec.nodeName={node}")):
        delete_pod(api, pod["metadata"])
    _delete(api, f"/api/v1/nodes/{node}", None)


def delete_pod(api: ApiClient, meta: Mapping[str, str]) -> None:
    """Remove the object of a pod that has ended; another of the same name is left alone."""
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
    _delete(api, f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}", options)


def _delete(api: ApiClient, path: str, options: Obj | None) -> None:
    try:
        api.request("DELETE", path, options)
    except ApiClientError as e:
        if e.code not in (404, 409):  # gone, or another by now
            raise


def selected(plural: str, **selectors: str) -> str:
    return f"/api/v1/{plural}?" + "&".join(f"{key}={quote(value)}" for key, value in selectors.items())
