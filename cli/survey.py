"""Reads nodes: their databases side by side, and what Kubernetes knows of them. The edge that commands start with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli import console, database
from cli.directory import Directory, look_up
from cli.errors import CliError
from cli.target import Fabric, find_fabric
from cli.view import NodeView, Place, Silent, names_of, read_node
from cli.where import Where
from openflow.render import Names
from ovsdb.rows import Tables

if TYPE_CHECKING:
    from kube.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Survey:
    """The nodes that answered and those that did not, and what Kubernetes knows."""

    fabric: Fabric
    views: tuple[NodeView, ...]
    silent: tuple[Silent, ...]
    directory: Directory

    def names(self, view: NodeView) -> Names:
        """Names for the numbers in this node's flows."""
        nodes = {*self.directory.nodes, *(each.node for each in self.views), *(each.node for each in self.silent)}
        return names_of(view, self.directory.pods, nodes, self.directory.policy)

    def node_of(self, pod: str) -> NodeView:
        """The node whose bridge has the pod `<namespace>/<name>`; CliError when none has."""
        check_pod(pod)
        found = [view for view in self.views if view.pod_port(pod)]
        if found:
            return found[0]
        known = self.directory.pods.get(pod)
        hint = f"Kubernetes has it on {known.node}, where it has no port" if known else "see `weftctl pods`"
        raise CliError(f"{self.fabric.title} has no pod {pod} on any bridge: {hint}")


def survey(where: Where, node: str = "") -> Survey:
    """Look at every node (or at one); CliError when none answers. What Kubernetes does not tell is a warning."""
    fabric = find_fabric(where).only(node)
    read = database.read(place.ovsdb for place in fabric.places)
    views: list[NodeView] = []
    silent: list[Silent] = [*fabric.silent]
    for place in fabric.places:
        rows = read[place.ovsdb]
        try:
            views.append(_view(place, rows))
        except CliError as e:
            silent.append(Silent(place.node or "this node", str(e)))
    if not views:
        raise CliError("; ".join(dict.fromkeys(each.why for each in silent)))
    _check_name(node, views)
    found = Survey(fabric, tuple(views), tuple(silent), directory_of(fabric))
    for problem in found.directory.problems:
        console.warn(problem)
    return found


def directory_of(fabric: Fabric) -> Directory:
    """What the fabric's Kubernetes API knows; an empty directory if it has none."""
    endpoint = endpoint_of(fabric)
    return Directory() if endpoint is None else look_up(endpoint)


def endpoint_of(fabric: Fabric) -> Endpoint | None:
    """The fabric's Kubernetes API; None if it has none. CliError: its kubeconfig cannot be used."""
    if not fabric.api:
        return None
    from kube import endpoint
    from kube.errors import KubeError

    try:
        if fabric.api.startswith("http"):
            return endpoint.from_url(fabric.api)
        return endpoint.from_kubeconfig(fabric.api, fabric.context or None)
    except KubeError as e:
        raise CliError(str(e)) from e


def check_pod(pod: str) -> str:
    """`pod` if it reads `<namespace>/<name>`; else CliError."""
    namespace, _, name = pod.partition("/")
    if not namespace or not name or "/" in name:
        raise CliError(f"pod {pod!r}: write <namespace>/<name>, as `weftctl pods` prints it")
    return pod


def _view(place: Place, rows: Tables | str) -> NodeView:
    if isinstance(rows, str):
        raise CliError(rows)
    return read_node(place, rows)


def _check_name(node: str, views: list[NodeView]) -> None:
    """A single node was read before its name was known."""
    if node and node not in [view.node for view in views]:
        raise CliError(f"there is no node {node!r} here, only {', '.join(view.node for view in views)}")
