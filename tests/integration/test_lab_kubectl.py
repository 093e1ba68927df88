"""The embedded API as its users meet it: real kubectl, and the official Python client, on a real socket.

A scenario is a table of steps, each a kubectl command with what it must print. `WEFT_TEST_KUBECTL` names another
kubectl than the one on the PATH, to test with the release that a distribution ships.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from kubernetes.client.rest import ApiException

from lab.api.app import make_app
from lab.api.builtin import NODES, PODS
from lab.api.handle import LabApi
from lab.api.kubeconfig import kubeconfig
from lab.api.server import ApiServer, local_socket
from lab.api.store import DeleteOptions

KUBECTL = os.environ.get("WEFT_TEST_KUBECTL") or shutil.which("kubectl") or ""
WAIT = 30.0  # seconds; a bound on hanging, never the expected time
needs_kubectl = pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed (Debian: kubernetes-client)")

WORLD = """
apiVersion: v1
kind: Namespace
metadata: {name: demo, labels: {team: a}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: demo, labels: {app: web}}
spec:
  containers:
  - {name: c, image: one, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: demo, labels: {app: db}}
spec:
  containers: [{name: c, image: one}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guard, namespace: demo}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: demo}
data: {color: red}
"""
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.dev}
spec:
  group: example.dev
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wi]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
"""
WIDGET = """
apiVersion: example.dev/v1
kind: Widget
metadata: {name: w, namespace: default}
spec: {size: 3}
"""


@dataclass(frozen=True)
class Step:
    """A kubectl command line, a pattern its output must hold, the stdin it gets and how it must exit."""

    command: str
    prints: str = ""
    stdin: str = ""
    exits: int = 0


SCENARIOS: dict[str, list[Step]] = {
    "what there is": [
        Step("version", r"weft-lab"),
        Step("get --raw /readyz", "^ok"),
        Step("get namespaces", r"NAME +STATUS +AGE\n(.*\n)*kube-system +Active"),
        Step("get nodes", r"NAME +STATUS +ROLES +AGE +VERSION\nn1 +Ready +<none> +\d+s +v1.32-lab\n"),
        Step("get nodes -o wide", r"INTERNAL-IP.*\nn1 .* 192.0.2.1 "),
        Step("api-resources", r"networkpolicies +netpol +networking.k8s.io/v1 +true +NetworkPolicy"),
        Step("get pods", "No resources found"),
        Step("get frobs", "doesn't have a resource type", exits=1),
        Step("get pod none", r'\(NotFound\): pods "none" not found', exits=1),
    ],
    "apply creates, leaves alone, changes": [
        Step("apply -f -", r"namespace/demo created\npod/web created\npod/db created\nnetworkpolicy", WORLD),
        Step("apply -f -", r"namespace/demo unchanged\npod/web unchanged\npod/db unchanged\nnetworkpolicy", WORLD),
        Step("apply -f -", r"configmap/settings configured", WORLD.replace("red", "blue")),
        Step("apply -f -", r"pod/db configured", WORLD.replace("{app: db}", "{tier: db}")),
        Step("-n demo get cm settings -o jsonpath={.data.color}", "^red$"),
        Step("-n demo get pod db -o jsonpath={.metadata.labels}", r'^{"tier":"db"}$'),
        Step("apply -f -", "no matches for kind", "apiVersion: v1\nkind: Frob\nmetadata: {name: x}\n", exits=1),
        Step("apply -f -", "Invalid", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad}\n", exits=1),
    ],
    "server-side apply": [
        Step("apply --server-side -f -", r"namespace/demo serverside-applied\npod/web serverside-applied", WORLD),
        Step("apply --server-side -f -", r"pod/web serverside-applied", WORLD.replace("image: one", "image: two")),
        Step("-n demo get pod web -o jsonpath={.spec.containers[*].image}", "^two$"),
    ],
    "server dry run": [
        Step("apply -f -", "", WORLD),
        Step(
            "apply --dry-run=server -f -",
            r"pod/web configured \(server dry run",
            WORLD.replace("image: one", "image: two"),
        ),
        Step("-n demo delete pod web --dry-run=server", "server dry run"),
        Step("-n demo get pod web -o jsonpath={.spec.containers[*].image}", "^one$"),
    ],
    "selecting and printing": [
        Step("apply -f -", "", WORLD),
        Step("-n demo get pods", r"NAME +READY +STATUS +RESTARTS +AGE\ndb +0/1 +Pending +0 +\d+s\nweb +0/1 +Pending"),
        Step("-n demo get pods -o wide", r"IP +NODE\n.*\nweb .* <none> +n1"),
        Step("get pods -A", r"NAMESPACE +NAME .*\ndemo +db .*\ndemo +web "),
        Step("get pods -A -l app=web -o name", r"^pod/web\n$"),
        Step("get pods -A -l app!=web -o name", r"^pod/db\n$"),
        Step("get pods -A --field-selector spec.nodeName=n1,metadata.name=db -o name", r"^pod/db\n$"),
        Step("get pods -A --field-selector status.phase=Running -o name", r"^$"),
        Step("get pods -A --field-selector spec.color=red", "field label not supported: spec.color", exits=1),
        Step("-n demo get pod web -o yaml", r"(?s)apiVersion: v1\nkind: Pod\n.*nodeName: n1\n"),
        Step("-n demo get pods -o json", r'(?s)"kind": "List".*"name": "web"|"kind": "Pod"'),
        Step("-n demo get pods --chunk-size=1 -o name", r"^pod/db\npod/web\n$"),
        Step("-n demo get pods --sort-by=.metadata.uid", r"web"),
        Step("-n demo get pods -o custom-columns=N:.metadata.name", r"^N\ndb\nweb\n$"),
        Step("-n demo get all", r"pod/web"),
        Step("-n demo get netpol,cm", r"(?s)POD-SELECTOR.*guard +app=web.*DATA.*settings +1"),
        Step("-n demo describe pod web", r"(?s)Name: +web\n.*Node: +n1/.*Image: +one"),
        Step("describe node n1", r"(?s)InternalIP: +192.0.2.1.*Non-terminated Pods: +\(2 in total\)"),
    ],
    "changing": [
        Step("apply -f -", "", WORLD),
        Step("-n demo label pod web tier=front", "pod/web labeled"),
        Step("-n demo label pod web tier=back", "already has a value", exits=1),
        Step("-n demo label pod web tier-", r"pod/web (un)?labeled"),
        Step("annotate node n1 weft.dev/x=y", "node/n1 annotated"),
        Step("get node n1 -o jsonpath={.metadata.annotations}", r"weft.dev/x"),
        Step("""-n demo patch pod web -p {"spec":{"containers":[{"name":"c","image":"two"}]}}""", "pod/web patched"),
        Step("-n demo get pod web -o jsonpath={.spec.containers[0]}", r'(?=.*"two")(?=.*"containerPort":80)'),
        Step("""-n demo patch cm settings --type=merge -p {"data":{"color":null,"size":"9"}}""", "patched"),
        Step("""-n demo patch cm settings --type=json -p [{"op":"add","path":"/data/x","value":"1"}]""", "patched"),
        Step("-n demo get cm settings -o jsonpath={.data}", r'^{"size":"9","x":"1"}$'),
        Step(
            """-n demo patch cm settings --type=json -p [{"op":"remove","path":"/none"}]""", "invalid|/none", exits=1
        ),
        Step("cordon n1", "node/n1 cordoned"),
        Step("get nodes", r"n1 +Ready,SchedulingDisabled"),
        Step("uncordon n1", "node/n1 uncordoned"),
        Step("create namespace other", "namespace/other created"),
        Step("-n demo create service clusterip s --tcp=80:8080", "service/s created"),
        Step("-n demo get service s", r"s +ClusterIP +<none> +80/TCP"),
        Step("-n demo create configmap more --from-literal=a=b", "configmap/more created"),
        Step("-n demo create configmap more --from-literal=a=b", r"already exists", exits=1),
        Step("-n demo replace -f -", "configmap/settings replaced", WORLD.split("---")[-1]),
        Step("-n none create configmap more", r'namespaces "none" not found', exits=1),
    ],
    "deleting": [
        Step("apply -f -", "", WORLD),
        Step("-n demo delete cm settings", r'configmap "settings" deleted'),
        Step("-n demo delete pod web --wait=false", r'pod "web" deleted'),
        Step("-n demo get pods", r"web +0/1 +Terminating"),
        Step("-n demo delete pod web --force --grace-period=0", r'pod "web" force deleted'),
        Step("-n demo delete pod none", r"\(NotFound\)", exits=1),
        Step("-n demo delete pod none --ignore-not-found", ""),
        Step("-n demo delete pods --all --force --grace-period=0", r'pod "db" force deleted'),
        Step("delete namespace demo", r'namespace "demo" deleted'),
        Step("get namespace demo", "NotFound", exits=1),
        Step("delete namespace default", "may not be deleted", exits=1),
    ],
    "deleting by file, the namespace first": [
        Step("apply -f -", "", WORLD),
        Step("delete --force --grace-period=0 -f -", r'(?s)namespace "demo" .*deleted.*"guard" .*deleted', WORLD),
        Step("get all,ns -A -o name", r"^(?!(.*\n)*.*demo)"),
    ],
    "kinds that arrive later": [
        Step("get widgets", "doesn't have a resource type", exits=1),
        Step("apply -f -", "widgets.example.dev created", WIDGETS),
        Step("wait --for=condition=Established crd/widgets.example.dev", "condition met"),
        Step("apply -f -", "widget.example.dev/w created", WIDGET),
        Step("apply -f -", "widget.example.dev/w unchanged", WIDGET),
        Step("apply -f -", "widget.example.dev/w configured", WIDGET.replace("3", "4")),
        Step("get wi", r"NAME +SIZE\nw +4\n"),
        Step("delete crd widgets.example.dev", "deleted"),
        Step("get --raw /apis/example.dev/v1/widgets", "could not find the requested resource", exits=1),
    ],
    "pods that kubectl makes": [
        Step("run box --image=busybox --labels=a=b", "pod/box created"),
        Step("wait --for=condition=PodScheduled pod/box", "condition met"),
        Step("get events", "No resources found"),
        Step("delete pod box --now --wait=false", "deleted"),
    ],
}


# Older kubectl looks for dry-run support in OpenAPI schemas, which the lab does not have.
OLDEST = {"server dry run": 27}


@pytest.fixture
def api() -> LabApi:
    api = LabApi(linger=0.5)
    status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}
    status |= {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}
    # The official client refuses a node that leaves any of these out.
    names = "architecture bootID containerRuntimeVersion kernelVersion kubeProxyVersion machineID operatingSystem"
    node_info = dict.fromkeys([*names.split(), "osImage", "systemUUID"], "lab") | {"kubeletVersion": "v1.32-lab"}
    status |= {"nodeInfo": node_info}
    api.create(NODES, {"metadata": {"name": "n1"}, "status": status})
    return api


@pytest.fixture
def server(api: LabApi) -> Iterator[ApiServer]:
    with ApiServer(make_app(api), [local_socket()]) as server:
        yield server


@dataclass(frozen=True)
class Kubectl:
    home: Path

    def start(self, command: str) -> subprocess.Popen[str]:
        environment = {"HOME": str(self.home), "KUBECONFIG": str(self.home / "config"), "PATH": os.environ["PATH"]}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [KUBECTL, *command.split()], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment
        )

    def minor(self) -> int:
        with self.start("version --client -o json") as process:
            output, _ = process.communicate(timeout=WAIT)
        return int(json.loads(output)["clientVersion"]["minor"].rstrip("+"))

    def check(self, step: Step) -> None:
        with self.start(step.command) as process:
            try:
                output, _ = process.communicate(step.stdin, timeout=WAIT)
            finally:
                process.kill()
        what = f"kubectl {step.command}\n{output}"
        assert process.returncode == step.exits, what
        assert re.search(step.prints, output, re.MULTILINE if "(?s)" not in step.prints else 0), what


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig(server.urls[0])))
    return Kubectl(tmp_path)


@needs_kubectl
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kubectl(scenario: str, kubectl: Kubectl) -> None:
    if kubectl.minor() < (oldest := OLDEST.get(scenario, 0)):
        pytest.skip(f"kubectl is older than 1.{oldest}")
    for step in SCENARIOS[scenario]:
        kubectl.check(step)


@needs_kubectl
def test_kubectl_watches(kubectl: Kubectl, api: LabApi) -> None:
    """`get -w` prints the pod when it comes, runs and goes, each as it happens."""
    with kubectl.start("get pods -w --no-headers") as process:
        ending = threading.Timer(WAIT, process.kill)
        ending.start()
        try:
            assert process.stdout is not None
            seen = [_next_status(process.stdout, api, change) for change in ("create", "run", "stop")]
        finally:
            ending.cancel()
            process.kill()
    assert seen == ["Pending", "Running", "Terminating"]


def _next_status(output: Any, api: LabApi, change: str) -> str:
    if change == "create":
        # kubectl may still be listing: the pod comes as a row of the list or as an event, and it prints either.
        api.create(PODS, {"metadata": {"name": "a", "namespace": "default"}, "spec": {"nodeName": "n1"}})
    elif change == "run":
        api.edit(PODS, ("default", "a"), lambda old: old | {"status": {"phase": "Running"}}, "status")
    else:
        api.delete(PODS, "a", "default")
    for line in output:
        if line.startswith("a "):
            return str(line.split()[2])
    raise AssertionError("kubectl ended before the change")


@needs_kubectl
def test_delete_waits_until_the_node_has_stopped_the_pod(kubectl: Kubectl, api: LabApi) -> None:
    api.create(PODS, {"metadata": {"name": "a", "namespace": "default"}, "spec": {"nodeName": "n1"}})

    def stop_when_asked() -> None:
        with api.watch(PODS) as watch:
            while changes := watch.next(WAIT):
                for change, obj in changes:
                    if change == "MODIFIED" and "deletionTimestamp" in obj["metadata"]:
                        api.delete(PODS, "a", "default", DeleteOptions(grace=0))
                        return

    kubelet = threading.Thread(target=stop_when_asked)
    kubelet.start()
    kubectl.check(Step("delete pod a", 'pod "a" deleted'))
    kubelet.join(WAIT)
    kubectl.check(Step("get pods", "No resources found"))


@pytest.fixture
def client(server: ApiServer) -> Iterator[kubernetes.client.CoreV1Api]:
    configuration = kubernetes.client.Configuration(host=server.urls[0])
    with kubernetes.client.ApiClient(configuration) as connection:
        yield kubernetes.client.CoreV1Api(connection)


def body(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


def test_the_python_client_reads_and_writes(client: kubernetes.client.CoreV1Api) -> None:
    made = client.create_namespaced_pod("default", body("a"))
    assert made.metadata.uid
    assert [pod.metadata.name for pod in client.list_pod_for_all_namespaces(label_selector="app=a").items] == ["a"]
    changed = client.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"x": "y"}}})
    assert changed.metadata.labels == {"app": "a", "x": "y"}
    assert client.read_namespaced_pod("a", "default").spec.node_name == "n1"
    client.patch_node("n1", {"metadata": {"annotations": {"weft.dev/mtu": "1450"}}})
    client.delete_namespaced_pod("a", "default", grace_period_seconds=0)
    with pytest.raises(ApiException) as refusal:
        client.read_namespaced_pod("a", "default")
    assert refusal.value.status == 404


def test_the_python_client_watches(client: kubernetes.client.CoreV1Api, api: LabApi) -> None:
    version = client.list_namespaced_pod("default").metadata.resource_version
    client.create_namespaced_pod("default", body("a"))
    client.delete_namespaced_pod("a", "default", grace_period_seconds=0)
    watch = kubernetes.watch.Watch()
    seen = []
    for event in watch.stream(client.list_namespaced_pod, "default", resource_version=version, timeout_seconds=20):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watch.stop()
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_the_python_client_is_told_when_its_version_is_too_old(server: ApiServer) -> None:
    configuration = kubernetes.client.Configuration(host=server.urls[0])
    with kubernetes.client.ApiClient(configuration) as connection:
        list_nodes = kubernetes.client.CoreV1Api(connection).list_node
        with pytest.raises(ApiException) as refusal:
            list(kubernetes.watch.Watch().stream(list_nodes, resource_version="999999", timeout_seconds=20))
    assert refusal.value.status == 410
