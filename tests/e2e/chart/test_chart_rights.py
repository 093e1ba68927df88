"""What the chart lets controller and agents do in the API: what their code asks for, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.request import urlopen

import pytest
import urllib3
import yaml
from apiserver_fixture import WAIT, Answer, ApiServer, Obj, free_port
from chart_fixture import NAMESPACE, Release, installed
from programs_fixture import ROOT

from kube.changes import Listed
from kube.client import ApiClient, Where
from kube.endpoint import Endpoint
from kube.resources import NODES, PODS

AGENT, CONTROLLER = "weft-agent", "weft-controller"
POD = {"spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.9"}]}}
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
T = TypeVar("T")

# Everything, by (verb, group, resource, name).
RIGHTS = {
    AGENT: {
        ("list", "", "nodes", ""),
        ("watch", "", "nodes", ""),
        ("patch", "", "nodes", ""),
        ("get", "", "pods", ""),
        ("list", "", "pods", ""),
        ("watch", "", "pods", ""),
        ("get", "coordination.k8s.io", "leases", "weft-controller"),
        ("list", "coordination.k8s.io", "leases", "weft-controller"),
        ("watch", "coordination.k8s.io", "leases", "weft-controller"),
    },
    CONTROLLER: {
        *((verb, "", kind, "") for verb in ("list", "watch") for kind in ("nodes", "namespaces", "pods")),
        ("list", "networking.k8s.io", "networkpolicies", ""),
        ("watch", "networking.k8s.io", "networkpolicies", ""),
        ("create", "", "events", ""),
        ("create", "coordination.k8s.io", "leases", ""),
        ("get", "coordination.k8s.io", "leases", "weft-controller"),
        ("patch", "coordination.k8s.io", "leases", "weft-controller"),
    },
}


@pytest.fixture(scope="module")
def cluster(api: ApiServer) -> Iterator[ApiServer]:
    """Two nodes, a pod of an agent on each, and the chart."""
    with installed(api):
        api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "nobody"}})
        for node in ("node1", "node2"):
            annotations = {"example.org/rack": "7"}
            api.create("/api/v1/nodes", {"metadata": {"name": node, "annotations": annotations}})
            pod = {"metadata": {"name": f"agent-{node}"}, "spec": POD["spec"] | account(AGENT, node)}
            api.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
        # The server takes a moment to act by a new policy.
        until(
            lambda: patched(api, {"metadata": {"labels": {"a": "b"}}}, dry=True).status == 403,
            "the policy is in force",
        )
        yield api
        for node in ("node1", "node2"):
            api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-{node}?gracePeriodSeconds=0")
            api.request("DELETE", f"/api/v1/nodes/{node}")


def account(name: str, node: str) -> Obj:
    return {"serviceAccountName": name, "nodeName": node}


def token(api: ApiServer, name: str, pod: str = "") -> str:
    """A token of a ServiceAccount, as a kubelet gets it for a pod; without one, as anybody may who has the right."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token"
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod}
    made = api.create(path, {"spec": {"boundObjectRef": bound if pod else None}})
    return str(made["status"]["token"])


def patched(api: ApiServer, patch: Obj, *, of: str = "node1", by: str = "agent-node1", dry: bool = False) -> Answer:
    """What comes of it when the agent of a pod patches a Node."""
    return api.merge(f"/api/v1/nodes/{of}{'?dryRun=All' if dry else ''}", patch, token(api, AGENT, by))


def annotation(key: str, value: str | None) -> Obj:
    return {"metadata": {"annotations": {key: value}}}


# Rights by role.


def rights(api: ApiServer, name: str) -> set[tuple[str, str, str, str]]:
    """All that a ServiceAccount may do in the chart's namespace."""
    path, review = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": NAMESPACE}}
    answer = api.request("POST", path, review, token=token(api, name))
    assert answer.status == 201, answer
    return {
        (verb, group, kind, only)
        for rule in answer.body["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for only in rule.get("resourceNames") or [""]
    }


@pytest.mark.parametrize("name", [AGENT, CONTROLLER])
def test_rights_are_these_and_no_others(cluster: ApiServer, name: str) -> None:
    of_any_account = rights(cluster, "nobody")
    assert rights(cluster, name) - of_any_account == RIGHTS[name]


@pytest.mark.parametrize(
    ("name", "asked", "answer"),
    [
        (AGENT, ["patch", "nodes"], "yes"),
        (AGENT, ["get", "secrets", "--all-namespaces"], "no"),
        (AGENT, ["get", "secrets", "--namespace", NAMESPACE], "no"),
        (AGENT, ["list", "configmaps", "--namespace", NAMESPACE], "no"),
        (AGENT, ["list", "namespaces"], "no"),
        (AGENT, ["list", "networkpolicies", "--all-namespaces"], "no"),
        (AGENT, ["update", "nodes"], "no"),
        (AGENT, ["patch", "nodes", "--subresource=status"], "no"),
        (AGENT, ["create", "pods", "--namespace", NAMESPACE], "no"),
        (AGENT, ["create", "serviceaccounts", "--subresource=token", "--namespace", NAMESPACE], "no"),
        (AGENT, ["list", "leases", "--namespace", NAMESPACE], "no"),
        (AGENT, ["patch", "lease/weft-controller", "--namespace", NAMESPACE], "no"),
        (AGENT, ["get", "lease/weft-controller", "--namespace", NAMESPACE], "yes"),
        (AGENT, ["get", "lease/weft-controller", "--namespace", "kube-system"], "no"),
        (CONTROLLER, ["list", "pods", "--all-namespaces"], "yes"),
        (CONTROLLER, ["get", "secrets", "--namespace", NAMESPACE], "no"),
        (CONTROLLER, ["patch", "nodes"], "no"),
        (CONTROLLER, ["patch", "lease/weft-controller", "--namespace", NAMESPACE], "yes"),
        (CONTROLLER, ["patch", "lease/other", "--namespace", NAMESPACE], "no"),
        (CONTROLLER, ["create", "leases", "--namespace", "kube-system"], "no"),
        (CONTROLLER, ["delete", "pods", "--all-namespaces"], "no"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else each,
)
def test_kubectl_says_what_they_may(cluster: ApiServer, name: str, asked: list[str], answer: str) -> None:
    done = cluster.kubectl("auth", "can-i", f"--as=system:serviceaccount:{NAMESPACE}:{name}", *asked)
    assert done.stdout.strip() == answer, done.stderr


def test_a_controller_beside_the_agent_has_the_agent_s_account_and_no_lease(cluster: ApiServer) -> None:
    of_any_account = rights(cluster, "nobody")
    both = {each for each in RIGHTS[AGENT] | RIGHTS[CONTROLLER] if each[2] != "leases"}
    Release(cluster).upgrade("--set=placement=node")
    try:
        until(lambda: rights(cluster, AGENT) - of_any_account == both, "the rights of both")
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{CONTROLLER}"
        assert cluster.request("GET", account, token=cluster.token).status == 404
    finally:
        Release(cluster).upgrade("--set=placement=central")
    until(lambda: rights(cluster, AGENT) - of_any_account == RIGHTS[AGENT], "the rights as before")


# An agent and Nodes.


def test_an_agent_annotates_its_own_node(cluster: ApiServer) -> None:
    assert patched(cluster, annotation("weft.dev/mtu", "1450")).status == 200
    assert patched(cluster, annotation("weft.dev/mtu", None)).status == 200


def test_an_agent_annotates_no_other_node(cluster: ApiServer) -> None:
    answer = patched(cluster, annotation("weft.dev/ovsdb", "ssl:192.0.2.9:6640"), of="node2")
    assert answer.status == 403
    assert "the agent of node node1 may change that Node only" in answer.message
    assert patched(cluster, annotation("weft.dev/mtu", "1450"), of="node2", by="agent-node2").status == 200


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        (annotation("example.org/rack", "8"), "may change annotations of weft.dev only"),
        (annotation("example.org/rack", None), "may change annotations of weft.dev only"),
        (annotation("example.org/new", "1"), "may change annotations of weft.dev only"),
        (annotation("weft.dev.example.org/mtu", "1"), "may change annotations of weft.dev only"),
        ({"metadata": {"labels": {"role": "control-plane"}}}, "annotations of a Node and nothing else"),
        ({"metadata": {"finalizers": ["example.org/stay"]}}, "annotations of a Node and nothing else"),
        ({"spec": {"unschedulable": True}}, "annotations of a Node and nothing else"),
        ({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}, "annotations of a Node and nothing else"),
        ({"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}}, "of a Node and nothing else"),
    ],
)
def test_of_its_own_node_an_agent_changes_nothing_else(cluster: ApiServer, patch: Obj, told: str) -> None:
    answer = patched(cluster, patch)
    assert answer.status == 403
    assert told in answer.message


def test_a_token_that_is_bound_to_no_node_changes_none(cluster: ApiServer) -> None:
    answer = patched(cluster, annotation("weft.dev/mtu", "1450"), by="")
    assert answer.status == 403
    assert "not bound to a node" in answer.message


def test_others_may_change_nodes_as_before(cluster: ApiServer) -> None:
    answer = cluster.merge("/api/v1/nodes/node1", {"metadata": {"labels": {"a": "b"}}}, cluster.token)
    assert answer.status == 200


# Real requests.


@pytest.mark.parametrize("name", [AGENT, CONTROLLER])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/weft-agent-ca"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/weft-controller-ca"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
        ("GET", "/api/v1/services"),
        ("GET", LEASES),
        ("DELETE", "/api/v1/nodes/node1"),
        ("DELETE", f"{LEASES}/weft-controller"),
    ],
)
def test_what_they_need_not_have_is_refused(cluster: ApiServer, name: str, method: str, path: str) -> None:
    assert cluster.request(method, path, token=token(cluster, name)).status == 403


def test_an_agent_can_do_what_an_agent_does(cluster: ApiServer) -> None:
    client = client_of(cluster, token(cluster, AGENT, "agent-node1"))
    nodes = [each for each in client.snapshot(NODES) if isinstance(each, Listed)]
    own = [each for each in client.snapshot(PODS, "spec.nodeName=node1") if isinstance(each, Listed)]
    assert {each.meta.name for listed in nodes for each in listed.objects} >= {"node1", "node2"}
    assert [each.meta.name for listed in own for each in listed.objects] == ["agent-node1"]
    for kind, selector in ((NODES, ""), (PODS, "spec.nodeName=node1")):
        client.watch(kind, "0", where=Where(fields=selector), timeout=1).close()
    client.get(PODS, "agent-node1", NAMESPACE)
    client.patch_merge(NODES, "node1", annotation("weft.dev/tunnel-ip", "192.0.2.1"))
    one_lease = f"{LEASES}?fieldSelector=metadata.name%3Dweft-controller"
    assert cluster.request("GET", one_lease, token=token(cluster, AGENT)).status == 200
    assert cluster.request("GET", f"{LEASES}/weft-controller", token=token(cluster, AGENT)).status == 404


def test_a_controller_gets_ready_and_tells_of_what_is_wrong(cluster: ApiServer, tmp_path: Path) -> None:
    """Two Nodes that claim one range are somebody's mistake, which an Event on the younger says."""
    with controller(cluster, tmp_path) as health:
        until(lambda: ready(health), "the controller has listed everything")
        for node in ("claims", "claims-too"):
            spec = {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}
            cluster.create("/api/v1/nodes", {"metadata": {"name": node}, "spec": spec})
        try:
            until(lambda: events(cluster, "claims-too"), "an Event on the Node")
        finally:
            for node in ("claims", "claims-too"):
                cluster.request("DELETE", f"/api/v1/nodes/{node}")


@contextmanager
def controller(api: ApiServer, directory: Path) -> Iterator[str]:
    """weft-controller with the rights that it has in a cluster; the address of its health."""
    known = yaml.safe_load(api.kubeconfig.read_text())
    known["users"][0]["user"]["token"] = token(api, CONTROLLER)
    (directory / "kubeconfig").write_text(yaml.safe_dump(known))
    health = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "controller.main", f"--kubeconfig={directory}/kubeconfig"]
    argv += [f"--openflow-listen=unix:{directory}/openflow.sock", f"--health-address={health}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stdout=log, stderr=log, cwd=ROOT)
    try:
        yield health
    finally:
        process.terminate()
        process.wait(WAIT)


def ready(health: str) -> bool:
    try:
        with urlopen(f"http://{health}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def events(api: ApiServer, node: str) -> list[Obj]:
    items = api.get("/api/v1/namespaces/default/events")["items"]
    return [each for each in items if each["involvedObject"]["name"] == node]


def client_of(api: ApiServer, bearer: str) -> ApiClient:
    pool = urllib3.PoolManager(ca_certs=str(api.authority), retries=False)
    return ApiClient(Endpoint(f"https://127.0.0.1:{api.port}", pool, lambda: {"Authorization": f"Bearer {bearer}"}))


def until(ask: Callable[[], T], what: str) -> T:
    """The first answer that is true; fails the test when there is none."""
    deadline = time.monotonic() + WAIT
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {WAIT:g} s: {what}"
        time.sleep(0.1)
    return answer
