"""Leases at the lab's API, as leader election and the watch of one Lease need them."""

from __future__ import annotations

from typing import Any

import pytest
from lab_api_fixture import ask, new_api

from lab.api.builtin import LEASES, NAMESPACES
from lab.api.handle import LabApi

ALL = "/apis/coordination.k8s.io/v1/leases"
IN_DEMO = "/apis/coordination.k8s.io/v1/namespaces/demo/leases"
MERGE = "application/merge-patch+json"
SPEC = {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}


def body(name: str = "l", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "demo"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": SPEC | spec}


@pytest.fixture
def api() -> LabApi:
    made = new_api()
    made.create(NAMESPACES, {"metadata": {"name": "demo"}})
    return made


def test_a_lease_is_made_once(api: LabApi) -> None:
    assert ask(api, f"GET {IN_DEMO}/l").code == 404
    made = ask(api, f"POST {IN_DEMO}", body())
    assert made.code == 201
    assert made.json["spec"] == ask(api, f"GET {IN_DEMO}/l").json["spec"] == SPEC
    assert (again := ask(api, f"POST {IN_DEMO}", body())).code == 409
    assert again.json["reason"] == "AlreadyExists"


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_of_two_that_have_seen_the_same_the_first_may_write(api: LabApi, verb: str) -> None:
    seen = ask(api, f"POST {IN_DEMO}", body()).json["metadata"]["resourceVersion"]

    def write(holder: str) -> tuple[int, Any]:
        changed = body(holderIdentity=holder)
        changed["metadata"]["resourceVersion"] = seen
        answer = ask(api, f"{verb} {IN_DEMO}/l", changed, media=MERGE if verb == "PATCH" else "")
        return answer.code, answer.json

    assert write("two")[0] == 200
    code, status = write("three")
    assert (code, status["reason"]) == (409, "Conflict")
    assert ask(api, f"GET {IN_DEMO}/l").json["spec"]["holderIdentity"] == "two"


def test_a_merge_patch_leaves_what_others_have_written(api: LabApi) -> None:
    made = body()
    made["metadata"] |= {"annotations": {"a": "1"}, "labels": {"b": "2"}}
    ask(api, f"POST {IN_DEMO}", made)
    patch = {"metadata": {"annotations": {"c": "3"}}, "spec": {"holderIdentity": "two"}}
    changed = ask(api, f"PATCH {IN_DEMO}/l", patch, media=MERGE).json
    assert changed["metadata"]["annotations"] == {"a": "1", "c": "3"}
    assert changed["metadata"]["labels"] == {"b": "2"}
    assert changed["spec"] == SPEC | {"holderIdentity": "two"}


@pytest.mark.parametrize("where", [ALL, IN_DEMO])
def test_one_lease_is_listed_and_watched_by_its_name(api: LabApi, where: str) -> None:
    for name in ("l", "other"):
        api.create(LEASES, body(name), "demo")
    listed = ask(api, f"GET {where}?fieldSelector=metadata.name%3Dl").json
    assert [each["metadata"]["name"] for each in listed["items"]] == ["l"]
    for name in ("other", "l"):
        ask(api, f"PATCH {IN_DEMO}/{name}", {"spec": {"holderIdentity": "two"}}, media=MERGE)
    since = listed["metadata"]["resourceVersion"]
    query = f"watch=true&fieldSelector=metadata.name%3Dl&resourceVersion={since}&timeoutSeconds=1"
    (line,) = ask(api, f"GET {where}?{query}").lines
    assert (line["type"], line["object"]["metadata"]["name"]) == ("MODIFIED", "l")


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"leaseDurationSeconds": 0}, 422, "spec.leaseDurationSeconds: must be 1 or greater, got 0"),
        ({"leaseTransitions": -1}, 422, "spec.leaseTransitions: must be 0 or greater, got -1"),
        ({"renewTime": "2026-01-01T00:00:00Z"}, 400, "spec.renewTime '2026-01-01T00:00:00Z'"),
        ({"acquireTime": "2026-01-01T00:00:00.000Z"}, 400, "a time with six digits of a second is needed"),
        ({"acquireTime": 5}, 400, "spec.acquireTime 5"),
    ],
)
def test_what_the_api_server_refuses_is_refused(api: LabApi, spec: dict[str, Any], code: int, words: str) -> None:
    refused = ask(api, f"POST {IN_DEMO}", body(**spec))
    assert refused.code == code
    assert words in refused.json["message"]
    ask(api, f"POST {IN_DEMO}", body())
    assert ask(api, f"PATCH {IN_DEMO}/l", {"spec": spec}, media=MERGE).code == code


def test_nobody_is_a_holder_too(api: LabApi) -> None:
    ask(api, f"POST {IN_DEMO}", body())
    released = ask(api, f"PATCH {IN_DEMO}/l", {"spec": {"holderIdentity": "", "acquireTime": None}}, media=MERGE)
    assert (released.code, released.json["spec"]["holderIdentity"]) == (200, "")
