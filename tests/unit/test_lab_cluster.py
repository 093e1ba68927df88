"""What a lab adds to objects that live in another's cluster, and what it hears of pods there."""

from __future__ import annotations

from typing import Any

import pytest

from kube.changes import Applied, Change, Connected, Deleted, Disconnected, Listed, Refused
from kube.objects import Pod, parse_pod
from lab.cluster import OWNER, as_guest, for_guests
from lab.names import LAB, Family
from lab.remote import Keys
from lab.status import node_object

POD = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": []}}
TOLERATION = {"key": LAB, "operator": "Equal", "value": "lab", "effect": "NoSchedule"}


def test_a_guest_says_whose_it_is_and_keeps_pods_away() -> None:
    node = as_guest(node_object(1, Family.DUAL, "lab"), "cafe")
    assert node["metadata"]["labels"][OWNER] == "cafe"
    assert node["metadata"]["labels"][LAB] == "lab"
    assert node["spec"]["taints"] == [{"key": LAB, "value": "lab", "effect": "NoSchedule"}]
    assert node["spec"]["podCIDR"] == "10.244.1.0/24"


def test_a_pod_for_guests_selects_their_nodes_and_tolerates_their_taint() -> None:
    spec = {"containers": [], "nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]}
    made = for_guests({**POD, "spec": spec}, "lab")["spec"]
    assert made["nodeSelector"] == {"disk": "ssd", LAB: "lab"}
    assert made["tolerations"] == [{"operator": "Exists"}, TOLERATION]
    assert spec["nodeSelector"] == {"disk": "ssd"}


def test_so_does_the_template_of_a_deployment() -> None:
    spec = {"replicas": 2, "template": {"metadata": {"labels": {}}, "spec": {"containers": []}}}
    made = for_guests({"kind": "Deployment", "spec": spec}, "lab")["spec"]
    assert made["replicas"] == 2
    assert made["template"]["metadata"] == {"labels": {}}
    assert made["template"]["spec"]["tolerations"] == [TOLERATION]


@pytest.mark.parametrize(
    "obj",
    [
        {**POD, "spec": {"containers": [], "nodeName": "node1"}},
        {"kind": "Namespace", "metadata": {"name": "shop"}},
        {"kind": "ConfigMap", "data": {"template": "x"}},
        {"kind": "Issuer", "spec": {"template": {"spec": {"commonName": "x"}}}},
        {"kind": "Issuer", "spec": {"template": "x"}},
    ],
)
def test_everything_else_stays_as_it_is(obj: dict[str, Any]) -> None:
    assert for_guests(obj, "lab") == obj


def _pod(name: str) -> Pod:
    return parse_pod(b'{"metadata": {"namespace": "shop", "name": "%s"}}' % name.encode())


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ([Listed("Pod", (_pod("b"), _pod("a")))], ["shop/a", "shop/b"]),
        ([Listed("Pod", (_pod("a"),), frozenset({"shop/odd"}))], ["shop/a", "shop/odd"]),
        ([Applied(_pod("a")), Deleted("Pod", "shop/a")], ["shop/a", "shop/a"]),
        ([Refused("Pod", "shop/odd", "why")], ["shop/odd"]),
        ([Connected("Pod"), Disconnected("Pod", "why")], []),
        # Gone while nobody listened: it is in no listing, and so must be looked at.
        (
            [Applied(_pod("a")), Listed("Pod", (_pod("b"),)), Listed("Pod", ())],
            ["shop/a", "shop/a", "shop/b", "shop/b"],
        ),
        ([Applied(_pod("a")), Deleted("Pod", "shop/a"), Listed("Pod", ())], ["shop/a", "shop/a"]),
    ],
)
def test_every_pod_that_may_have_changed_is_heard_of(changes: list[Change], heard: list[str]) -> None:
    told: list[str] = []
    keys = Keys(told.append)
    for change in changes:
        keys(change)
    assert told == heard
