"""What is left in the API when the chart is uninstalled: its namespace, and nothing in it."""

from __future__ import annotations

from apiserver_fixture import ApiServer
from chart_fixture import NAMESPACE, case_names, installed, rendered

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


def test_nothing_of_the_chart_is_left(api: ApiServer) -> None:
    with installed(api) as release:
        # As the active controller does.
        lease = {"metadata": {"name": "weft-controller"}, "spec": {"holderIdentity": "weft-controller-1"}}
        api.create(LEASES, lease)
        assert found(api)
        release.uninstall()
        assert found(api) == []


def test_nothing_is_left_of_what_another_placement_had(api: ApiServer) -> None:
    """Certificates are kept when there is no use for them: one may want to go back."""
    with installed(api) as release:
        release.upgrade("--set=placement=node")
        assert {"Secret/weft-agent-tls", "DaemonSet/weft-agent"} <= set(found(api))
        assert "Deployment/weft-controller" not in found(api)
        release.uninstall()
        assert found(api) == []


def test_every_kind_of_object_is_looked_for() -> None:
    kinds = {each["kind"] for case in case_names() for each in rendered(case)}
    assert kinds - {"ServiceMonitor"} <= set(KINDS)


KINDS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "DaemonSet": f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets",
    "Deployment": f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    "Lease": LEASES,
    "PodDisruptionBudget": f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
    "Role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
    "Secret": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
    "ServiceAccount": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


def found(api: ApiServer) -> list[str]:
    """Objects that are Weft's by their name."""
    return [
        f"{kind}/{item['metadata']['name']}"
        for kind, path in KINDS.items()
        for item in api.get(path)["items"]
        if item["metadata"]["name"].startswith("weft")
    ]
