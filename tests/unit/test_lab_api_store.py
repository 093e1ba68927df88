"""Objects in the store: what they are given, what an update may change, and who wins when two write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lab_api_fixture import config, new_store, pod

from lab.api.builtin import CONFIG_MAPS, EVENTS, LEASES, NAMESPACES, NODES, PODS
from lab.api.errors import ApiError
from lab.api.selectors import Query, parse_labels
from lab.api.store import DeleteOptions


def test_a_new_object_gets_identity_and_version() -> None:
    store = new_store()
    made = store.create(CONFIG_MAPS, config("a"))
    assert made["metadata"] == {
        "name": "a",
        "namespace": "demo",
        "uid": "00000002-0000",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "resourceVersion": "2",
    }
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
    assert store.get(CONFIG_MAPS, "a", "demo") == made


def test_versions_grow_across_resources() -> None:
    store = new_store()
    first = store.create(CONFIG_MAPS, config("a"))
    second = store.create(PODS, pod("a"))
    third = store.replace(CONFIG_MAPS, first | {"data": {"x": "1"}})
    assert [int(obj["metadata"]["resourceVersion"]) for obj in (first, second, third)] == [2, 3, 4]
    assert store.version == 4


def test_generate_name_makes_names_from_the_id() -> None:
    made = new_store().create(CONFIG_MAPS, {"metadata": {"generateName": "run-", "namespace": "demo"}})
    assert made["metadata"]["name"] == "run-00000"


def test_first_status_is_the_api_servers() -> None:
    store = new_store()
    assert store.create(PODS, pod("a") | {"status": {"phase": "Running"}})["status"] == {"phase": "Pending"}
    assert store.get(NAMESPACES, "demo")["status"] == {"phase": "Active"}
    # A kubelet registers its node with the status it has found.
    assert store.create(NODES, {"metadata": {"name": "n"}, "status": {"x": 1}})["status"] == {"x": 1}


def test_namespaces_carry_their_name_as_a_label_whatever_an_update_says() -> None:
    store = new_store()
    demo = store.get(NAMESPACES, "demo")
    assert demo["metadata"]["labels"] == {"kubernetes.io/metadata.name": "demo"}
    changed = store.replace(NAMESPACES, {"metadata": {"name": "demo", "labels": {"team": "a"}}})
    assert changed["metadata"]["labels"] == {"kubernetes.io/metadata.name": "demo", "team": "a"}


BAD: list[tuple[str, Any, int, str]] = [
    ("not an object", [], 400, "expected an object with metadata"),
    ("no metadata", {"data": {}}, 400, "expected an object with metadata"),
    ("no name", {"metadata": {"namespace": "demo"}}, 422, "name or generateName is required"),
    ("upper case", config("Bad"), 422, "'Bad'"),
    ("too long", config("a" * 254), 422, "metadata.name"),
    ("another kind", config("a") | {"kind": "Pod"}, 400, "kind in the data (Pod)"),
    ("another version", config("a") | {"apiVersion": "v2"}, 400, "apiVersion in the data (v2)"),
    ("no namespace", {"metadata": {"name": "a"}}, 400, "empty namespace"),
    ("labels that are not strings", config("a", labels={"x": 1}), 422, "metadata.labels"),
    ("unknown namespace", config("a", namespace="nowhere"), 404, 'namespaces "nowhere" not found'),
    ("taken", config("taken"), 409, 'configmaps "taken" already exists'),
]


@pytest.mark.parametrize(("case", "obj", "code", "words"), BAD, ids=[case for case, *_ in BAD])
def test_bad_objects_are_refused_and_change_nothing(case: str, obj: Any, code: int, words: str) -> None:
    store = new_store()
    store.create(CONFIG_MAPS, config("taken"))
    with pytest.raises(ApiError) as refusal:
        store.create(CONFIG_MAPS, obj)
    assert refusal.value.code == code, case
    assert words in refusal.value.message
    assert store.version == 2


def test_the_namespace_of_the_request_and_of_the_object_must_agree() -> None:
    with pytest.raises(ApiError, match="does not match"):
        new_store().create(CONFIG_MAPS, config("a"), "default")


def test_messages_name_the_group() -> None:
    with pytest.raises(ApiError, match=r'leases.coordination.k8s.io "x" not found') as refusal:
        new_store().get(LEASES, "x", "demo")
    assert refusal.value.status()["details"] == {"name": "x", "kind": "leases", "group": "coordination.k8s.io"}


def test_a_stale_version_conflicts_and_none_means_whatever_is_there() -> None:
    store = new_store()
    first = store.create(CONFIG_MAPS, config("a"))
    store.replace(CONFIG_MAPS, first | {"data": {"x": "1"}})
    with pytest.raises(ApiError, match="has been modified") as refusal:
        store.replace(CONFIG_MAPS, first | {"data": {"x": "2"}})
    assert (refusal.value.code, refusal.value.reason) == (409, "Conflict")
    assert store.replace(CONFIG_MAPS, config("a", "3"))["data"] == {"value": "3"}


def test_an_update_keeps_what_clients_may_not_change() -> None:
    store = new_store()
    old = store.create(CONFIG_MAPS, config("a"))["metadata"]
    forged = {
        "creationTimestamp": "1999-01-01T00:00:00Z",
        "generation": 99,
        "deletionTimestamp": "1999-01-01T00:00:00Z",
    }
    new = store.replace(CONFIG_MAPS, config("a", "1", **forged))["metadata"]
    assert {key: new[key] for key in ("uid", "creationTimestamp")} == {
        key: old[key] for key in ("uid", "creationTimestamp")
    }
    assert new["generation"] == 2
    assert "deletionTimestamp" not in new


def test_another_uid_is_another_object() -> None:
    store = new_store()
    store.create(CONFIG_MAPS, config("a"))
    with pytest.raises(ApiError, match="UID in precondition"):
        store.replace(CONFIG_MAPS, config("a", "1", uid="other"))


def test_no_change_is_no_event() -> None:
    store = new_store()
    made = store.create(CONFIG_MAPS, config("a", "1"))
    assert store.replace(CONFIG_MAPS, config("a", "1")) == made
    assert store.version == 2


def test_generation_counts_changes_of_intent_only() -> None:
    store = new_store()
    made = store.create(PODS, pod("a"))
    labelled = store.replace(PODS, pod("a", labels={"x": "y"}))
    reported = store.replace(
        PODS, made | {"metadata": {"name": "a", "namespace": "demo"}, "status": {"phase": "Running"}}, "status"
    )
    bound = store.replace(PODS, pod("a", node="n"))
    assert [obj["metadata"]["generation"] for obj in (made, labelled, reported, bound)] == [1, 1, 1, 2]


def test_status_and_the_rest_are_written_apart() -> None:
    store = new_store()
    store.create(PODS, pod("a"))
    running = pod("a", node="n") | {"status": {"phase": "Running"}}
    assert store.replace(PODS, running)["status"] == {"phase": "Pending"}
    other = pod("a", node="m", labels={"x": "y"}) | {"status": {"phase": "Running"}}
    found = store.replace(PODS, other, "status")
    assert (found["status"], found["spec"]["nodeName"]) == ({"phase": "Running"}, "n")
    assert "labels" not in found["metadata"]
    both = store.replace(PODS, pod("a", node="m") | {"status": {"phase": "Failed"}}, "all")
    assert (both["status"], both["spec"]["nodeName"]) == ({"phase": "Failed"}, "m")


def test_dry_runs_answer_and_change_nothing() -> None:
    store = new_store()
    store.create(CONFIG_MAPS, config("a"))
    assert store.create(CONFIG_MAPS, config("b"), dry=True)["metadata"]["name"] == "b"
    assert store.replace(CONFIG_MAPS, config("a", "1"), dry=True)["data"] == {"value": "1"}
    store.delete(CONFIG_MAPS, "a", "demo", DeleteOptions(dry=True))
    store.delete(NAMESPACES, "demo", options=DeleteOptions(dry=True))
    assert store.version == 2
    assert [obj["metadata"]["name"] for obj in store.list(CONFIG_MAPS).items] == ["a"]


def test_lists_are_sorted_and_selected() -> None:
    store = new_store()
    store.create(NAMESPACES, {"metadata": {"name": "a"}})
    for name, namespace, app in (("z", "demo", "web"), ("b", "demo", "db"), ("c", "a", "web")):
        store.create(CONFIG_MAPS, config(name, namespace=namespace, labels={"app": app}))

    def names(query: Query) -> list[str]:
        return [obj["metadata"]["name"] for obj in store.list(CONFIG_MAPS, query).items]

    assert names(Query()) == ["c", "b", "z"]
    assert names(Query("demo")) == ["b", "z"]
    assert names(Query(labels=parse_labels("app=web"))) == ["c", "z"]


def test_the_oldest_makes_room_where_nobody_deletes() -> None:
    store = new_store()
    few = replace(CONFIG_MAPS, keep=2)
    for name in "zya":
        store.create(few, config(name))
    assert [obj["metadata"]["name"] for obj in store.list(few).items] == ["a", "y"]
    assert [event.type for event in store.events(few, 2)] == ["ADDED", "DELETED", "ADDED"]
    assert EVENTS.keep


def test_what_goes_in_is_never_changed() -> None:
    store = new_store()
    posted = pod("a", labels={"x": "y"})
    copy = pod("a", labels={"x": "y"})
    made = store.create(PODS, posted)
    before = dict(made), dict(made["metadata"])
    store.replace(PODS, posted | {"spec": {}})
    assert posted == copy
    assert (made, made["metadata"]) == before
