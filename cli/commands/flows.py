"""weftctl flows."""

from typing import Annotated

import typer

from cli.options import Node, located
from cli.where import Where


@located
def flows(
    where: Where,
    node: Node = "",
    pod: Annotated[
        str, typer.Option(metavar="NS/POD", help="Only flows that belong to this pod, match it or lead to it.")
    ] = "",
    table: Annotated[str, typer.Option(metavar="TABLE", help="Only this table, by title or number.")] = "",
    stats: Annotated[bool, typer.Option("--stats", help="Show packets, bytes and age.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print them as ovs-ofctl writes and reads them.")] = False,
) -> None:
    """Show the flows in the switches, in words.

    Tables, registers, ports, pods and nodes have their names. A flow is one line, however narrow the
    terminal, and columns are aligned: `weftctl flows | less -S` scrolls sideways.
    """
    from cli.show import Choice, show_flows

    show_flows(where, Choice(node, pod, table, stats=stats, raw=raw))
