"""weftctl reach."""

from typing import Annotated

import typer

from cli.commands.trace import Family
from cli.options import PORTS, Output, located, only_port
from cli.where import Where


@located
def reach(
    where: Where,
    namespace: Annotated[
        str,
        typer.Option("--namespace", "-n", metavar="NS", help="Only who reaches this namespace, and whom it reaches."),
    ] = "",
    tcp: Annotated[int | None, typer.Option(help="Say yes or no for this TCP port.", **PORTS)] = None,
    udp: Annotated[int | None, typer.Option(help="Say yes or no for this UDP port.", **PORTS)] = None,
    sctp: Annotated[int | None, typer.Option(help="Say yes or no for this SCTP port.", **PORTS)] = None,
    family: Annotated[Family | None, typer.Option(help="Default: IPv4 if pods have it.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="What to print.")] = Output.TABLE,
) -> None:
    """Show whom policies let whom reach, by kind of pod.

    Pods that no rule can tell apart (of one namespace, with the same labels as far as rules mention them, and the
    same numbers of ports that rules call by name) are one row and one column, and so are networks outside that rules
    name. A cell says what the one may begin with the other: * is everything, - is nothing, else protocols and ports.
    Policies are NetworkPolicies.

    It is worked out from the policies themselves, as Kubernetes has them; switches are not asked. `weftctl explain`
    says why, and whether the switches agree; `weftctl lab reach` measures.
    """
    chosen = only_port(tcp=tcp, udp=udp, sctp=sctp)
    from cli.reach import Question
    from cli.show import show_reach
    from controller.policy.verdict import Traffic

    traffic = Traffic(chosen[0].upper(), chosen[1]) if chosen else None
    version = {None: 0, Family.IPV4: 4, Family.IPV6: 6}[family]
    show_reach(where, Question(namespace, traffic, version), output.value)
