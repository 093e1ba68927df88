"""weftctl cni."""

from typing import Annotated

import typer

from cli.options import Output, located
from cli.where import Where


@located
def cni(
    where: Where,
    node: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="Only this node; may be given several times.")
    ] = None,
    by_node: Annotated[bool, typer.Option("--by-node", help="Show the numbers of each node, not their sum.")] = False,
    last: Annotated[int, typer.Option(min=0, metavar="N", help="How many of the last failures to show.")] = 10,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Ask the agent with this health-address, wherever it is; may be given several times.",
        ),
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="What to print.")] = Output.TABLE,
) -> None:
    """Show how long CNI requests take, and which failed.

    By step, and failures with their reasons. The agents are asked: those of a lab's nodes or a cluster's, else the
    one of this machine (127.0.0.1:9443), or those of --agent.
    P50-MS, P90-MS and P99-MS are the milliseconds that 50, 90 and 99 of a hundred requests did not exceed, estimated
    from the agents' histograms as Prometheus does (histogram_quantile); nodes are added up. Steps are in the order in
    which they are taken; a request that fails has only those that it completed. Agents count since they started, and
    remember their last 100 failures. CODE is of the CNI specification; from 100 on it is Weft's own.

    For example, `weftctl cni --node node1 --last 3`: what node1 has measured, and its last three failures.

    Exit status: 0, or 2 for an error. Nodes whose agents do not answer are one, told after what the others say.
    """
    from cli.cni import Choice
    from cli.show import show_cni

    show_cni(where, Choice(node or (), agent or (), by_node, last), output.value)
