"""Kinds that arrive later: CustomResourceDefinitions and resources that lab code registers."""

from __future__ import annotations

from typing import Any

import pytest
from lab_api_fixture import START, ask, crd, new_api

from lab.api.crd import from_crd, json_path
from lab.api.errors import ApiError
from lab.api.resources import Resource

DOCUMENT = {
    "spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], "on": True},
    "metadata": {"annotations": {"example.dev/x": "y"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}
PATHS: list[tuple[str, list[Any]]] = [
    (".spec.on", [True]),
    (".spec.none.deeper", []),
    (".spec.ports[0].port", [80]),
    (".spec.ports[7].port", []),
    (".spec.ports[*].name", ["a", "b"]),
    ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
    (".status.conditions[?(@.type=='None')].status", []),
    (".metadata.annotations.example\\.dev/x", []),
]
BAD: list[tuple[str, Any, str]] = [
    ("spec.group", {"group": ""}, "non-empty string"),
    ("spec.names.kind", {"names": {"plural": "widgets"}}, "non-empty string"),
    ("spec.scope", {"scope": "Galaxy"}, '"Namespaced" or "Cluster"'),
    ("metadata.name", {"group": "other.dev"}, "widgets.other.dev"),
    ("spec.versions", {"versions": [{"name": "v1", "served": False}]}, "must be served"),
]


@pytest.mark.parametrize(("path", "found"), PATHS)
def test_json_paths(path: str, found: list[Any]) -> None:
    assert json_path(DOCUMENT, path) == found


@pytest.mark.parametrize(("field", "change", "words"), BAD, ids=[field for field, *_ in BAD])
def test_bad_definitions_are_refused_and_nothing_is_served(field: str, change: Any, words: str) -> None:
    api = new_api()
    good = crd()
    answer = ask(
        api, "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", good | {"spec": good["spec"] | change}
    )
    assert answer.code == 422
    assert answer.json["details"]["causes"][0]["field"] == field
    assert words in answer.json["message"]
    assert ask(api, "GET /apis/example.dev/v1").code == 404


def test_a_definition_is_served_from_the_moment_its_creation_returns() -> None:
    api = new_api()
    made = ask(api, "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd())
    assert made.code == 201
    found = ask(api, "GET /apis/example.dev/v1").json["resources"]
    assert [(entry["name"], entry["shortNames"]) for entry in found] == [("widgets", ["wi"])]
    stored = ask(api, "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.dev").json
    assert ("Established", "True") in [(c["type"], c["status"]) for c in stored["status"]["conditions"]]
    widget = {"metadata": {"name": "w"}, "spec": {"size": 3}}
    assert ask(api, "POST /apis/example.dev/v1/namespaces/default/widgets", widget).code == 201
    listed = ask(api, "GET /apis/example.dev/v1/widgets").json
    assert (listed["kind"], listed["apiVersion"], listed["items"][0]["kind"]) == (
        "WidgetList",
        "example.dev/v1",
        "Widget",
    )


def test_a_deleted_definition_takes_its_objects_with_it() -> None:
    api = new_api()
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    ask(api, f"POST {where}", crd())
    ask(api, "POST /apis/example.dev/v1/namespaces/default/widgets", {"metadata": {"name": "w"}})
    since = api.version
    ask(api, f"DELETE {where}/widgets.example.dev")
    assert ask(api, "GET /apis/example.dev/v1/widgets").code == 404
    ask(api, f"POST {where}", crd())
    assert ask(api, "GET /apis/example.dev/v1/widgets").json["items"] == []
    # A watcher that comes back is told that its objects went.
    lines = ask(api, f"GET /apis/example.dev/v1/widgets?watch=1&resourceVersion={since}").lines
    assert [line["type"] for line in lines] == ["DELETED"]


def test_versions_of_a_kind_are_views_of_the_same_objects() -> None:
    api = new_api()
    both = crd(subresources={"status": {}})
    both["spec"]["versions"].append({"name": "v2", "served": True, "storage": False})
    ask(api, "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", both)
    ask(api, "POST /apis/example.dev/v2/namespaces/default/widgets", {"metadata": {"name": "w"}})
    for version in ("v1", "v2"):
        path = f"/apis/example.dev/{version}/namespaces/default/widgets/w"
        assert ask(api, f"GET {path}").json["apiVersion"] == f"example.dev/{version}"
    group = ask(api, "GET /apis/example.dev").json
    assert group["preferredVersion"]["version"] == "v1"
    assert [version["version"] for version in group["versions"]] == ["v1", "v2"]


def test_printer_columns_and_selectable_fields() -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Since", "type": "date", "jsonPath": ".status.since", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    selectable = [{"jsonPath": ".spec.color"}]
    resource = from_crd(crd(additionalPrinterColumns=columns, selectableFields=selectable))[0]
    obj = {"metadata": {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"size": 3}}
    assert [(c.name, c.cell(obj, START), c.wide) for c in resource.columns] == [
        ("Name", "w", False), ("Size", "3", False), ("Since", "", True), ("Age", "0s", False),
    ]  # fmt: skip
    assert resource.fields == {"spec.color"}


def test_status_is_apart_only_where_the_definition_says_so() -> None:
    plain, apart = (from_crd(crd(**extra))[0] for extra in ({}, {"subresources": {"status": {}}}))
    assert (plain.status, plain.first_status, apart.status, apart.first_status) == (False, None, True, {})


def test_lab_code_registers_resources_too() -> None:
    api = new_api()
    deployments = Resource("apps", "v1", "deployments", "Deployment", short_names=("deploy",))
    with pytest.raises(ApiError, match="could not find the requested resource"):
        api.find("apps", "v1", "deployments")
    api.register(deployments)
    assert api.find("apps", "v1", "deployments") is deployments
    api.create(deployments, {"metadata": {"name": "d", "namespace": "default"}})
    assert len(ask(api, "GET /apis/apps/v1/namespaces/default/deployments").json["items"]) == 1
    assert [group["name"] for group in ask(api, "GET /apis").json["groups"]][-1] == "apps"
