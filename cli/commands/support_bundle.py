"""weftctl support-bundle."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Node, located
from cli.where import Where


@located
def support_bundle(
    where: Where,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="The archive. Default: weft-support-DATE-TIME.tar.gz, here."
        ),
    ] = None,
    node: Node = "",
    log_mib: Annotated[
        int, typer.Option(min=1, max=1024, metavar="N", help="How many MiB of the end of each log.")
    ] = 4,
) -> None:
    """Collect what helps to find faults, in one archive.

    Of each node: flows, groups, the switch's database and counters, links, addresses, routes, nftables rules,
    versions, settings, metrics, CNI requests that failed, and logs. Of the cluster: the objects that Weft reads, as
    far as it reads them, and the logs of Weft's pods. And what `weftctl check` finds. README.txt in it says where
    what is.

    Secrets, private keys, tokens, kubeconfigs and environments are not collected, and what looks like one in a log
    or a label is replaced by REDACTED. Names of pods, labels, addresses and policies are in it.

    Nodes that do not answer, and parts that could not be had, are named in index.json and on standard error.

    For example, `weftctl support-bundle --log-mib 1`: an archive with the last MiB of each log.

    Exit status: 0, or 2 when there is no archive. One that lacks something is a success: it is wanted then.
    """
    from cli.show import collect_bundle

    collect_bundle(where, file, node, log_mib << 20)
