"""weftctl cleanup."""

from typing import Annotated

import typer


def cleanup(
    this_node: Annotated[
        bool, typer.Option("--this-node", help="Clean this machine only, as root, and ask no cluster.")
    ] = False,
    root: Annotated[
        str, typer.Option(metavar="DIR", help="Where this machine's files are, if not at /. Only with --this-node.")
    ] = "/",
    cni_bin_dir: Annotated[str, typer.Option(metavar="DIR", help="Directory of CNI executables.")] = "/opt/cni/bin",
    cni_conf_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Directory of CNI configurations.")
    ] = "/etc/cni/net.d",
    kubeconfig: Annotated[
        str, typer.Option(metavar="FILE", help="Kubeconfig of the cluster. Default: $KUBECONFIG, ~/.kube/config.")
    ] = "",
    context: Annotated[str, typer.Option(metavar="NAME", help="Its context. Default: the current one.")] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="The namespace that Weft was installed in.")
    ] = "weft-system",
    image: Annotated[
        str,
        typer.Option(metavar="IMAGE", help="The agent's image, which nodes still have. Default: of this version."),
    ] = "",
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long to wait for all nodes.")] = 120.0,
) -> None:
    """Take away what `helm uninstall` leaves of Weft.

    On every node: the CNI executable and configuration, pods' interfaces, bridges, routes, the nftables table,
    sockets and the switch's database; the transport interface has its addresses back. In the cluster: annotations
    of Nodes, and the Lease. Pods that still run lose their network: start them again once there is another. Each
    node is cleaned by a pod of the DaemonSet weft-cleanup, which is deleted at the end.

    For example, `helm uninstall weft -n weft-system && weftctl cleanup`: what that leaves of Weft is nothing.

    Exit status: 0, 1 when a node is not clean in time (it is named, with what its pod said last), 2 for an error,
    which is also that Weft is still installed.
    """
    from cli.cleanup import Cleanup, cleanup_cluster, cleanup_node

    asked = Cleanup(root, cni_bin_dir, cni_conf_dir, kubeconfig, context, namespace, image, timeout)
    raise typer.Exit(cleanup_node(asked) if this_node else cleanup_cluster(asked))
