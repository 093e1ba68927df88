"""weftctl pods."""

from typing import Annotated

import typer

from cli.options import Node, located
from cli.where import Where


@located
def pods(
    where: Where,
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NS", help="Only this namespace.")] = "",
    node: Node = "",
) -> None:
    """Show the pods and whether their flows are in place.

    SINCE is when the flow that lets the pod's packets in was added to the switch, by the switch's own count.
    It begins anew when ovs-vswitchd starts or the pod's labels change what it may do, and not when the
    controller or the agent starts.
    """
    from cli.pods import Selection
    from cli.show import show_pods

    show_pods(where, Selection(namespace, node))
