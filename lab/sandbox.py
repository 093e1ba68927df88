"""Makes and removes the network of one pod: its namespace, and what the CNI plugins put into it.

This is the part of a container runtime between the kubelet and libcni, as containerd has it: a failed ADD is
followed by one DEL, and nothing of the pod is left.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import names, netns, status
from lab.node import NodeConfig
from lab.pods import Sandbox, log_directory
from lab.runtime import Attachment, Runtime, RuntimeFailure, load_conflist, pod_attachment

Obj = dict[str, Any]


class SandboxError(RuntimeError):
    """A pod has no network; nothing is left of the attempt. The message is for the pod's Event."""


@dataclass(frozen=True, slots=True)
class PodBox:
    """A pod with its network. `attachment` is None for a pod in its node's network; `add_ms` likewise."""

    uid: str
    sandbox: Sandbox
    ips: tuple[str, ...]
    attachment: Attachment | None = None
    add_ms: float | None = None


def cni_runtime(node: NodeConfig) -> Runtime:
    """The runtime of one node: the installed executable and configuration, the node's own agent socket."""
    return Runtime(
        conflist=load_conflist(node.paths.cni_conf),
        bin_dirs=(node.lab_paths.relay.parent,),
        cache_dir=node.paths.cni_cache,
        env={"WEFT_CNI_SOCKET": str(node.paths.cni_socket)},
    )


class Sandboxes:
    """Makes the sandboxes of one node. Holds no state, so any number of threads may use it."""

    def __init__(self, node: NodeConfig, runtime: Runtime) -> None:
        self._node = node
        self._runtime = runtime

    def create(self, pod: Obj) -> PodBox:
        """Give a pod its network; raises SandboxError with the plugin's own words."""
        if pod["spec"].get("hostNetwork"):
            sandbox = self._sandbox(pod, self._node.namespace)
            return PodBox(pod["metadata"]["uid"], sandbox, status.node_ips(self._node.number, self._node.family))
        with ExitStack() as undo:
            box = self._attach(pod, undo)
            undo.pop_all()
            return box

    def remove(self, box: PodBox) -> None:
        """Take the network away again; SandboxError when the plugin refuses, and then it can be tried again."""
        if box.attachment is None:
            return
        try:
            self._in_node(lambda: self._delete(box.attachment))
        except RuntimeFailure as e:
            raise SandboxError(f"CNI DEL: {e} (code {e.code})") from e
        netns.remove(box.sandbox.namespace.name)

    def _attach(self, pod: Obj, undo: ExitStack) -> PodBox:
        meta = pod["metadata"]
        name = names.pod_namespace(self._node.lab, self._node.name, status.key_of(pod))
        netns.remove(name)
        namespace = netns.create(name)
        undo.callback(netns.remove, name)
        attachment = pod_attachment(
            secrets.token_hex(32), str(namespace), (meta["namespace"], meta["name"], meta["uid"])
        )
        start = time.perf_counter()
        try:
            result = self._in_node(lambda: self._runtime.add(attachment))
        except RuntimeFailure as e:
            self._forget(attachment)
            raise SandboxError(f"CNI ADD: {e} (code {e.code})") from e
        took = (time.perf_counter() - start) * 1000
        undo.callback(self._forget, attachment)
        return PodBox(meta["uid"], self._sandbox(pod, namespace), addresses(result), attachment, took)

    def _forget(self, attachment: Attachment) -> None:
        """The one DEL after a failed ADD. Its own failure says nothing that the ADD's did not."""
        try:
            self._in_node(lambda: self._delete(attachment))
        except RuntimeFailure:
            return

    def _delete(self, attachment: Attachment | None) -> None:
        if attachment is not None:
            self._runtime.delete(attachment)

    def _in_node(self, work: Callable[[], Any]) -> Any:
        """Plugins run in the node's network, as on a real host."""
        return netns.run_in(self._node.namespace, work)

    def _sandbox(self, pod: Obj, namespace: Path) -> Sandbox:
        host = pod["spec"].get("hostNetwork")
        hostname = self._node.name if host else pod["spec"].get("hostname") or pod["metadata"]["name"]
        key = status.key_of(pod)
        return Sandbox(key, hostname, namespace, log_directory(self._node.paths.log, key))


def addresses(result: Obj) -> tuple[str, ...]:
    """The pod's addresses from a CNI result (SPEC, "Success"), IPv4 first as containerd has it.

    Raises SandboxError when there is none: containerd fails such a pod too.
    """
    found = [entry["address"].partition("/")[0] for entry in result.get("ips", ())]
    if not found:
        raise SandboxError("CNI ADD: the result has no addresses")
    return tuple(sorted(found, key=lambda address: ":" in address))
