"""weftctl explain."""

from typing import Annotated

import typer

from cli.commands.trace import Family
from cli.options import PORTS, located, only_port
from cli.where import Where

DISAGREES = 3


@located
def explain(
    where: Where,
    source: Annotated[str, typer.Argument(metavar="SRC", help="A pod, as NS/POD, or an IP address.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="A pod, as NS/POD, or an IP address.")],
    tcp: Annotated[int | None, typer.Option(help="A TCP connection to this port.", **PORTS)] = None,
    udp: Annotated[int | None, typer.Option(help="UDP to this port.", **PORTS)] = None,
    sctp: Annotated[int | None, typer.Option(help="An SCTP association to this port.", **PORTS)] = None,
    family: Annotated[Family | None, typer.Option(help="Default: IPv4 if both ends have it.")] = None,
) -> None:
    """Say by which rules SRC may reach DST, or why not.

    Policies are NetworkPolicies. Where none allows it, what they lack is named. Without a port, it is about an
    ICMP echo. Then the flows that the switches hold are read, and it is worked out what they would do with the
    first packet of the connection. No packet is sent.

    Exit status: 0 when the connection is allowed, 1 when it is denied, 2 for an error, 3 when the switches' flows
    do not do what the policies say.
    """
    chosen = only_port(tcp=tcp, udp=udp, sctp=sctp)
    from cli.explain import Question
    from cli.packet import Service
    from cli.show import show_explain

    service = Service(*chosen) if chosen else Service()
    version = {None: 0, Family.IPV4: 4, Family.IPV6: 6}[family]
    found = show_explain(where, Question(source, target, service, version))
    if not found.agrees:
        raise typer.Exit(DISAGREES)
    if not found.verdict.allowed:
        raise typer.Exit(1)
