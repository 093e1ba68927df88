"""The in-process handle: many threads, one truth; and watches that wake at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab_api_fixture import config, new_api, node, pod

from lab.api.builtin import CONFIG_MAPS, NAMESPACES, NODES, PODS
from lab.api.errors import ApiError, Obj
from lab.api.handle import LabApi
from lab.api.selectors import Query, parse_labels
from lab.api.store import DeleteOptions

WAIT = 10.0  # seconds; a bound on hanging, never the expected time


def demo_api(history: int = 100) -> LabApi:
    api = new_api(history)
    api.create(NAMESPACES, {"metadata": {"name": "demo"}})
    return api


def test_the_usual_namespaces_are_there() -> None:
    names = [obj["metadata"]["name"] for obj in new_api().list(NAMESPACES).items]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]


def test_edits_from_many_threads_all_count() -> None:
    api = demo_api()
    api.create(CONFIG_MAPS, config("a") | {"data": {"n": 0}})

    def more(old: Obj) -> Obj:
        return old | {"data": {"n": old["data"]["n"] + 1}}

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(api.edit, CONFIG_MAPS, ("demo", "a"), more) for _ in range(200)]:
            done.result(WAIT)
    assert api.get(CONFIG_MAPS, "a", "demo")["data"] == {"n": 200}


def test_apply_creates_then_merges() -> None:
    api = demo_api()
    made, is_new = api.apply(PODS, pod("a", labels={"x": "1"}))
    assert is_new
    changed, is_new = api.apply(PODS, {"metadata": {"name": "a", "labels": {"y": "2"}}}, "demo")
    assert not is_new
    assert changed["metadata"]["labels"] == {"x": "1", "y": "2"}
    assert changed["spec"] == made["spec"]


def test_a_collection_is_deleted_by_selector() -> None:
    api = demo_api()
    for name, app in (("a", "web"), ("b", "web"), ("c", "db")):
        api.create(CONFIG_MAPS, config(name, labels={"app": app}))
    gone = api.delete_collection(CONFIG_MAPS, Query("demo", parse_labels("app=web")))
    assert [obj["metadata"]["name"] for obj in gone.items] == ["a", "b"]
    assert [obj["metadata"]["name"] for obj in api.list(CONFIG_MAPS).items] == ["c"]


def test_more_changes_at_once_than_the_history_holds_still_schedule() -> None:
    api = demo_api(history=2)
    for number in range(10):
        api.create(PODS, pod(f"p{number}", node="gone"))
    api.create(NODES, node("a"))
    api.delete_collection(PODS, Query("demo"), DeleteOptions(grace=0))
    api.create(PODS, pod("x"))
    assert api.get(PODS, "x", "demo")["spec"]["nodeName"] == "a"


def test_deleting_a_namespace_deletes_what_is_in_it() -> None:
    api = demo_api()
    api.create(CONFIG_MAPS, config("a"))
    demo = api.delete(NAMESPACES, "demo")
    assert not api.exists(NAMESPACES, demo)
    assert api.list(CONFIG_MAPS).items == []


def test_a_deleted_namespace_lingers_so_that_its_content_can_be_deleted_by_name() -> None:
    api = LabApi(linger=0.05)
    api.create(NAMESPACES, {"metadata": {"name": "demo"}})
    api.create(CONFIG_MAPS, config("a"))
    with api.watch(NAMESPACES, since=api.version) as watch:
        api.delete(NAMESPACES, "demo")
        api.delete(CONFIG_MAPS, "a", "demo")
        seen: list[str] = []
        while "DELETED" not in seen and (changes := watch.next(WAIT)):
            seen += [change for change, _ in changes]
    assert seen == ["MODIFIED", "DELETED"]


def test_a_watch_begins_with_what_there_is_and_goes_on_with_what_happens() -> None:
    api = demo_api()
    api.create(CONFIG_MAPS, config("a"))
    with api.watch(CONFIG_MAPS) as watch:
        assert [(change, obj["metadata"]["name"]) for change, obj in watch.next(0)] == [("ADDED", "a")]
        threading.Timer(0.01, api.create, (CONFIG_MAPS, config("b"))).start()
        assert [(change, obj["metadata"]["name"]) for change, obj in watch.next(WAIT)] == [("ADDED", "b")]
        assert watch.next(0) == []


def test_a_watch_is_not_woken_by_what_it_does_not_select() -> None:
    api = demo_api()
    with api.watch(CONFIG_MAPS, Query(labels=parse_labels("app=web"))) as watch:
        taken: list[str] = []
        thread = threading.Thread(target=lambda: taken.extend(obj["metadata"]["name"] for _, obj in watch.next(WAIT)))
        thread.start()
        api.create(CONFIG_MAPS, config("db", labels={"app": "db"}))
        api.create(CONFIG_MAPS, config("web", labels={"app": "web"}))
        thread.join(WAIT)
    assert taken == ["web"]


def test_closing_a_watch_ends_its_wait() -> None:
    api = demo_api()
    with api.watch(PODS) as watch:
        thread = threading.Thread(target=watch.next)
        thread.start()
        watch.close()
        watch.close()
        thread.join(WAIT)
        assert not thread.is_alive()
        assert watch.closed
        assert watch.next() == []


def test_a_watch_that_is_too_slow_is_told_so() -> None:
    api = demo_api(history=2)
    with api.watch(CONFIG_MAPS) as watch:
        api.create(CONFIG_MAPS, config("a"))
        for number in range(10):
            api.replace(CONFIG_MAPS, config("a", str(number)))
        with pytest.raises(ApiError) as refusal:
            watch.next(0)
    assert refusal.value.code == 410


def test_nothing_is_missed_between_a_list_and_a_watch() -> None:
    api = demo_api(history=1000)
    stop = threading.Event()

    def churn() -> None:
        for number in range(300):
            api.create(CONFIG_MAPS, config(f"c{number}"))
        stop.set()

    writer = threading.Thread(target=churn)
    writer.start()
    known: set[str] = set()
    with api.watch(CONFIG_MAPS) as watch:
        while len(known) < 300 and (changes := watch.next(WAIT)):
            known |= {obj["metadata"]["name"] for _, obj in changes}
    writer.join(WAIT)
    assert len(known) == 300
