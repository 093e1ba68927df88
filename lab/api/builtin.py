"""The resources of a fresh lab: the ones Weft reads or writes, and those that demos and tests want beside them."""

from collections.abc import Mapping

from lab.api import crd, leases, printers
from lab.api.errors import Obj
from lab.api.resources import Registry, Resource

_CONTAINER_KEYS = {
    "": "name",
    ".env": "name",
    ".ports": "containerPort",
    ".volumeMounts": "mountPath",
    ".volumeDevices": "devicePath",
}
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
POD_KEYS: Mapping[str, str] = (
    {f"spec.{list_}{path}": key for list_ in _CONTAINERS for path, key in _CONTAINER_KEYS.items()}
    | {"spec.volumes": "name", "spec.imagePullSecrets": "name", "spec.hostAliases": "ip"}
    | {"spec.topologySpreadConstraints": "topologyKey", "spec.schedulingGates": "name"}
    | {"status.conditions": "type", "status.podIPs": "ip"}
)
NODE_KEYS: Mapping[str, str] = {"spec.podCIDRs": "", "status.conditions": "type", "status.addresses": "type"}


def _pod_defaults(pod: Obj) -> Obj:
    return pod | {"spec": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30} | (pod.get("spec") or {})}


def _namespace_defaults(namespace: Obj) -> Obj:
    # NetworkPolicies select namespaces by this label; the real API server always sets it.
    meta = namespace["metadata"]
    labels = (meta.get("labels") or {}) | {"kubernetes.io/metadata.name": meta["name"]}
    return namespace | {"metadata": meta | {"labels": labels}}


_NETWORKING = "networking.k8s.io"
_POD_FIELDS = frozenset({"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"})
_EVENT_FIELDS = frozenset({"reason", "type", "source", "reportingComponent"}) | {
    f"involvedObject.{name}"
    for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
}

NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    status=True,
    columns=printers.NAMESPACE_COLUMNS,
    fields=frozenset({"status.phase"}),
    defaults=_namespace_defaults,
    first_status={"phase": "Active"},
)
NODES = Resource(
    "",
    "v1",
    "nodes",
    "Node",
    namespaced=False,
    short_names=("no",),
    status=True,
    columns=printers.NODE_COLUMNS,
    fields=frozenset({"spec.unschedulable"}),
    merge_keys=NODE_KEYS,
)
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    status=True,
    graceful=True,
    returns_deleted=True,
    columns=printers.POD_COLUMNS,
    fields=_POD_FIELDS,
    merge_keys=POD_KEYS,
    defaults=_pod_defaults,
    first_status={"phase": "Pending"},
)
EVENTS = Resource(
    "", "v1", "events", "Event", short_names=("ev",), columns=printers.EVENT_COLUMNS, fields=_EVENT_FIELDS, keep=1000
)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",), columns=printers.CONFIG_MAP_COLUMNS)
SERVICES = Resource(
    "",
    "v1",
    "services",
    "Service",
    short_names=("svc",),
    categories=("all",),
    status=True,
    returns_deleted=True,
    columns=printers.SERVICE_COLUMNS,
    fields=frozenset({"spec.clusterIP", "spec.type"}),
    merge_keys={"spec.ports": "port", "status.conditions": "type"},
    first_status={"loadBalancer": {}},
)
ENDPOINT_SLICES = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", columns=printers.ENDPOINT_SLICE_COLUMNS
)
LEASES = Resource(
    "coordination.k8s.io", "v1", "leases", "Lease", columns=printers.LEASE_COLUMNS, defaults=leases.checked
)
NETWORK_POLICIES = Resource(
    _NETWORKING,
    "v1",
    "networkpolicies",
    "NetworkPolicy",
    short_names=("netpol",),
    columns=printers.NETWORK_POLICY_COLUMNS,
)
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    status=True,
    columns=printers.CRD_COLUMNS,
    defaults=crd.checked,
    first_status={},
)


def builtin() -> Registry:
    """What a fresh lab serves."""
    core = (NAMESPACES, NODES, PODS, EVENTS, CONFIG_MAPS, SERVICES)
    return Registry(*core, ENDPOINT_SLICES, LEASES, NETWORK_POLICIES, CRDS)
