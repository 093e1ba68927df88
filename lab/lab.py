"""A whole Weft cluster on this machine, as one object: what `weftctl lab` and the tests drive.

    with Lab.up(LabConfig(name="test")) as lab:
        lab.wait_ready()
        lab.apply(Path("examples/demo.yaml"))

A lab outlives the process that started it; `Lab.open` finds it again.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from lab import cluster, names, netns, process, reachability
from lab.bringup import DAEMON, bring_up, log_tail, wait_for_api
from lab.cleanup import Swept, sweep
from lab.client import ApiClient, ApiClientError, load_manifests
from lab.config import LabConfig, LabState, read_state, write_state
from lab.netexec import Netexec
from lab.pods import ContainerError, capture_in_pod, container, run_in_pod
from lab.process import Processes
from lab.reachability import Cell, Endpoint

Obj = dict[str, Any]

_PODS, _NODES = "/api/v1/pods", "/api/v1/nodes"
_POLL_SECONDS = 0.1


class LabError(RuntimeError):
    """The lab is not there, or not as asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of the lab; `pid` and `rss_kib` (resident memory, KiB) are 0 when it does not run."""

    name: str
    pid: int
    rss_kib: int
    log: str

    @property
    def running(self) -> bool:
        return self.pid > 0


@dataclass(frozen=True, slots=True)
class LabStatus:
    """`ready_nodes` and `ready_pods` count; pods are those on the lab's nodes. `api` is the API's URL."""

    config: LabConfig
    api: str
    processes: tuple[ProcessStatus, ...]
    ready_nodes: int
    pods: int
    ready_pods: int

    @property
    def healthy(self) -> bool:
        return self.ready_nodes == self.config.nodes and all(each.running for each in self.processes)


class Lab:
    """A lab that exists. Make one with `up`, find one with `open`."""

    def __init__(self, config: LabConfig) -> None:
        self.config = config
        self.paths = config.paths
        self.processes = Processes(config.paths)
        self.api = ApiClient(wait_for_api(config, self.processes))

    @classmethod
    def up(cls, config: LabConfig, *, replace: bool = False) -> Self:
        """Build and start a lab; returns when its API answers (`wait_ready` waits for the rest).

        Leftovers of a lab of this name that never came up whole, or died, are removed first; a lab that
        runs is only with `replace`, else LabError. Whatever goes wrong, ctrl-C included, nothing is left. Raises
        ClusterError or AccessError when the cluster of its kubeconfig cannot be joined.
        """
        config.check()
        if not replace:
            require_down(config.name)
        sweep(config.name)
        try:
            if config.kubeconfig:
                # Before there is a state, which says that there may be Nodes to remove.
                cluster.join(config)
            state = LabState(config, owner=secrets.token_hex(4) if config.kubeconfig else "")
            write_state(state)
            bring_up(config)
            write_state(msgspec.structs.replace(state, complete=True))
            return cls(config)
        except BaseException:
            sweep(config.name)
            raise

    @classmethod
    def open(cls, name: str = "lab") -> Self:
        """The lab `name`, if it is up; LabError if not."""
        state = read_state(name)
        if state is None:
            raise LabError(f"there is no lab {name!r}: `weftctl lab up` makes one")
        if not _runs(name):
            raise LabError(f"lab {name} is broken, its API is gone: `weftctl lab down`, then `weftctl lab up`")
        return cls(state.config)

    def down(self) -> Swept:
        """Remove everything of the lab."""
        return sweep(self.config.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.down()

    def apply(self, what: Path | Sequence[Obj]) -> list[Obj]:
        """Apply the manifests of a file, or objects, in order; returns them as the API stored them.

        In a cluster that the lab has joined, their pods are made to run on the lab's nodes: see `cluster.for_guests`.
        """
        objects = load_manifests(what) if isinstance(what, Path) else what
        if self.config.kubeconfig:
            objects = [cluster.for_guests(obj, self.config.name) for obj in objects]
        return self.api.apply(objects)

    def delete(self, what: Path | Sequence[Obj]) -> None:
        """Delete the same; what is not there is fine. Pods take a moment to go: see `wait_until`."""
        self.api.delete(load_manifests(what) if isinstance(what, Path) else what)

    def pods(self) -> list[Obj]:
        """The Pod objects of all namespaces."""
        return self.api.items(_PODS)

    def nodes(self) -> list[Obj]:
        """The Node objects."""
        return self.api.items(_NODES)

    def ready_nodes(self) -> list[str]:
        """The names of the lab's own nodes that are Ready, sorted."""
        ready = {_name(node) for node in self.nodes() if _is_true(node, "Ready")}
        return sorted(ready & self._node_names())

    def own_pods(self) -> list[Obj]:
        """The Pod objects that are the lab's: those on its nodes, where it has joined a cluster, and else all."""
        return [pod for pod in self.pods() if self._is_own(pod)]

    def _is_own(self, pod: Obj) -> bool:
        return not self.config.kubeconfig or pod["spec"].get("nodeName") in self._node_names()

    def _node_names(self) -> set[str]:
        return {node.name for node in self.config.node_configs()}

    def pod(self, key: str) -> Obj:
        """The Pod `<namespace>/<name>`, or `<name>` in `default`; ApiClientError when there is none."""
        namespace, _, name = key.rpartition("/")
        return self.api.request("GET", f"/api/v1/namespaces/{namespace or 'default'}/pods/{name}")

    def pod_namespace(self, key: str) -> Path:
        """The network namespace that the pod `key` runs in; LabError while it has none."""
        pod = self.pod(key)
        node = pod["spec"].get("nodeName")
        if node and node not in self._node_names():
            raise LabError(f"pod {key} is on {node}, which is not a node of lab {self.config.name}")
        return _namespace_of(self.config.name, pod)

    def exec(self, key: str, argv: Sequence[str]) -> int:
        """Run a command in a pod's network, on the caller's terminal; its exit status."""
        return run_in_pod(self.config.name, self.pod_namespace(key), argv)

    def capture(self, key: str, argv: Sequence[str], timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """The same with its output; subprocess.TimeoutExpired after `timeout` seconds."""
        return capture_in_pod(self.config.name, self.pod_namespace(key), argv, timeout)

    def status(self) -> LabStatus:
        pods = self.own_pods()
        return LabStatus(
            config=self.config,
            api=self.api.server,
            processes=tuple(_process_status(record) for record in self.processes.records()),
            ready_nodes=len(self.ready_nodes()),
            pods=len(pods),
            ready_pods=sum(_is_true(pod, "Ready") for pod in pods),
        )

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when every node is Ready; LabError after `timeout` seconds, or when a process has died."""
        self.wait_until(lambda: sorted(self._node_names() - set(self.ready_nodes())), "nodes", timeout)

    def wait_pods(self, timeout: float = 60.0, applied: Iterable[Obj] = ()) -> None:
        """Return when every pod of the lab is Ready or has completed; LabError as `wait_ready`.

        Pods among the `applied` objects are waited for also while they are on no node.
        """
        keys = {_name(obj) for obj in applied if obj["kind"] == "Pod"}

        def missing() -> list[str]:
            pods = [pod for pod in self.pods() if self._is_own(pod) or _name(pod) in keys]
            return [_name(pod) for pod in pods if not _is_settled(pod)]

        self.wait_until(missing, "pods", timeout)

    def wait_until(self, missing: Callable[[], Sequence[str]], what: str, timeout: float) -> None:
        """Return when `missing()` is empty; LabError naming what is missing, or the log of what has died.

        A process that was killed with `kill` may stay dead.
        """
        deadline = time.monotonic() + timeout
        while names_missing := _asked(missing):
            if died := self.processes.died():
                raise LabError(f"{died[0]} has died:\n{log_tail(self.processes, died[0])}")
            if time.monotonic() > deadline:
                raise LabError(f"{what} not ready after {timeout:g} s: {', '.join(names_missing)}")
            time.sleep(_POLL_SECONDS)

    def kill(self, name: str, signum: signal.Signals = signal.SIGKILL) -> None:
        """End one process of the lab and wait until it is gone: CONTROLLER, agent("node1"), vswitchd("node1")."""
        self.processes.stop(name, signum)

    def start(self, name: str) -> int:
        """Start a process that was killed, as it was started before; its pid."""
        return self.processes.start_again(name)

    def reachability(self, pods: Sequence[Obj] | None = None, timeout: float = 2.0) -> tuple[Cell, ...]:
        """Ping and HTTP between every two pods (default: all that run), over each family; see `reachability`."""
        chosen = self.own_pods() if pods is None else pods
        running = [pod for pod in chosen if pod.get("status", {}).get("phase") == "Running"]
        return reachability.measure([endpoint(self.config.name, pod) for pod in running], timeout)


def _asked(missing: Callable[[], Sequence[str]]) -> Sequence[str]:
    try:
        return missing()
    except ApiClientError as e:
        if e.code:
            raise
        return [str(e)]  # No answer at all: the caller finds out whether the API has died.


def endpoint(lab: str, pod: Obj) -> Endpoint:
    """A pod as the reachability table sees it."""
    ips = tuple(ip_address(entry["ip"]) for entry in pod["status"].get("podIPs", ()))
    on_host = pod["spec"].get("hostNetwork")
    hostname = pod["spec"]["nodeName"] if on_host else pod["spec"].get("hostname") or pod["metadata"]["name"]
    return Endpoint(_name(pod), _namespace_of(lab, pod), ips, hostname, _http_port(pod))


def _http_port(pod: Obj) -> int | None:
    for spec in pod["spec"]["containers"]:
        try:
            workload = container(spec).workload
        except ContainerError:
            continue
        if isinstance(workload, Netexec):
            return workload.http_port
    return None


def _namespace_of(lab: str, pod: Obj) -> Path:
    node = pod["spec"].get("nodeName")
    if not node:
        raise LabError(f"pod {_name(pod)} has no node yet")
    if pod["spec"].get("hostNetwork"):
        return netns.path_of(names.node_namespace(lab, node))
    path = netns.path_of(names.pod_namespace(lab, node, _name(pod)))
    if not path.exists():
        raise LabError(f"pod {_name(pod)} has no network yet: `kubectl describe pod` says why")
    return path


def require_down(name: str) -> None:
    """Raise LabError when the lab `name` runs; leftovers of one that does not are no hindrance."""
    if _runs(name):
        raise LabError(f"lab {name} is up already: `weftctl lab down` ends it")


def _runs(lab: str) -> bool:
    """Whether the lab came up whole and its API still runs."""
    state = read_state(lab)
    return state is not None and state.complete and Processes(state.config.paths).running(DAEMON)


def _process_status(record: process.Record) -> ProcessStatus:
    running = process.is_running(record)
    rss = process.resident_kib(record.pid) if running else 0
    return ProcessStatus(record.spec.name, record.pid if running else 0, rss, record.spec.log)


def _is_true(obj: Obj, condition: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def _is_settled(pod: Obj) -> bool:
    return _is_true(pod, "Ready") or (pod.get("status") or {}).get("phase") == "Succeeded"


def _name(obj: Obj) -> str:
    namespace = obj["metadata"].get("namespace")
    return f"{namespace}/{obj['metadata']['name']}" if namespace else str(obj["metadata"]["name"])
