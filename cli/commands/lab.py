"""weftctl lab: whole clusters on this machine."""

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(
    name="lab",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run whole Weft clusters on this machine.\n\n"
    "Switches, agents and controller are the real ones, in network namespaces; only Kubernetes is played, and "
    "with `up --kubeconfig` not even that. Needs root.",
)

Name = Annotated[str, typer.Option(metavar="NAME", help="Which lab. Several may be up side by side.")]
Seconds = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for it.")]


class Tunnel(StrEnum):
    """Encapsulation between nodes."""

    GENEVE = "geneve"
    VXLAN = "vxlan"


class Families(StrEnum):
    """Address families of nodes and pods."""

    DUAL = "dual"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Datapath(StrEnum):
    """What forwards the packets."""

    USERSPACE = "userspace"
    KERNEL = "kernel"


class Placement(StrEnum):
    """Where a lab's controllers are."""

    CENTRAL = "central"
    NODE = "node"


class Output(StrEnum):
    """Forms of `lab get`."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


@app.command()
def up(
    nodes: Annotated[int, typer.Option(metavar="N", help="How many nodes, 1 to 20.")] = 2,
    tunnel: Annotated[Tunnel, typer.Option(help="Encapsulation between the nodes.")] = Tunnel.GENEVE,
    family: Annotated[Families, typer.Option(help="Address families of nodes and pods.")] = Families.DUAL,
    datapath: Annotated[
        Datapath,
        typer.Option(
            help="What forwards packets: ovs-vswitchd itself, which works on any machine, or the Linux kernel, whose "
            "module openvswitch must be loaded."
        ),
    ] = Datapath.USERSPACE,
    cluster: Annotated[
        str,
        typer.Option("--kubeconfig", metavar="FILE", help="Join this cluster, instead of playing Kubernetes."),
    ] = "",
    controllers: Annotated[
        int, typer.Option(metavar="N", help="How many controllers, 1 to 3: one is active, the others stand by.")
    ] = 1,
    placement: Annotated[
        Placement, typer.Option(help="Controllers for all nodes (central), or one beside each agent (node).")
    ] = Placement.CENTRAL,
    name: Name = "lab",
    timeout: Seconds = 60.0,
) -> None:
    """Build a cluster and wait until its nodes are ready.

    Whatever a lab of this name has left behind is removed first; one that runs is not touched.

    The nodes attach pods as kubelet and container runtime do, but make no requests of a pod's hostPort or of its
    bandwidth annotations, and read their CNI list once, when they start.

    With --kubeconfig the lab's nodes become Nodes of a cluster that is there already, until `lab down`. Which pods
    they run is then that cluster's business: its scheduler binds them, and where it has none a pod must say its
    nodeName. The Nodes have the taint lab.weft.dev/name=NAME:NoSchedule, so that the cluster's own pods stay away;
    `lab apply` lets the pods of its file tolerate it. The kubeconfig must hold a certificate or a token.
    """
    from cli.labs import Plan, bring_up

    plan = Plan(name, nodes, tunnel.value, family.value, datapath.value, cluster, controllers, placement.value)
    bring_up(plan, timeout)


@app.command()
def down(name: Name = "lab") -> None:
    """Remove a lab: its processes, namespaces and files. Removing none succeeds.

    One that has joined a cluster also takes its Nodes, and the pods on them, out of it.
    """
    from cli.labs import take_down

    take_down(name)


@app.command()
def status(name: Name = "lab") -> None:
    """Show a lab's nodes, pods and processes. Exit status 1 when something of it is not well."""
    from cli.labs import show_status

    if not show_status(name):
        raise typer.Exit(1)


@app.command()
def apply(
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON; - reads standard input.")],
    name: Name = "lab",
    wait: Annotated[bool, typer.Option("--wait", help="Return when every pod is ready.")] = False,
    timeout: Seconds = 60.0,
) -> None:
    """Create or update the objects of a file, as kubectl apply does.

    Where the lab has joined a cluster (`lab up --kubeconfig`), pods of the file that say no nodeName also get what
    makes them run on the lab's Nodes: a nodeSelector for their label lab.weft.dev/name, a toleration for their taint.
    """
    from cli.labs import apply_file

    apply_file(name, file, timeout if wait else None)


@app.command()
def get(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="pods or nodes.")],
    name: Name = "lab",
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NS", help="Only this namespace.")] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="What to print.")] = Output.TABLE,
) -> None:
    """Show pods or nodes, as kubectl does."""
    from cli.labs import Get, show_objects

    show_objects(name, Get(kind, namespace, output.value))


@app.command("exec")
def exec_(
    pod: Annotated[str, typer.Argument(metavar="POD", help="NS/POD, or POD in the namespace default.")],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD", help="The command and its arguments.")],
    name: Name = "lab",
) -> None:
    """Run a command in the network of a pod. The exit status is that of the command."""
    from cli.labs import run_in_pod

    raise typer.Exit(run_in_pod(name, pod, command))


@app.command()
def reach(name: Name = "lab", timeout: Seconds = 2.0) -> None:
    """Measure who reaches whom.

    From every pod to every other: ping and, where the other serves it, HTTP, over each address family.
    Exit status 1 when something does not reach.
    """
    from cli.labs import show_reach

    if not show_reach(name, timeout):
        raise typer.Exit(1)


@app.command()
def kubeconfig(name: Name = "lab") -> None:
    """Print the path of a lab's kubeconfig.

    As in: kubectl --kubeconfig $(weftctl lab kubeconfig) get pods -A
    """
    from cli.labs import kubeconfig_of

    print(kubeconfig_of(name))
