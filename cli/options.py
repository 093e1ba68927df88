"""The options by which every command that looks at nodes is told where to look."""

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer

from cli.errors import CliError
from cli.where import OF_KUBECTL, Where

PORTS: dict[str, Any] = {"min": 1, "max": 65535, "metavar": "PORT"}
"""What an option that takes a port is given."""

Node = Annotated[str, typer.Option("--node", metavar="NODE", help="Only this node.")]

_PANEL: dict[str, Any] = {
    "lab": Annotated[str, typer.Option(metavar="NAME", help="Look at this lab. Default: the lab that is up.")],
    "rundir": Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Look at the node whose Open vSwitch runs in DIR. Default, when no lab is up: /run/openvswitch.",
        ),
    ],
    "ovsdb": Annotated[str, typer.Option(metavar="REMOTE", help="Its database: unix:/path/db.sock or tcp:IP:PORT.")],
    "openflow": Annotated[str, typer.Option(metavar="SOCKET", help="Its management socket: unix:/path/br-int.mgmt.")],
    "bridge": Annotated[str, typer.Option(metavar="NAME", help="The bridge on the node.")],
    "kubeconfig": Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Look at this cluster's nodes, through its API. Beside --rundir, --ovsdb or --lab: ask it for what "
            "switches cannot tell.",
        ),
    ],
    "context": Annotated[
        str, typer.Option(metavar="NAME", help="Look at the cluster of this context. Default: the current one.")
    ],
    "weft_namespace": Annotated[
        str,
        typer.Option(
            "--weft-namespace",
            "--namespace",
            metavar="NAME",
            help="The cluster's namespace that Weft is installed in. Where a command has a --namespace of its own, "
            "only --weft-namespace is this.",
        ),
    ],
}

_OWN_NAMESPACE: dict[str, Any] = {
    "weft_namespace": Annotated[
        str,
        typer.Option("--weft-namespace", metavar="NAME", help="The cluster's namespace that Weft is installed in."),
    ],
}
"""For commands whose --namespace is that of pods or policies."""


class Output(StrEnum):
    """Forms of what a command prints."""

    TABLE = "table"
    JSON = "json"


def only_port(**given: int | None) -> tuple[str, int] | None:
    """Protocol and port of the one that was given, if any; CliError for several."""
    chosen = [(name, port) for name, port in given.items() if port is not None]
    if len(chosen) > 1:
        raise CliError(f"--{' and --'.join(name for name, _ in chosen)} exclude each other: give one")
    return chosen[0] if chosen else None


def located(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `Where` added to its own; it takes them as one first argument."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    nowhere = Where()
    panel = _PANEL | (_OWN_NAMESPACE if "namespace" in [each.name for each in own] else {})
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(nowhere, name), annotation=hint)
        for name, hint in panel.items()
    ]

    @wraps(command)
    def with_where(**given: Any) -> None:
        where = Where(**{name: given.pop(name) for name in _PANEL}, cluster=OF_KUBECTL.get())
        command(where, **given)

    parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *added]
    del with_where.__wrapped__  # else typer reads the signature below it
    with_where.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_where.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_where
