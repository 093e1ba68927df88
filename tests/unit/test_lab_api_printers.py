"""What `kubectl get` shows, cell by cell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from lab_api_fixture import START, node, pod

from lab.api import builtin
from lab.api.errors import Obj
from lab.api.printers import age, duration
from lab.api.rendering import View, view_of
from lab.api.resources import Resource

DURATIONS = [
    (-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"), (600, "10m"), (10799, "179m"),
    (10800, "3h"), (12000, "3h20m"), (28800, "8h"), (172799, "47h"), (172800, "2d"), (180000, "2d2h"),
    (691200, "8d"), (63071999, "729d"), (63072000, "2y"), (64800000, "2y20d"), (252288000, "8y"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations_read_as_in_kubectl(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("stamp", "text"),
    [("2026-01-01T00:00:00Z", "60s"), ("2026-01-01T00:00:30.5Z", "29s"), ("2026-01-01T00:00:00", "60s"),
     (None, "<unknown>"), ("yesterday", "<unknown>")],
)  # fmt: skip
def test_ages(stamp: Any, text: str) -> None:
    assert age(stamp, START + timedelta(seconds=60)) == text


def row(resource: Resource, obj: Obj) -> dict[str, Any]:
    obj = {"apiVersion": resource.api_version, "kind": resource.kind} | obj
    obj["metadata"] = {"resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"} | obj["metadata"]
    table = View(resource, table=True).one(obj, START + timedelta(minutes=5))
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


def test_a_running_pod() -> None:
    statuses = [{"ready": True, "restartCount": 2, "state": {"running": {}}}, {"ready": False, "restartCount": 1}]
    status = {"phase": "Running", "podIP": "10.0.0.5", "containerStatuses": statuses}
    shown = row(builtin.PODS, pod("a", node="n1", containers=[{}, {}]) | {"status": status})
    assert shown == {
        "Name": "a", "Ready": "1/2", "Status": "Running", "Restarts": 3, "Age": "5m", "IP": "10.0.0.5", "Node": "n1",
    }  # fmt: skip


POD_STATUS: list[tuple[dict[str, Any], str]] = [
    ({"phase": "Pending"}, "Pending"),
    ({}, "<unknown>"),
    ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]},
     "ContainerCreating"),
    ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": "Error"}}}]}, "Error"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "text"), POD_STATUS)
def test_pod_status(status: dict[str, Any], text: str) -> None:
    assert row(builtin.PODS, pod("a") | {"status": status})["Status"] == text


def test_a_pod_on_its_way_out_is_terminating() -> None:
    leaving = pod("a") | {"status": {"phase": "Running"}}
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    assert row(builtin.PODS, leaving)["Status"] == "Terminating"


def test_a_node() -> None:
    worker = node("n1", labels={"node-role.kubernetes.io/worker": "", "x": "y"}, unschedulable=True)
    addresses = [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "192.0.2.1"}]
    worker["status"] |= {"addresses": addresses, "nodeInfo": {"kubeletVersion": "v1.32.0"}}
    shown = row(builtin.NODES, worker)
    assert [shown[name] for name in ("Name", "Status", "Roles", "Age", "Version", "Internal-IP", "OS-Image")] == [
        "n1", "Ready,SchedulingDisabled", "worker", "5m", "v1.32.0", "192.0.2.1", "<unknown>",
    ]  # fmt: skip


@pytest.mark.parametrize(("ready", "text"), [("True", "Ready"), ("False", "NotReady"), ("Unknown", "NotReady")])
def test_node_readiness(ready: str, text: str) -> None:
    assert row(builtin.NODES, node("n", ready))["Status"] == text


OTHERS: list[tuple[Resource, dict[str, Any], dict[str, Any]]] = [
    (builtin.NAMESPACES, {"status": {"phase": "Active"}}, {"Status": "Active"}),
    (builtin.CONFIG_MAPS, {"data": {"a": "1", "b": "2"}}, {"Data": 2}),
    (builtin.CONFIG_MAPS, {}, {"Data": 0}),
    (builtin.SERVICES, {"spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}],
                                 "selector": {"b": "2", "a": "1"}}},
     {"Type": "ClusterIP", "Cluster-IP": "10.96.0.1", "Port(s)": "80/TCP,53/UDP", "Selector": "a=1,b=2"}),
    (builtin.SERVICES, {}, {"Port(s)": "<none>", "Selector": "<none>"}),
    (builtin.ENDPOINT_SLICES, {"addressType": "IPv4", "ports": [{"port": 80}],
                               "endpoints": [{"addresses": ["1"]}, {"addresses": ["2", "3"]}, {"addresses": ["4"]}]},
     {"AddressType": "IPv4", "Ports": "80", "Endpoints": "1,2,3 + 1 more..."}),
    (builtin.ENDPOINT_SLICES, {}, {"Ports": "<unset>", "Endpoints": "<unset>"}),
    (builtin.LEASES, {"spec": {"holderIdentity": "me"}}, {"Holder": "me"}),
    (builtin.NETWORK_POLICIES, {"spec": {"podSelector": {}}}, {"Pod-Selector": "<none>"}),
    (builtin.NETWORK_POLICIES,
     {"spec": {"podSelector": {"matchLabels": {"app": "web"},
                               "matchExpressions": [{"key": "t", "operator": "In", "values": ["a", "b"]},
                                                    {"key": "z", "operator": "Exists"}]}}},
     {"Pod-Selector": "app=web,t in (a,b),z exists"}),
    (builtin.EVENTS, {"type": "Normal", "reason": "Made", "message": "hello",
                      "involvedObject": {"kind": "Pod", "name": "a"}, "lastTimestamp": "2026-01-01T00:04:00Z"},
     {"Last Seen": "60s", "Type": "Normal", "Reason": "Made", "Object": "pod/a", "Message": "hello"}),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "obj", "cells"), OTHERS)
def test_other_kinds(resource: Resource, obj: dict[str, Any], cells: dict[str, Any]) -> None:
    assert cells.items() <= row(resource, {"metadata": {"name": "x"}} | obj).items()


ACCEPTS = [
    ("", False),
    ("application/json", False),
    ("*/*", False),
    ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", True),
    ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", True),
    ("application/vnd.kubernetes.protobuf,application/json", False),
    ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1", True),
]


@pytest.mark.parametrize(("accept", "table"), ACCEPTS)
def test_tables_are_for_those_who_ask(accept: str, table: bool) -> None:
    assert view_of(builtin.PODS, accept, "").table is table


@pytest.mark.parametrize(
    ("include", "kind"), [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "Pod")]
)
def test_rows_carry_what_was_asked_for(include: str, kind: str) -> None:
    obj = pod("a")
    obj["metadata"]["resourceVersion"] = "1"
    view = view_of(builtin.PODS, "application/json;as=Table", include)
    assert view.one(obj, START)["rows"][0]["object"]["kind"] == kind
    bare = view_of(builtin.PODS, "application/json;as=Table", "None").one(obj, START)
    assert "object" not in bare["rows"][0]
