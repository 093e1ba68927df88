"""The past: what watchers are told, how far back they may ask, and lists that stay what they were between pages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_api_fixture import config, new_store

from lab.api.builtin import CONFIG_MAPS, PODS
from lab.api.errors import ApiError, Obj
from lab.api.selectors import Query, parse_labels
from lab.api.store import Page, Store
from lab.api.table import name_of

WEB = Query(labels=parse_labels("app=web"))


def test_events_come_in_order_and_once() -> None:
    store = new_store()
    store.create(CONFIG_MAPS, config("a"))
    store.replace(CONFIG_MAPS, config("a", "1"))
    store.delete(CONFIG_MAPS, "a", "demo")
    events = store.events(CONFIG_MAPS, 1)
    assert [(event.version, event.type) for event in events] == [(2, "ADDED"), (3, "MODIFIED"), (4, "DELETED")]
    assert [event.version for event in store.events(CONFIG_MAPS, 3)] == [4]
    assert store.events(CONFIG_MAPS, 4) == []


def test_a_watcher_sees_objects_enter_and_leave_its_selection() -> None:
    store = new_store()
    for labels in ({"app": "db"}, {"app": "web"}, {"app": "web", "x": "y"}, {"app": "db"}, {"app": "api"}):
        change = store.replace if store.version > 1 else store.create
        change(CONFIG_MAPS, config("a", labels=labels))
    seen = [event.seen_by(WEB) for event in store.events(CONFIG_MAPS, 1)]
    assert [one and one[0] for one in seen] == [None, "ADDED", "MODIFIED", "DELETED", None]


def test_the_end_of_an_object_is_told_to_those_who_knew_it() -> None:
    store = new_store()
    store.create(CONFIG_MAPS, config("a", labels={"app": "web"}))
    store.delete(CONFIG_MAPS, "a", "demo")
    event = store.events(CONFIG_MAPS, 2)[0]
    assert event.seen_by(WEB) == ("DELETED", event.object)
    assert event.seen_by(Query("other")) is None


def test_what_is_forgotten_is_410_expired() -> None:
    store = new_store(history=3)
    store.create(CONFIG_MAPS, config("a"))
    for value in range(20):
        store.replace(CONFIG_MAPS, config("a", str(value)))
    with pytest.raises(ApiError, match="too old resource version: 2") as refusal:
        store.events(CONFIG_MAPS, 2)
    assert (refusal.value.code, refusal.value.reason) == (410, "Expired")
    assert len(store.events(CONFIG_MAPS, store.version - 3)) == 3


def test_one_busy_resource_does_not_expire_the_others() -> None:
    store = new_store(history=3)
    store.create(CONFIG_MAPS, config("a"))
    for value in range(20):
        store.replace(CONFIG_MAPS, config("a", str(value)))
    assert store.events(PODS, 1) == []


def test_a_version_of_another_life_is_410_for_watches_and_504_for_lists() -> None:
    store = new_store()
    with pytest.raises(ApiError) as watch:
        store.events(PODS, 1000)
    with pytest.raises(ApiError) as list_:
        store.list(PODS, page=Page(not_before=1000))
    assert (watch.value.code, list_.value.code) == (410, 504)
    assert list_.value.details["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_pages_show_one_moment_whatever_happens_in_between() -> None:
    store = new_store()
    for name in "abcde":
        store.create(CONFIG_MAPS, config(name))
    first = store.list(CONFIG_MAPS, page=Page(limit=2))
    assert (len(first.items), first.remaining, first.version) == (2, 3, 6)
    store.delete(CONFIG_MAPS, "c", "demo")
    store.replace(CONFIG_MAPS, config("d", "changed"))
    store.create(CONFIG_MAPS, config("cc"))
    second = store.list(CONFIG_MAPS, page=Page(limit=2, token=first.token))
    third = store.list(CONFIG_MAPS, page=Page(limit=2, token=second.token))
    pages = [*first.items, *second.items, *third.items]
    assert [obj["metadata"]["name"] for obj in pages] == list("abcde")
    assert all(obj["data"]["value"] == "" for obj in pages)
    assert (second.version, third.version, third.token) == (6, 6, "")


def test_a_page_asked_for_too_late_is_410_and_a_made_up_one_400() -> None:
    store = new_store(history=2)
    for name in "abc":
        store.create(CONFIG_MAPS, config(name))
    token = store.list(CONFIG_MAPS, page=Page(limit=1)).token
    for value in range(10):
        store.replace(CONFIG_MAPS, config("a", str(value)))
    for bad, code in ((token, 410), ("nonsense", 400)):
        with pytest.raises(ApiError) as refusal:
            store.list(CONFIG_MAPS, page=Page(limit=1, token=bad))
        assert refusal.value.code == code


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abc"), st.integers(0, 3)), max_size=30
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_law_the_past_can_be_listed_and_replayed(steps: list[tuple[str, str, int]]) -> None:
    """A list at a version is what was there then, and it plus the events since is what is there now."""
    store = new_store()
    moments = {store.version: dict[tuple[str, str], Obj]()}
    for step in steps:
        _take(store, *step)
        moments[store.version] = {name_of(obj): obj for obj in store.list(CONFIG_MAPS).items}
    now = moments[store.version]
    for version, then in moments.items():
        found = {name_of(obj): obj for obj in store.list(CONFIG_MAPS, page=Page(exactly=version)).items}
        assert found == then
        for event in store.events(CONFIG_MAPS, version):
            if event.type == "DELETED":
                del found[name_of(event.object)]
            else:
                found[name_of(event.object)] = event.object
        assert found == now


def _take(store: Store, step: str, name: str, value: int) -> None:
    there = any(obj["metadata"]["name"] == name for obj in store.list(CONFIG_MAPS).items)
    if step == "delete" and there:
        store.delete(CONFIG_MAPS, name, "demo")
    elif step == "put":
        (store.replace if there else store.create)(CONFIG_MAPS, config(name, str(value)))
