"""weftctl check."""

from typing import Annotated

import typer

from cli.options import Node, Output, located
from cli.where import Where


@located
def check(
    where: Where,
    node: Node = "",
    every: Annotated[bool, typer.Option("--all", help="Show what is well of each node, too.")] = False,
    peers: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many other nodes each node sends packets to.")
    ] = 10,
    output: Annotated[Output, typer.Option("--output", "-o", help="What to print.")] = Output.TABLE,
) -> None:
    """Find what is wrong, and say what to do.

    Checked are the Kubernetes API, Nodes and controllers; on each node kernel module, Open vSwitch and its version,
    agent, certificates, the switch's connection to its controller and whether every pod is programmed; and what
    lies between nodes: MTU, ports and tunnels. Nothing is changed.

    Ports are tried by connections from the nodes to their controllers, and from the nodes with controllers to all
    databases. Tunnels are tried by packets: each node sends one of 100 bytes and one as large as a pod may send, by
    UDP to port 33434 of the other nodes' gateway addresses, where nobody listens, and waits for their kernels to say
    so. A firewall on the other node that drops these looks like a tunnel that does not work.

    A finding is ok, a warning, failed, or unknown where it cannot be made from here. Where something failed, all is
    looked at twice, a second apart: it may just have changed.

    For example, `weftctl check --node node1`: what is wrong with node1, and with the cluster.

    Exit status: 0 when nothing failed, 1 when something did, 2 for an error.
    """
    from cli.show import show_check

    if not show_check(where, node, peers, output.value, every=every):
        raise typer.Exit(1)
