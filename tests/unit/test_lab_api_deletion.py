"""How objects go: at once, when their node has stopped them, when their finalizers are done, with their namespace."""

from __future__ import annotations

import pytest
from lab_api_fixture import config, new_store, pod

from lab.api.builtin import CONFIG_MAPS, NAMESPACES, PODS
from lab.api.errors import ApiError
from lab.api.store import DeleteOptions, Store

AT_ONCE = DeleteOptions(grace=0)


def kinds(store: Store, since: int) -> list[str]:
    return [event.type for event in store.events(PODS, since)]


def test_a_pod_nobody_runs_goes_at_once() -> None:
    store = new_store()
    made = store.create(PODS, pod("a"))
    last = store.delete(PODS, "a", "demo")
    assert not store.exists(PODS, made)
    assert kinds(store, 2) == ["DELETED"]
    assert last["metadata"]["resourceVersion"] == "3"


def test_a_pod_on_a_node_is_marked_until_its_node_deletes_it() -> None:
    store = new_store()
    made = store.create(PODS, pod("a", node="n"))
    marked = store.delete(PODS, "a", "demo")["metadata"]
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:30Z", 30)
    assert store.exists(PODS, made)
    store.delete(PODS, "a", "demo", AT_ONCE)
    assert not store.exists(PODS, made)
    assert kinds(store, 2) == ["MODIFIED", "DELETED"]


GRACE = [
    ("the pod's own", {"terminationGracePeriodSeconds": 5}, None, "2026-01-01T00:00:05Z"),
    ("what was asked", {"terminationGracePeriodSeconds": 5}, 2, "2026-01-01T00:00:02Z"),
    ("30 s when nobody says", {}, None, "2026-01-01T00:00:30Z"),
]


@pytest.mark.parametrize(("case", "spec", "asked", "end"), GRACE, ids=[case for case, *_ in GRACE])
def test_grace_periods(case: str, spec: dict[str, int], asked: int | None, end: str) -> None:
    store = new_store()
    store.create(PODS, pod("a", node="n", **spec))
    assert store.delete(PODS, "a", "demo", DeleteOptions(asked))["metadata"]["deletionTimestamp"] == end, case


def test_deleting_again_brings_the_end_nearer_but_never_moves_it_away() -> None:
    store = new_store()
    store.create(PODS, pod("a", node="n"))
    ends = [store.delete(PODS, "a", "demo", DeleteOptions(grace))["metadata"] for grace in (10, 20, 5)]
    assert [end["deletionGracePeriodSeconds"] for end in ends] == [10, 10, 5]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_has_nothing_to_stop(phase: str) -> None:
    store = new_store()
    made = store.create(PODS, pod("a", node="n"))
    store.replace(PODS, made | {"status": {"phase": phase}}, "status")
    store.delete(PODS, "a", "demo")
    assert not store.exists(PODS, made)


def test_finalizers_hold_an_object_until_the_last_is_gone() -> None:
    store = new_store()
    made = store.create(CONFIG_MAPS, config("a", finalizers=["x", "y"]))
    assert "deletionTimestamp" in store.delete(CONFIG_MAPS, "a", "demo")["metadata"]
    store.replace(CONFIG_MAPS, config("a", finalizers=["y"]))
    assert store.exists(CONFIG_MAPS, made)
    store.replace(CONFIG_MAPS, config("a"))
    assert not store.exists(CONFIG_MAPS, made)


def test_forcing_does_not_skip_finalizers() -> None:
    store = new_store()
    held = pod("a", node="n")
    made = store.create(PODS, held | {"metadata": held["metadata"] | {"finalizers": ["x"]}})
    store.delete(PODS, "a", "demo", AT_ONCE)
    assert store.exists(PODS, made)
    store.replace(PODS, held)
    assert not store.exists(PODS, made)


def test_preconditions() -> None:
    store = new_store()
    made = store.create(CONFIG_MAPS, config("a"))
    for options in (DeleteOptions(uid="other"), DeleteOptions(version="1")):
        with pytest.raises(ApiError, match="precondition") as refusal:
            store.delete(CONFIG_MAPS, "a", "demo", options)
        assert refusal.value.code == 409
    store.delete(CONFIG_MAPS, "a", "demo", DeleteOptions(uid=made["metadata"]["uid"], version="2"))
    assert not store.exists(CONFIG_MAPS, made)


def test_deleting_nothing_is_not_found() -> None:
    with pytest.raises(ApiError) as refusal:
        new_store().delete(PODS, "a", "demo")
    assert refusal.value.code == 404


def test_a_later_object_of_the_same_name_is_another() -> None:
    store = new_store()
    first = store.create(CONFIG_MAPS, config("a"))
    store.delete(CONFIG_MAPS, "a", "demo")
    second = store.create(CONFIG_MAPS, config("a"))
    assert not store.exists(CONFIG_MAPS, first)
    assert store.exists(CONFIG_MAPS, second)


def test_a_deleted_namespace_takes_no_more_and_goes_with_the_last_object_in_it() -> None:
    store = new_store()
    store.create(CONFIG_MAPS, config("a"))
    store.create(PODS, pod("loose"))
    held = store.create(PODS, pod("held", node="n"))
    demo = store.delete(NAMESPACES, "demo")
    assert demo["status"] == {"phase": "Terminating"}
    with pytest.raises(ApiError, match="is being terminated") as refusal:
        store.create(CONFIG_MAPS, config("b"))
    assert refusal.value.code == 403
    store.empty_namespace("demo")
    assert store.list(CONFIG_MAPS).items == []
    assert [obj["metadata"]["name"] for obj in store.list(PODS).items] == ["held"]
    assert store.exists(NAMESPACES, demo)
    store.delete(PODS, "held", "demo", AT_ONCE)
    assert not store.exists(PODS, held)
    assert not store.exists(NAMESPACES, demo)


def test_an_empty_namespace_goes_when_emptied_and_emptying_twice_is_once() -> None:
    store = new_store()
    demo = store.delete(NAMESPACES, "demo")
    assert store.delete(NAMESPACES, "demo") == demo
    store.empty_namespace("demo")
    assert not store.exists(NAMESPACES, demo)
    version = store.version
    store.empty_namespace("demo")
    assert store.version == version


def test_clusters_need_their_system_namespaces() -> None:
    store = new_store()
    store.create(NAMESPACES, {"metadata": {"name": "kube-system"}})
    with pytest.raises(ApiError, match="may not be deleted"):
        store.delete(NAMESPACES, "kube-system")
