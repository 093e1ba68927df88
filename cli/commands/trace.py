"""weftctl trace."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.errors import CliError
from cli.options import PORTS, located
from cli.where import Where


class Family(StrEnum):
    """An address family as people write it."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


@located
def trace(
    where: Where,
    source: Annotated[str, typer.Argument(metavar="SRC", help="A pod, as NS/POD, or an address outside.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="A pod, as NS/POD, or any IP address.")],
    tcp: Annotated[int | None, typer.Option(help="A TCP connection to this port.", **PORTS)] = None,
    udp: Annotated[int | None, typer.Option(help="A UDP datagram to this port.", **PORTS)] = None,
    icmp: Annotated[bool, typer.Option("--icmp", help="An ICMP echo. This is the default.")] = False,
    family: Annotated[Family | None, typer.Option(help="Default: IPv4 if both ends have it.")] = None,
    reply: Annotated[bool, typer.Option("--reply", help="Trace the answer, from DST to SRC.")] = False,
    source_ip: Annotated[
        str, typer.Option(metavar="IP", help="Have the sender use this address: will it be found out?")
    ] = "",
    source_mac: Annotated[str, typer.Option(metavar="MAC", help="Have the sender use this MAC.")] = "",
) -> None:
    """Follow a packet from SRC to DST through every node.

    Each switch is asked what it would do (ofproto/trace); no packet is sent. The packet is the first of a new
    connection, or with --reply the first answer. What conntrack would say is assumed, not looked up.

    Exit status: 0 when the packet is delivered (or leaves for a node that this command cannot look into),
    1 when it is dropped, 2 for an error.
    """
    chosen = [name for name, given in (("tcp", tcp), ("udp", udp), ("icmp", icmp or None)) if given is not None]
    if len(chosen) > 1:
        raise CliError(f"--{' and --'.join(chosen)} exclude each other: give one")
    from cli.packet import Service
    from cli.show import show_trace
    from cli.tracer import Question

    question = Question(
        source=source,
        target=target,
        service=Service(chosen[0] if chosen else "icmp", tcp or udp or 0),
        family={None: 0, Family.IPV4: 4, Family.IPV6: 6}[family],
        reply=reply,
        forged_ip=source_ip,
        forged_mac=source_mac,
    )
    if not show_trace(where, question):
        raise typer.Exit(1)
