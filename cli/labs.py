"""What the lab commands do. The lab's own errors become sentences for whoever typed the command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli import console, labview
from cli.errors import CliError
from cli.labview import Objects
from cli.layout import heading, table
from lab import interrupts, pods
from lab.access import AccessError
from lab.bringup import BringUpError
from lab.cleanup import SweepError, sweep
from lab.client import ApiClientError, ManifestError
from lab.cluster import ClusterError
from lab.config import LabConfig, LabConfigError
from lab.lab import Lab, LabError, require_down
from lab.names import Datapath, Family, LabNameError
from lab.netns import NetnsError
from lab.node import NodeError
from lab.process import ProcessError
from lab.reachability import require_http
from node_agent.netns import NotANamespace

_NO_SUCH_PROGRAM, _NOT_EXECUTABLE = 127, 126
"""Exit statuses of a shell for a command that cannot be run (POSIX, Shell Command Language, 2.8.2)."""


_TROUBLE = (
    LabError, LabConfigError, LabNameError, BringUpError, SweepError, NodeError, ProcessError, ApiClientError,
    ManifestError, NetnsError, NotANamespace, AccessError, ClusterError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """A lab as asked for on the command line; `kubeconfig` is "" for one that plays Kubernetes itself."""

    name: str
    nodes: int
    tunnel: str
    family: str
    datapath: str
    kubeconfig: str = ""
    controllers: int = 1
    placement: str = "central"

    def __str__(self) -> str:
        kind = f"{self.tunnel}, {self.family}, {self.datapath} datapath"
        where = f", in the cluster of {self.kubeconfig}" if self.kubeconfig else ""
        return f"{self.name!r}: {_count(self.nodes)}, {kind}{where}"

    def config(self) -> LabConfig:
        """The same for the lab itself."""
        return LabConfig(
            name=self.name,
            nodes=self.nodes,
            controllers=self.controllers,
            placement=self.placement,
            tunnel=self.tunnel,
            family=Family(self.family),
            datapath=Datapath(self.datapath),
            kubeconfig=str(Path(self.kubeconfig).absolute()) if self.kubeconfig else "",
        )


@dataclass(frozen=True, slots=True)
class Get:
    """What `lab get` is to print, of which namespace ("" for all), and in which form."""

    kind: str
    namespace: str
    output: str


@contextmanager
def told() -> Iterator[None]:
    """Errors of the lab as CliError."""
    try:
        yield
    except _TROUBLE as e:
        # One line: a YAML parser, for one, explains itself over several.
        text = str(e) if isinstance(e, LabError | BringUpError) else " ".join(str(e).split())
        raise CliError(text) from e
    except PermissionError as e:
        raise CliError(f"labs are made of namespaces and need root: {e}") from e


def bring_up(plan: Plan, timeout: float) -> None:
    """Build a lab and wait for its nodes; a lab whose nodes do not get ready stays, to be looked at."""
    config = plan.config()
    start = time.monotonic()

    def progress(text: str) -> None:
        console.say(f"{time.monotonic() - start:5.1f} s  {text}")

    with told(), interrupts.interrupted_once():
        config.check()
        progress(f"building lab {plan}")
        require_down(config.name)
        try:
            lab = Lab.up(config)
            progress(f"switches, controller and agents are started; the API is {lab.api.server}")
            _wait_ready(lab, timeout)
        except KeyboardInterrupt:
            progress("interrupted: removing what was built")
            sweep(config.name)
            raise
        progress(f"{_count(plan.nodes)} ready")


def _wait_ready(lab: Lab, timeout: float) -> None:
    try:
        lab.wait_ready(timeout)
    except LabError as e:
        status = f"`weftctl lab status --name {lab.config.name}`"
        raise LabError(f"{e}\nit stays up: {status} shows more, `weftctl lab down` removes it") from e


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def take_down(name: str) -> None:
    """Remove everything of a lab, however it ended."""
    with told():
        swept = sweep(name)
    if not (swept.files or swept.processes or swept.namespaces):
        console.say(f"there is no lab {name!r}: nothing to remove")
        return
    console.say(f"removed lab {name!r}: {swept.processes} processes, {swept.namespaces} namespaces")


def show_status(name: str) -> bool:
    """Write the state of a lab; whether all of it is well."""
    with told():
        status = Lab.open(name).status()
    console.write([heading(labview.summary(status), "bold").pieces, ()])
    console.write(table(labview.process_columns(), labview.process_rows(status), console.width()))
    return status.healthy


def apply_file(name: str, file: str, wait: float | None) -> None:
    """Apply a file's objects; `wait` for the pods, in seconds, None not to."""
    path = Path("/dev/stdin" if file == "-" else file)
    with told():
        lab = Lab.open(name)
        try:
            stored = lab.apply(path)
        except OSError as e:
            raise CliError(f"cannot read {file}: {e.strerror}") from e
        for obj in stored:
            meta = obj["metadata"]
            key = "/".join(filter(None, (meta.get("namespace"), meta["name"])))
            print(f"{obj['kind'].lower()} {key} applied")
        if wait is not None:
            lab.wait_pods(wait, stored)
            console.say(f"all {len(lab.own_pods())} pods are ready")


def show_objects(name: str, get: Get) -> None:
    """Write pods or nodes as a table, or as a JSON List."""
    kind = labview.kind_of(get.kind)
    if kind is None:
        raise CliError(
            f"cannot show {get.kind!r}: give pods or nodes; for anything else there is "
            f"`kubectl --kubeconfig $(weftctl lab kubeconfig --name {name}) get {get.kind}`"
        )
    with told():
        lab = Lab.open(name)
        found = lab.pods() if kind == "pods" else lab.nodes()
    items = [obj for obj in found if get.namespace in ("", obj["metadata"].get("namespace"))]
    if get.output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))
        return
    if not items:
        console.say(f"no {kind}{f' in namespace {get.namespace}' if get.namespace else ''}")
        return
    objects = Objects(kind, items, wide=get.output == "wide")
    console.write(table(objects.columns(), objects.rows(datetime.now(UTC)), console.width()))


def run_in_pod(name: str, pod: str, command: list[str]) -> int:
    """Run a command in a pod's network, on this terminal; its exit status."""
    sys.stdout.flush()
    with told():
        lab = Lab.open(name)
        space = lab.pod_namespace(pod)
    try:
        status = pods.run_in_pod(name, space, command)
    except FileNotFoundError:
        console.say(f"weftctl: there is no program {command[0]!r} on this machine")
        return _NO_SUCH_PROGRAM
    except PermissionError:
        console.say(f"weftctl: {command[0]!r} may not be executed")
        return _NOT_EXECUTABLE
    # As a shell tells that a signal ended it.
    return 128 - status if status < 0 else status


def show_reach(name: str, timeout: float, *, http: bool = False) -> bool:
    """Measure and write who reaches whom; whether everybody reaches everybody. With `http`, a pod must serve it."""
    with told():
        cells = Lab.open(name).reachability(timeout=timeout)
    cells = require_http(cells) if http else cells
    if not cells:
        raise CliError(f"lab {name!r} has fewer than two running pods: `weftctl lab apply -f examples/demo.yaml`")
    console.write(table(labview.reach_columns(cells), labview.reach_rows(cells), console.width()))
    console.write([(), heading(labview.legend(cells), "dim").pieces])
    for failure in labview.reach_failures(cells):
        console.write([heading(failure, "red").pieces])
    works = all(cell.ok for cell in cells)
    console.write([heading(labview.reach_summary(cells), "bold green" if works else "bold red").pieces])
    return works


def kubeconfig_of(name: str) -> Path:
    """The path of a lab's kubeconfig; CliError when there is no such lab."""
    with told():
        return Lab.open(name).paths.kubeconfig
