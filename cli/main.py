"""weftctl: looks into a Weft network, and runs labs.

Commands import what they need when they run, so that `--help` and completion answer at once.
"""

import sys
from typing import Annotated, Any

import typer
from typer.main import get_command

from cli.commands import lab
from cli.commands.check import check
from cli.commands.cleanup import cleanup
from cli.commands.cni import cni
from cli.commands.explain import explain
from cli.commands.flows import flows
from cli.commands.nodes import nodes
from cli.commands.pods import pods
from cli.commands.policy import policy
from cli.commands.reach import reach
from cli.commands.support_bundle import support_bundle
from cli.commands.trace import trace
from cli.errors import CliError
from cli.where import OF_KUBECTL

ERROR = 2
PROG, PLUGIN = "weftctl", "kubectl weft"
_PLUGIN_HELP = """Look into the Weft network of a cluster: flows, nodes, pods, paths, policies and CNI requests, by
name. Look for what is wrong with it.

The cluster is that of kubectl's current context. Its nodes are asked in the pods of their agents, which needs the
right to list pods in Weft's namespace and to execute in them (pods/exec).
"""

app = typer.Typer(
    name="weftctl",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (check, cleanup, cni, explain, flows, nodes, pods, policy, reach, support_bundle, trace):
    app.command()(command)
app.add_typer(lab.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"weftctl {version('weft')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Look into a Weft network: flows, nodes, pods, paths, policies and CNI requests, by name. Look for what is wrong
    with it. Run whole clusters on this machine.

    Commands look at the lab that is up, at one node whose Open vSwitch is given by --rundir, or, with --kubeconfig
    or --context, at the nodes of a cluster.
    """


def main() -> None:
    """The console script `weftctl`. Exit status: the command's own, 2 for an error."""
    sys.exit(run(sys.argv[1:]))


def plugin() -> None:
    """The console script `kubectl-weft`, which kubectl runs for `kubectl weft`: the same, about a cluster."""
    OF_KUBECTL.set(True)
    sys.exit(run(sys.argv[1:], PLUGIN))


def run(arguments: list[str], prog: str = PROG) -> int:
    """Run one command line of a program of that name; its exit status."""
    command = get_command(app)
    if prog != PROG:
        _rename(command, prog)
        command.help = _PLUGIN_HELP
    try:
        command(arguments, prog_name=prog)
    except SystemExit as e:  # how typer ends, always
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except CliError as e:
        print(f"{prog}: {str(e).replace(f'{PROG} ', f'{prog} ')}", file=sys.stderr)
        return ERROR
    return 0


def _rename(command: Any, prog: str) -> None:
    """Have the help speak of the program by its name. Labs are not kubectl's business."""
    if command.help:
        command.help = command.help.replace(f"{PROG} ", f"{prog} ")
    below = getattr(command, "commands", {})
    below.pop("lab", None)
    for each in below.values():
        _rename(each, prog)


if __name__ == "__main__":
    main()
