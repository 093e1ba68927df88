"""Of Kubernetes objects, only fields that matter to Weft are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.bundle.objects import INSTALLED, KINDS, config_map, event, pod, workload

S = "hidden"
META: dict[str, Any] = {
    "name": "x",
    "namespace": "y",
    "labels": {"app": "x"},
    "managedFields": [{"fieldsV1": S}],
    "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": S,
        "weft.dev/ips": "10.0.0.1",
        "not-weft.dev/x": S,
    },
}
CONTAINER = {
    "name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": S}], "args": [S],
    "command": [S], "envFrom": [S], "volumeMounts": [S], "livenessProbe": {"exec": S},
}  # fmt: skip


def everything() -> dict[str, Any]:
    """An object with what any of the kinds could have."""
    spec = {"nodeName": "n", "containers": [CONTAINER], "initContainers": [CONTAINER], "volumes": [S], "env": [S]}
    return {
        "metadata": META,
        "spec": {**spec, "template": {"spec": spec}},
        "status": {"phase": "Running"},
        "extra": S,
    }


@pytest.mark.parametrize("kind", [*KINDS, *INSTALLED], ids=lambda kind: kind.file)
def test_nothing_is_ever_kept_of_secrets_and_foreign_annotations(kind: Any) -> None:
    assert "secret" not in kind.path.lower()
    kept = kind.keep({**everything(), "spec": {}})
    assert S not in json.dumps(kept)
    if kept is not None:
        assert kept["metadata"]["annotations"] == {"weft.dev/ips": "10.0.0.1"}
        assert kept["metadata"]["labels"] == {"app": "x"}


def test_a_pod_has_its_containers_without_what_is_in_them() -> None:
    kept = pod(everything())
    assert S not in json.dumps(kept)
    assert kept["spec"]["nodeName"] == "n"
    assert kept["spec"]["containers"] == [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]


def test_a_workload_has_its_images_and_no_template() -> None:
    kept = workload(everything())
    assert S not in json.dumps(kept)
    assert kept["spec"]["containers"] == [{"name": "c", "image": "i"}]


def test_only_the_settings_of_wefts_daemons() -> None:
    data = {"data": {"agent.yaml": "mtu: 1400"}}
    ours = config_map({"metadata": {"name": "weft-agent"}, **data})
    assert ours is not None
    assert ours["data"] == data["data"]
    assert config_map({"metadata": {"name": "somebody-elses"}, **data}) is None


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ({"source": {"component": "weft-controller"}, "involvedObject": {"kind": "Pod", "name": "p"}}, True),
        ({"reportingComponent": "weft-agent", "involvedObject": {"kind": "Pod", "name": "p"}}, True),
        ({"source": {"component": "kubelet"}, "involvedObject": {"kind": "Node", "name": "n"}}, True),
        ({"source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod", "name": "weft-agent-x"}}, True),
        ({"source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod", "name": "p"}}, False),
        ({}, False),
    ],
)
def test_events_of_weft_and_about_it(given: dict[str, Any], is_kept: bool) -> None:
    assert (event(given) is not None) is is_kept


@pytest.mark.parametrize("kind", [*KINDS, *INSTALLED], ids=lambda kind: kind.file)
def test_an_object_without_anything_is_no_surprise(kind: Any) -> None:
    kind.keep({})
    kind.keep({"metadata": None, "spec": None, "status": None})
