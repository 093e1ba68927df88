"""Strategic merge patch: lists that merge by key, and the directives kubectl sends."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from lab.api.builtin import NODES, PODS, SERVICES
from lab.api.errors import ApiError
from lab.api.strategic import strategic_merge

KEYS = PODS.list_keys
Case = tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


CASES: list[Case] = [
    ("a map merges", {"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
    ("null deletes", {"a": {"x": 1, "y": 2}}, {"a": {"y": None}}, {"a": {"x": 1}}),
    ("a new map has no nulls", {}, {"a": {"x": None, "y": 1}}, {"a": {"y": 1}}),
    ("a list without a key is replaced", {"spec": {"tolerations": [1, 2]}}, {"spec": {"tolerations": [3]}},
     {"spec": {"tolerations": [3]}}),
    ("containers merge by name", containers({"name": "a", "image": "1"}, {"name": "b"}),
     containers({"name": "a", "image": "2"}), containers({"name": "a", "image": "2"}, {"name": "b"})),
    ("a new container is appended", containers({"name": "a"}), containers({"name": "b"}),
     containers({"name": "a"}, {"name": "b"})),
    ("a container is deleted", containers({"name": "a"}, {"name": "b"}),
     containers({"name": "a", "$patch": "delete"}),
     containers({"name": "b"})),
    ("deleting what is not there is nothing", containers({"name": "a"}),
     containers({"name": "z", "$patch": "delete"}),
     containers({"name": "a"})),
    ("the list is replaced on request", containers({"name": "a"}, {"name": "b"}),
     containers({"name": "c"}, {"$patch": "replace"}), containers({"name": "c"})),
    ("env and ports of a container merge too",
     containers({"name": "a", "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 80}]}),
     containers({"name": "a", "env": [{"name": "Y"}], "ports": [{"containerPort": 80, "name": "http"}]}),
     containers({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y"}],
                 "ports": [{"containerPort": 80, "name": "http"}]})),
    ("conditions merge by type", {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X"}]}},
     {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
     {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X"}]}}),
    ("finalizers are a set", {"metadata": {"finalizers": ["a"]}}, {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"finalizers": ["a", "b"]}}),
    ("members of a set are deleted", {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, {"metadata": {"finalizers": ["b"]}}),
    ("a map is replaced on request", {"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}, {"a": {"y": 2}}),
    ("a map is deleted on request", {"a": {"x": 1}, "b": 1}, {"a": {"$patch": "delete"}}, {"b": 1}),
    ("only retained keys survive", {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
     {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}},
     {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
    ("the order is the client's, strangers last", containers({"name": "x"}, {"name": "b"}),
     {"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "a"}]}},
     containers({"name": "a"}, {"name": "b"}, {"name": "x"})),
    ("a type that changes is replaced", {"a": [1]}, {"a": {"x": 1}}, {"a": {"x": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("case", "target", "patch", "expected"), CASES, ids=[case for case, *_ in CASES])
def test_strategic_merge(case: str, target: Any, patch: Any, expected: Any) -> None:
    before = deepcopy((target, patch))
    assert strategic_merge(target, patch, KEYS) == expected, case
    assert (target, patch) == before


def test_merge_keys_belong_to_the_kind() -> None:
    ports = {"spec": {"ports": [{"port": 80, "name": "a"}]}}
    patch = {"spec": {"ports": [{"port": 81}]}}
    assert len(strategic_merge(ports, patch, SERVICES.list_keys)["spec"]["ports"]) == 2
    assert len(strategic_merge(ports, patch, {})["spec"]["ports"]) == 1
    cidrs = strategic_merge({"spec": {"podCIDRs": ["a"]}}, {"spec": {"podCIDRs": ["b"]}}, NODES.list_keys)
    assert cidrs == {"spec": {"podCIDRs": ["a", "b"]}}


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (containers({"image": "x"}), "spec.containers: each element of this list needs its merge key 'name'"),
        ({"spec": {"$patch": "frob"}}, "unknown directive $patch: 'frob' at spec"),
    ],
)
def test_bad_patches_are_refused_with_the_place(patch: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        strategic_merge(containers({"name": "a"}), patch, KEYS)
    assert refusal.value.code == 400
    assert words in refusal.value.message
