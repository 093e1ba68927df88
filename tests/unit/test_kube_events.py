"""The bodies of Kubernetes Events, and the paths of resources."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import msgspec

from kube.events import About, Notice, event
from kube.objects import parse_node, parse_pod
from kube.resources import NAMESPACES, NODES, PODS

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))


def test_an_event_about_a_pod_lives_in_its_namespace() -> None:
    pod = parse_pod(b'{"metadata":{"name":"web","namespace":"shop","uid":"u-1"}}')
    body = event(About.of("Pod", pod.meta), Notice("NoAddress", "the node has none left"), "weft-agent", NOW)
    assert body["metadata"]["namespace"] == "shop"
    assert body["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "web",
        "namespace": "shop",
        "uid": "u-1",
    }
    assert (body["reason"], body["message"], body["type"]) == ("NoAddress", "the node has none left", "Warning")
    assert body["source"] == {"component": "weft-agent"}
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-11-23T10:00:00Z"
    assert msgspec.json.decode(msgspec.json.encode(body)) == body


def test_an_event_about_a_node_lives_in_default() -> None:
    node = parse_node(b'{"metadata":{"name":"w1"}}')
    body = event(About.of("Node", node.meta), Notice("Ready", "all is well", "Normal"), "weft-agent", NOW)
    assert body["metadata"]["namespace"] == "default"
    assert "namespace" not in body["involvedObject"]


def test_events_at_different_times_have_different_names_that_fit() -> None:
    about = About("Node", "n" * 253)
    names = {
        event(about, Notice("X", "y"), "c", NOW + timedelta(microseconds=each))["metadata"]["name"]
        for each in range(3)
    }
    assert len(names) == 3
    assert max(map(len, names)) <= 253


def test_a_long_message_is_cut_between_characters() -> None:
    body = event(About("Node", "w1"), Notice("X", "é" * 5000), "c", NOW)
    assert len(body["message"].encode()) <= 1024
    assert body["message"].endswith("é…")


def test_paths() -> None:
    assert NODES.path() == "/api/v1/nodes"
    assert NODES.path("w1") == "/api/v1/nodes/w1"
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("web", "shop") == "/api/v1/namespaces/shop/pods/web"
    assert PODS.path(namespace="shop") == "/api/v1/namespaces/shop/pods"


def test_a_name_cannot_leave_its_path() -> None:
    assert NAMESPACES.path("../nodes?x=/y") == "/api/v1/namespaces/..%2Fnodes%3Fx%3D%2Fy"
