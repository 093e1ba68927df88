"""Checks of what is not one node's: the Kubernetes API, the Nodes, the controllers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cli.checks.model import Finding, Result, World

API, NODES, CONTROLLERS = "api", "nodes", "controllers"


def api(world: World) -> Iterator[Finding]:
    """Whether the Kubernetes API answers, with what Weft reads."""
    if not world.api:
        remedy = "name the cluster with --kubeconfig or --context, to have this checked as well"
        yield Finding(API, "", Result.UNKNOWN, "no Kubernetes API was named, so none was asked", remedy)
        return
    remedy = (
        "look whether the API server runs and this machine reaches it; what may be read is said by "
        "`kubectl auth can-i list pods -A`"
    )
    for problem in world.directory.problems:
        yield Finding(API, "", Result.FAILED, problem, remedy)
    if not world.directory.problems:
        pods, nodes = len(world.directory.pods), len(world.directory.nodes)
        yield Finding(API, "", Result.OK, f"it answers: {nodes} Nodes, {pods} Pods with a network of their own")


def nodes(world: World) -> Iterator[Finding]:
    """Whether Kubernetes has every Node Ready, and each of them was looked into."""
    looked = {each.node for each in world.nodes}
    for name, info in sorted(world.directory.nodes.items()):
        if name not in looked and len(world.nodes) > 1:
            remedy = (
                "see why no weft-agent runs there: `kubectl -n weft-system get pods -o wide`, and the Node's taints"
            )
            yield Finding(NODES, name, Result.FAILED, "it is a Node, and no agent of Weft was found on it", remedy)
        elif info.ready is False:
            remedy = f"see the reason in `kubectl describe node {name}`, and the other findings here"
            yield Finding(NODES, name, Result.FAILED, "Kubernetes says that the Node is not Ready", remedy)
        elif name in looked and not info.pod_cidrs:
            remedy = (
                "have the controller manager give out ranges (--allocate-node-cidrs, --cluster-cidr), or set "
                "spec.podCIDRs of the Node; without one its pods get no addresses"
            )
            yield Finding(
                NODES, name, Result.FAILED, "the Node has no range of pod addresses (spec.podCIDRs)", remedy
            )
        elif name in looked:
            yield Finding(NODES, name, Result.OK, "Ready" if info.ready else "it is there")


def controllers(world: World) -> Iterator[Finding]:
    """Whether the controllers are well."""
    if world.controllers is None:
        what = "where the controllers run is not known from one node alone"
        yield Finding(CONTROLLERS, "", Result.UNKNOWN, what, "ask the cluster: --kubeconfig or --context")
        return
    if not world.controllers:
        remedy = (
            "see why there is none: `kubectl -n weft-system describe deployment weft-controller`, or with "
            "placement=node `kubectl -n weft-system describe daemonset weft-agent`"
        )
        yield Finding(CONTROLLERS, "", Result.FAILED, "no controller runs: changes reach no switch", remedy)
    for each in world.controllers:
        for problem in each.problems:
            remedy = f"see the log of {each.name}; it is also in `weftctl support-bundle`"
            yield Finding(CONTROLLERS, each.node, Result.FAILED, f"{each.name}: {problem}", remedy)
        if not each.problems:
            yield Finding(CONTROLLERS, each.node, Result.OK, f"{each.name} is ready")
