"""Taking Weft off a cluster's nodes, or off this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cli.console import say
from cli.errors import CliError

NAME = "weft-cleanup"
LEASE = "weft-controller"
_ANNOTATIONS = "weft.dev/"
_POLL_SECONDS = 0.5
_ROOT = "/host"
_LABELS = {"app.kubernetes.io/name": NAME}

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What was asked for; see `weftctl cleanup --help`."""

    root: str
    cni_bin_dir: str
    cni_conf_dir: str
    kubeconfig: str
    context: str
    namespace: str
    image: str
    timeout: float


def cleanup_node(asked: Cleanup) -> int:
    """Clean this machine and say what went; exit status. Raises CliError."""
    from node_agent import removal
    from node_agent.nft import NftError
    from node_agent.nlmsg import NetlinkError

    places = removal.Places(Path(asked.root), Path(asked.cni_bin_dir), Path(asked.cni_conf_dir))
    try:
        done = list(_told(removal.remove(places)))
    except (removal.RemovalError, NetlinkError, NftError, OSError) as e:
        raise CliError(str(e)) from e
    if not done:
        print("nothing of Weft is on this machine")
    return 0


def _told(removed: Iterator[str]) -> Iterator[str]:
    for each in removed:
        print(f"removed {each}", flush=True)
        yield each


def cleanup_cluster(asked: Cleanup) -> int:
    """Clean every node, then the cluster; exit status. Raises CliError."""
    with _api(asked) as api:
        api.refuse_while_installed()
        late = api.clean_nodes()
        api.clean_objects()
    for node, why in sorted(late.items()):
        say(f"weftctl: {node} is not clean after {asked.timeout:.0f} s: {why}")
    return 1 if late else 0


@contextmanager
def _api(asked: Cleanup) -> Iterator[_Cluster]:
    """The cluster that was meant; what it refuses is a CliError."""
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        apis = client.CoreV1Api, client.AppsV1Api, client.CoordinationV1Api
    except (ImportError, AttributeError) as e:
        raise CliError("in Weft's images weftctl can clean --this-node only; run this where you run kubectl") from e
    try:
        config.load_kube_config(asked.kubeconfig or None, asked.context or None)
        yield _Cluster(asked, *(api() for api in apis))
    except ConfigException as e:
        raise CliError(f"kubeconfig: {e}") from e
    except ApiException as e:
        raise CliError(f"the API server refused: {e.status} {e.reason}: {e.body}") from e
    except HTTPError as e:
        raise CliError(f"the API server does not answer: {e}") from e


class _Cluster:
    """`core`, `apps` and `leases` are the official client's."""

    def __init__(self, asked: Cleanup, core: Any, apps: Any, leases: Any) -> None:
        self._asked = asked
        self._core, self._apps, self._leases = core, apps, leases

    def refuse_while_installed(self) -> None:
        """An agent that runs would put everything back."""
        space = self._asked.namespace
        found = self._apps.list_namespaced_daemon_set(space, field_selector="metadata.name=weft-agent")
        if found.items:
            raise CliError(f"Weft is still installed in {space}: first run `helm uninstall weft -n {space}`")

    def clean_nodes(self) -> dict[str, str]:
        """Have every node cleaned; those that were not in time, with the reason."""
        self._delete_daemon_set()
        self._apps.create_namespaced_daemon_set(self._asked.namespace, daemon_set(self._asked))
        try:
            return self._wait()
        finally:
            self._delete_daemon_set()

    def clean_objects(self) -> None:
        """Annotations of Nodes, and the Lease that the controllers made."""
        for node in self._core.list_node().items:
            mine = {key: None for key in node.metadata.annotations or {} if key.startswith(_ANNOTATIONS)}
            if mine:
                self._core.patch_node(node.metadata.name, {"metadata": {"annotations": mine}})
        found = self._leases.list_namespaced_lease(self._asked.namespace, field_selector=f"metadata.name={LEASE}")
        for lease in found.items:
            self._leases.delete_namespaced_lease(lease.metadata.name, self._asked.namespace)

    def _wait(self) -> dict[str, str]:
        deadline = time.monotonic() + self._asked.timeout
        clean: set[str] = set()
        while True:
            wanted = {node.metadata.name for node in self._core.list_node().items}
            pods = {pod.spec.node_name: pod for pod in self._pods() if pod.spec.node_name}
            for node in sorted(wanted & pods.keys() - clean):
                if _is_ready(pods[node]):
                    clean.add(node)
                    for line in self._said(pods[node]).splitlines():
                        print(f"{node}: {line}", flush=True)
            if not wanted - clean:
                return {}
            if time.monotonic() > deadline:
                return {node: self._why(pods.get(node)) for node in wanted - clean}
            time.sleep(_POLL_SECONDS)

    def _why(self, pod: Any) -> str:
        if pod is None:
            return "it got no pod"
        said = self._said(pod).splitlines()
        return said[-1] if said else f"its pod is {pod.status.phase}"

    def _said(self, pod: Any) -> str:
        """What the pod printed; "" while it has printed nothing."""
        from kubernetes.client.exceptions import ApiException

        try:
            said = self._core.read_namespaced_pod_log(pod.metadata.name, self._asked.namespace, container=NAME)
        except ApiException:
            return ""
        return str(said).strip()

    def _pods(self) -> list[Any]:
        selector = ",".join(f"{key}={value}" for key, value in _LABELS.items())
        return list(self._core.list_namespaced_pod(self._asked.namespace, label_selector=selector).items)

    def _delete_daemon_set(self) -> None:
        """Twice equals once; returns when it and its pods are gone."""
        found = self._apps.list_namespaced_daemon_set(self._asked.namespace, field_selector=f"metadata.name={NAME}")
        if found.items:
            self._apps.delete_namespaced_daemon_set(NAME, self._asked.namespace, propagation_policy="Foreground")
        deadline = time.monotonic() + self._asked.timeout
        while self._pods() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def daemon_set(asked: Cleanup) -> Obj:
    """A pod on every node that cleans it, and then waits to be deleted: it is ready when the node is clean."""
    command = [
        "weftctl", "cleanup", "--this-node", f"--root={_ROOT}", f"--cni-bin-dir={asked.cni_bin_dir}",
        f"--cni-conf-dir={asked.cni_conf_dir}",
    ]  # fmt: skip
    image = {"image": asked.image or f"weft/agent:{version('weft')}", "imagePullPolicy": "IfNotPresent"}
    # The node's directories are root's, and so are its devices.
    context = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "DAC_OVERRIDE", "FOWNER"]}}
    clean = {
        "name": NAME,
        **image,
        "command": command,
        "securityContext": context,
        "volumeMounts": [{"name": "host", "mountPath": _ROOT, "mountPropagation": "HostToContainer"}],
    }
    wait = {"name": "clean", **image, "command": ["sleep", "infinity"], "securityContext": {"runAsUser": 65532}}
    spec = {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "initContainers": [clean],
        "containers": [wait],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": asked.namespace, "labels": _LABELS},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": spec},
        },
    }


def _is_ready(pod: Any) -> bool:
    conditions: Mapping[str, str] = {each.type: each.status for each in pod.status.conditions or ()}
    return conditions.get("Ready") == "True"
