"""weftctl policy."""

from typing import Annotated

import typer

from cli.options import Output, located
from cli.where import Where


@located
def policy(
    where: Where,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="All about this policy, as NS/NAME, or NAME if one is called so.")
    ] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NS", help="Only this namespace.")] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="What to print.")] = Output.TABLE,
) -> None:
    """Show policies: what they count, where they are in force.

    Policies are NetworkPolicies. One is in force on a node that runs pods it selects when the switch there holds
    every flow that it has a part in, just as the controller works it out: the flows are read and compared.

    PACKETS and BYTES are what its rules have let through, from those that asked: replies are never judged. SESSIONS
    are those of the packets that belong to new connections: one for each TCP connection, and for UDP as many as are
    sent until the other side answers. The switches count, since they have the flow, and may be a second behind.
    Policies that say the same share a flow and its count.

    Exit status: 0 when the policies are in force everywhere, 1 when a node lacks some of one, 2 for an error.
    """
    from cli.policies import Choice
    from cli.show import show_policies

    if not show_policies(where, Choice(name, namespace), output.value):
        raise typer.Exit(1)
