"""What the chart renders to, a real API server takes: no field that it does not know, no value that it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from apiserver_fixture import ApiServer, Obj, running
from chart_fixture import CASES, CHART, NAMESPACE, Release, case_names, helm, installed, rendered, template

# A controller makes the account elsewhere.
_NAMESPACE = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: default, namespace: {NAMESPACE}}}
---
"""

# What the Prometheus operator brings, as far as the chart uses it (github.com/prometheus-operator, monitoring/v1).
_SERVICE_MONITOR = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: servicemonitors.monitoring.coreos.com
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: ServiceMonitor, listKind: ServiceMonitorList, plural: servicemonitors, singular: servicemonitor}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [endpoints, selector]
              properties:
                selector:
                  type: object
                  properties:
                    matchLabels: {type: object, additionalProperties: {type: string}}
                endpoints:
                  type: array
                  items:
                    type: object
                    properties:
                      port: {type: string}
                      interval: {type: string}
"""


@pytest.fixture(scope="module")
def ready(api: ApiServer) -> ApiServer:
    """The API server with what objects of the chart need to be there."""
    done = api.kubectl("apply", "-f", "-", stdin=_NAMESPACE + _SERVICE_MONITOR)
    assert done.returncode == 0, done.stderr
    done = api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    assert done.returncode == 0, done.stderr
    return api


@pytest.mark.parametrize("case", case_names())
def test_every_object_is_one_that_the_server_takes(ready: ApiServer, case: str) -> None:
    text = template(f"--values={CASES / case}.yaml")
    done = ready.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warnings either
    assert len(done.stdout.splitlines()) == len(rendered(case))


@pytest.mark.parametrize("case", ["defaults", "netdev", "host-ovs", "ipv6", "metrics", "node", "node-host-ovs"])
def test_every_pod_of_an_installed_chart_is_one_that_the_server_takes(ready: ApiServer, case: str) -> None:
    """A workload's template is looked at less closely than the pod that is made of it."""
    with installed(ready, f"--values={CASES / case}.yaml"):
        for pod in pods(case):
            done = ready.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
            assert done.returncode == 0, done.stderr


def test_what_template_prints_has_nothing_twice() -> None:
    """kubectl would apply one after the other."""
    for case in case_names():
        names = [(each["kind"], each["metadata"]["name"]) for each in rendered(case)]
        assert len(set(names)) == len(names)


def test_who_installs_it_is_told_what_to_do_next(ready: ApiServer) -> None:
    _, _, notes = installing(ready).partition("NOTES:")
    commands = [line.strip() for line in notes.splitlines() if line.strip().startswith("kubectl ")]
    assert commands == [
        f"kubectl --namespace {NAMESPACE} rollout status daemonset/weft-agent",
        "kubectl get nodes",
        "kubectl weft check",
    ]


def test_the_family_of_the_nodes_is_seen_in_the_cluster(ready: ApiServer, tmp_path: Path) -> None:
    assert "--advertise=ssl:$(POD_IP):6653" in installing(ready)
    with running(tmp_path, services="fd00:96::/112", advertised="fd00::1") as of_ipv6:
        assert "--advertise=ssl:[$(POD_IP)]:6653" in installing(of_ipv6)


def installing(api: ApiServer) -> str:
    """What helm would install."""
    done = Release(api).tried("install", "weft", str(CHART), "--dry-run=server")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kubernetes_that_cannot_hold_agents_to_their_nodes_is_refused() -> None:
    done = helm("template", "weft", str(CHART), "--kube-version=1.29.14")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.30.0-0" in done.stderr


def pods(case: str) -> list[Obj]:
    """The pods that the workloads of a case would make."""
    templates = [each["spec"]["template"] for each in rendered(case) if "template" in each.get("spec", {})]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**each["metadata"], "name": f"pod-{number}", "namespace": NAMESPACE},
            "spec": each["spec"],
        }
        for number, each in enumerate(templates)
    ]
