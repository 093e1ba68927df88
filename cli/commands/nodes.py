"""weftctl nodes."""

from cli.options import Node, located
from cli.where import Where


@located
def nodes(where: Where, node: Node = "") -> None:
    """Show the nodes and the state of their switches.

    READY is the Node's condition, POD-CIDRS and MTU what Kubernetes knows; without a cluster to ask they are
    what the switch knows, or `-`. CONTROLLER is what Open vSwitch itself says of the connection to its
    controller, every five seconds.
    """
    from cli.show import show_nodes

    show_nodes(where, node)
