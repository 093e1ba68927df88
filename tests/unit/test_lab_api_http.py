"""The API over HTTP, request by request, without a socket."""

from __future__ import annotations

from typing import Any

import pytest
from lab_api_fixture import ask, config, new_api, node, pod

from lab.api import bodies, builtin
from lab.api.builtin import CONFIG_MAPS, NAMESPACES, NODES, PODS
from lab.api.errors import ApiError
from lab.api.handle import LabApi
from lab.api.paths import Target, delete_options, page_of, parse_path, watch_of
from lab.api.store import DeleteOptions

IN_DEMO = "/api/v1/namespaces/demo"


def demo_api(history: int = 100) -> LabApi:
    api = new_api(history)
    api.create(NAMESPACES, {"metadata": {"name": "demo"}})
    return api


PATHS = [
    ("/api/v1", Target("", "v1")),
    ("/apis/apps/v1/", Target("apps", "v1")),
    ("/api/v1/pods", Target("", "v1", "pods")),
    ("/api/v1/nodes/n", Target("", "v1", "nodes", "", "n")),
    ("/api/v1/nodes/n/status", Target("", "v1", "nodes", "", "n", "status")),
    ("/api/v1/namespaces", Target("", "v1", "namespaces")),
    ("/api/v1/namespaces/a", Target("", "v1", "namespaces", "", "a")),
    ("/api/v1/namespaces/a/status", Target("", "v1", "namespaces", "", "a", "status")),
    ("/api/v1/namespaces/a/pods", Target("", "v1", "pods", "a")),
    ("/api/v1/namespaces/a/pods/p", Target("", "v1", "pods", "a", "p")),
    ("/apis/g/v1/namespaces/a/ws/w/status", Target("g", "v1", "ws", "a", "w", "status")),
]


@pytest.mark.parametrize(("path", "target"), PATHS)
def test_paths(path: str, target: Target) -> None:
    assert parse_path(path) == target


@pytest.mark.parametrize("path", ["/", "/metrics", "/api", "/api/v1/a/b/c/d", "/api/v1/namespaces/a/b/c/d/e"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(ApiError, match="could not find the requested resource"):
        parse_path(path)


@pytest.mark.parametrize("path", ["healthz", "readyz", "livez"])
def test_health(path: str) -> None:
    assert ask(demo_api(), f"GET /{path}").body == b"ok"


def test_discovery_names_every_resource() -> None:
    api = demo_api()
    assert ask(api, "GET /api").json["versions"] == ["v1"]
    core = ask(api, "GET /api/v1").json["resources"]
    assert {"pods", "pods/status", "nodes", "namespaces", "events"} <= {entry["name"] for entry in core}
    pods = next(entry for entry in core if entry["name"] == "pods")
    assert (pods["kind"], pods["shortNames"], pods["namespaced"]) == ("Pod", ["po"], True)
    groups = {group["name"] for group in ask(api, "GET /apis").json["groups"]}
    assert groups == {"discovery.k8s.io", "coordination.k8s.io", "networking.k8s.io", "apiextensions.k8s.io"}
    assert ask(api, "GET /apis/nothing.here").code == 404
    assert ask(api, "GET /version").json["minor"] == "32"


def test_openapi_is_enough_for_kubectl() -> None:
    api = demo_api()
    protobuf = ask(api, "GET /openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert (protobuf.body, "@" in protobuf.headers["content-type"]) == (b"", False)
    assert ask(api, "GET /openapi/v2").json["swagger"] == "2.0"
    url = ask(api, "GET /openapi/v3").json["paths"]["apis/networking.k8s.io/v1"]["serverRelativeURL"]
    patch = ask(api, f"GET {url}").json["paths"][
        "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}"
    ]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "NetworkPolicy"
    assert ask(api, "GET /openapi/v3/apis/none/v1").code == 404


def test_the_life_of_an_object() -> None:
    api = demo_api()
    made = ask(api, f"POST {IN_DEMO}/configmaps", {"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert (made.code, made.json["metadata"]["namespace"]) == (201, "demo")
    assert ask(api, f"GET {IN_DEMO}/configmaps/a").json == made.json
    put = ask(api, f"PUT {IN_DEMO}/configmaps/a", made.json | {"data": {"x": "2"}})
    assert (put.code, put.json["data"]) == (200, {"x": "2"})
    assert ask(api, f"PUT {IN_DEMO}/configmaps/a", made.json | {"data": {"x": "3"}}).json["reason"] == "Conflict"
    gone = ask(api, f"DELETE {IN_DEMO}/configmaps/a").json
    assert (gone["status"], gone["details"]["uid"]) == ("Success", made.json["metadata"]["uid"])
    assert ask(api, f"GET {IN_DEMO}/configmaps/a").code == 404


def test_a_pod_that_a_node_must_stop_is_returned_by_delete() -> None:
    api = demo_api()
    api.create(PODS, pod("a", node="n"))
    assert "deletionTimestamp" in ask(api, f"DELETE {IN_DEMO}/pods/a").json["metadata"]
    gone = ask(api, f"DELETE {IN_DEMO}/pods/a?gracePeriodSeconds=0").json
    assert (gone["kind"], gone["metadata"]["name"]) == ("Pod", "a")
    assert api.list(PODS).items == []


PATCHES: list[tuple[str, Any]] = [
    (bodies.MERGE_PATCH, {"metadata": {"labels": {"x": "y"}}}),
    (bodies.STRATEGIC_PATCH, {"metadata": {"labels": {"x": "y"}}}),
    (bodies.JSON_PATCH, [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]),
    (bodies.APPLY_PATCH, b"metadata:\n  labels: {x: 'y'}\n"),
]


@pytest.mark.parametrize(("media", "patch"), PATCHES)
def test_every_kind_of_patch(media: str, patch: Any) -> None:
    api = demo_api()
    api.create(PODS, pod("a"))
    answer = ask(api, f"PATCH {IN_DEMO}/pods/a", patch, media=media)
    assert (answer.code, answer.json["metadata"]["labels"]) == (200, {"x": "y"})
    assert answer.json["spec"]["containers"] == [{"name": "c", "image": "i"}]


def test_apply_creates_what_is_missing() -> None:
    api = demo_api()
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {when: 2026-01-01}}\n"
    answer = ask(api, f"PATCH {IN_DEMO}/configmaps/a?fieldManager=x", text, media=bodies.APPLY_PATCH)
    assert answer.code == 201
    assert answer.json["metadata"]["annotations"] == {"when": "2026-01-01"}


def test_the_status_subresource() -> None:
    api = demo_api()
    api.create(NODES, node("n", ready="False"))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "True"}]}}
    answer = ask(api, "PATCH /api/v1/nodes/n/status", ready, media=bodies.STRATEGIC_PATCH)
    assert [c["status"] for c in answer.json["status"]["conditions"]] == ["True", "True"]
    unheard = ask(api, "PATCH /api/v1/nodes/n", {"status": None}, media=bodies.MERGE_PATCH)
    assert unheard.json["status"] == answer.json["status"]
    assert ask(api, "GET /api/v1/nodes/n/status").json == answer.json
    assert ask(api, f"GET {IN_DEMO}/configmaps/a/status").code == 404


def test_lists_page_and_select() -> None:
    api = demo_api()
    for name in "abc":
        api.create(CONFIG_MAPS, config(name, labels={"odd": str(name != "b").lower()}))
    first = ask(api, f"GET {IN_DEMO}/configmaps?limit=2").json
    assert first["metadata"]["remainingItemCount"] == 1
    rest = ask(api, f"GET {IN_DEMO}/configmaps?limit=2&continue={first['metadata']['continue']}").json
    assert [obj["metadata"]["name"] for obj in first["items"] + rest["items"]] == list("abc")
    assert "continue" not in rest["metadata"]
    odd = ask(api, "GET /api/v1/configmaps?labelSelector=odd%3Dtrue&fieldSelector=metadata.name!=a").json
    assert [obj["metadata"]["name"] for obj in odd["items"]] == ["c"]


def test_deleting_a_collection() -> None:
    api = demo_api()
    for name in "ab":
        api.create(CONFIG_MAPS, config(name))
    assert len(ask(api, f"DELETE {IN_DEMO}/configmaps").json["items"]) == 2
    assert api.list(CONFIG_MAPS).items == []


def test_tables() -> None:
    api = demo_api()
    api.create(PODS, pod("a", node="n"))
    table = ask(api, f"GET {IN_DEMO}/pods", accept="application/json;as=Table;v=v1;g=meta.k8s.io").json
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"] == ["a", "0/1", "Pending", 0, "0s", "<none>", "n"]
    one = ask(api, f"GET {IN_DEMO}/pods/a", accept="application/json;as=Table;v=v1;g=meta.k8s.io").json
    assert len(one["rows"]) == 1


def test_dry_runs() -> None:
    api = demo_api()
    version = api.version
    assert ask(api, f"POST {IN_DEMO}/configmaps?dryRun=All", {"metadata": {"name": "a"}}).code == 201
    apply = ask(api, f"PATCH {IN_DEMO}/configmaps/a?dryRun=All", b"metadata: {}", media=bodies.APPLY_PATCH)
    assert apply.code == 201
    assert ask(api, "DELETE /api/v1/namespaces/demo?dryRun=All").code == 200
    assert api.version == version


REFUSED: list[tuple[str, Any, str, int, str]] = [
    ("GET /api/v1/frobs", None, "", 404, "NotFound"),
    ("GET /api/v1/pods/a", None, "", 404, "NotFound"),
    ("GET /api/v1/namespaces/demo/nodes", None, "", 404, "NotFound"),
    ("GET /api/v1/namespaces/demo/pods/a/log", None, "", 404, "NotFound"),
    ("GET /nothing", None, "", 404, "NotFound"),
    ("GET /api/v1/pods?labelSelector=a+b", None, "", 400, "BadRequest"),
    ("GET /api/v1/pods?fieldSelector=spec.x%3D1", None, "", 400, "BadRequest"),
    ("GET /api/v1/pods?limit=many", None, "", 400, "BadRequest"),
    ("GET /api/v1/pods?watch=1&resourceVersion=x", None, "", 400, "BadRequest"),
    ("GET /api/v1/pods?resourceVersionMatch=Roughly", None, "", 400, "BadRequest"),
    ("GET /api/v1/pods?resourceVersion=1000", None, "", 504, "Timeout"),
    (f"POST {IN_DEMO}/pods", None, "", 400, "BadRequest"),
    (f"POST {IN_DEMO}/pods", b"{", "", 400, "BadRequest"),
    (f"POST {IN_DEMO}/pods", b"\x00", "application/cbor", 415, "UnsupportedMediaType"),
    (f"POST {IN_DEMO}/pods/a", {}, "", 405, "MethodNotAllowed"),
    (f"PUT {IN_DEMO}/pods", {}, "", 405, "MethodNotAllowed"),
    (f"PUT {IN_DEMO}/pods/a", [], "", 400, "BadRequest"),
    (f"PUT {IN_DEMO}/pods/a", {"metadata": {"name": "b"}}, "", 400, "BadRequest"),
    (f"PUT {IN_DEMO}/pods/a", {"metadata": {"name": "a"}}, "", 404, "NotFound"),
    (f"PATCH {IN_DEMO}/pods/a", {}, bodies.MERGE_PATCH, 404, "NotFound"),
    ("PATCH /api/v1/namespaces/demo", {}, "application/json", 415, "UnsupportedMediaType"),
    ("PATCH /api/v1/namespaces/demo", [1], bodies.MERGE_PATCH, 400, "BadRequest"),
    ("PATCH /api/v1/namespaces/demo", {"metadata": {"name": "x"}}, bodies.MERGE_PATCH, 400, "BadRequest"),
    ("DELETE /api/v1/namespaces/default", None, "", 403, "Forbidden"),
    ("DELETE /api/v1/namespaces/demo?gracePeriodSeconds=-1", None, "", 400, "BadRequest"),
    ("DELETE /api/v1/namespaces/demo/status", None, "", 405, "MethodNotAllowed"),
]


@pytest.mark.parametrize(("request_", "body", "media", "code", "reason"), REFUSED)
def test_refusals_are_status_objects(request_: str, body: Any, media: str, code: int, reason: str) -> None:
    api = demo_api()
    version = api.version
    answer = ask(api, request_, body, media=media)
    assert (answer.code, answer.json["kind"], answer.json["code"], answer.json["reason"]) == (
        code,
        "Status",
        code,
        reason,
    )
    assert api.version == version


def test_options() -> None:
    body = {"gracePeriodSeconds": 5, "preconditions": {"uid": "u", "resourceVersion": "7"}, "dryRun": ["All"]}
    assert delete_options({}, body) == DeleteOptions(5, "u", "7", dry=True)
    assert delete_options({"gracePeriodSeconds": "3"}, None) == DeleteOptions(3)
    assert page_of({"resourceVersion": "4", "resourceVersionMatch": "Exact"}).exactly == 4
    assert page_of({"resourceVersion": "4"}).exactly is None
    assert watch_of({"timeoutSeconds": "9999", "resourceVersion": "0"}, 60) == watch_of({}, 60)
    assert watch_of({"timeoutSeconds": "5", "resourceVersion": "7"}, 60).since == 7


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    assert bodies.load_yaml("{a: 2026-01-01, b: 1}") == {"a": "2026-01-01", "b": 1}
    assert bodies.load_yaml(b'{"a": [1]}') == {"a": [1]}
    with pytest.raises(ApiError, match="not valid application/yaml"):
        bodies.decode("application/yaml; charset=utf-8", b"a: [")


def test_every_builtin_has_its_own_name() -> None:
    resources = list(builtin.builtin())
    assert len({resource.key for resource in resources}) == len(resources)
    short = [name for resource in resources for name in (resource.plural, *resource.short_names)]
    assert len(set(short)) == len(short)
