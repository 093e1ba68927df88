"""Watches over HTTP: where they start, what they say, how they end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from lab_api_fixture import ask, config, new_api, pod

from lab.api.builtin import CONFIG_MAPS, NAMESPACES, PODS
from lab.api.handle import LabApi
from lab.api.paths import WatchOptions
from lab.api.rendering import View
from lab.api.selectors import Query
from lab.api.watching import Watchers, WatchRequest, stream

WATCH = "GET /api/v1/configmaps?watch=1"
WAIT = 10.0  # seconds; a bound on hanging, never the expected time


def demo_api(history: int = 100) -> LabApi:
    api = new_api(history)
    api.create(NAMESPACES, {"metadata": {"name": "demo"}})
    for name in "ab":
        api.create(CONFIG_MAPS, config(name))
    return api


def told(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line["type"], line["object"]["metadata"].get("name", "")) for line in lines]


@pytest.mark.parametrize("start", ["", "&resourceVersion=0", "&resourceVersion="])
def test_without_a_version_everything_there_is_comes_first(start: str) -> None:
    assert told(ask(demo_api(), WATCH + start).lines) == [("ADDED", "a"), ("ADDED", "b")]


def test_with_a_version_only_what_came_after() -> None:
    api = demo_api()
    since = api.version
    api.replace(CONFIG_MAPS, config("a", "1"))
    api.delete(CONFIG_MAPS, "b", "demo")
    assert told(ask(api, f"{WATCH}&resourceVersion={since}").lines) == [("MODIFIED", "a"), ("DELETED", "b")]


def test_a_named_object_can_be_watched() -> None:
    assert told(ask(demo_api(), "GET /api/v1/namespaces/demo/configmaps/b?watch=true").lines) == [("ADDED", "b")]


def test_streaming_lists_end_their_start_with_a_bookmark() -> None:
    api = demo_api()
    options = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    lines = ask(api, WATCH + options).lines
    assert told(lines)[:3] == [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", "")]
    meta = lines[2]["object"]["metadata"]
    assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert meta["resourceVersion"] == str(api.version)


def test_a_quiet_watch_says_how_far_it_has_come_when_that_is_wanted() -> None:
    api = demo_api()
    since = api.version
    api.create(PODS, pod("x"))

    async def first_line() -> Any:
        wanted = WatchOptions(since, bookmarks=True, announce_end=False, timeout=WAIT)
        lines = stream(api, WatchRequest(View(CONFIG_MAPS), Query(), wanted), Watchers(bookmark_every=0.01))
        try:
            return msgspec.json.decode(await anext(lines))
        finally:
            await lines.aclose()

    line = asyncio.run(asyncio.wait_for(first_line(), WAIT))
    assert (line["type"], line["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
    assert line["object"]["metadata"]["resourceVersion"] == str(api.version)


def test_a_watch_ends_when_its_time_is_over() -> None:
    api = demo_api()

    async def all_lines() -> list[bytes]:
        brief = WatchOptions(None, bookmarks=False, announce_end=False, timeout=0.01)
        return [line async for line in stream(api, WatchRequest(View(CONFIG_MAPS), Query(), brief), Watchers())]

    assert len(asyncio.run(asyncio.wait_for(all_lines(), WAIT))) == 1


def test_what_is_forgotten_is_an_error_line() -> None:
    api = demo_api(history=2)
    since = api.version
    for value in range(10):
        api.replace(CONFIG_MAPS, config("a", str(value)))
    answer = ask(api, f"{WATCH}&resourceVersion={since}")
    assert answer.code == 200
    assert [(line["type"], line["object"]["code"], line["object"]["reason"]) for line in answer.lines] == [
        ("ERROR", 410, "Expired")
    ]


def test_tables_are_streamed_row_by_row() -> None:
    lines = ask(demo_api(), WATCH, accept="application/json;as=Table;v=v1;g=meta.k8s.io").lines
    assert [line["object"]["kind"] for line in lines] == ["Table", "Table"]
    assert lines[0]["object"]["rows"][0]["cells"][0] == "a"


def options(since: int) -> WatchOptions:
    return WatchOptions(since, bookmarks=False, announce_end=False, timeout=WAIT)


def test_a_change_wakes_the_watcher_and_leaving_frees_it() -> None:
    api = demo_api()

    async def first_line() -> bytes:
        lines = stream(api, WatchRequest(View(CONFIG_MAPS), Query(), options(api.version)), Watchers())
        threading.Timer(0.01, api.create, (CONFIG_MAPS, config("late"))).start()
        try:
            return await anext(lines)
        finally:
            await lines.aclose()

    assert b'"late"' in asyncio.run(asyncio.wait_for(first_line(), WAIT))
    assert not any(api._wakes.values())


def test_closing_the_watchers_ends_every_watch() -> None:
    api = demo_api()
    watchers = Watchers()

    async def all_lines() -> list[bytes]:
        asyncio.get_running_loop().call_later(0.01, watchers.close)
        request = WatchRequest(View(CONFIG_MAPS), Query(), options(api.version))
        return [line async for line in stream(api, request, watchers)]

    assert asyncio.run(asyncio.wait_for(all_lines(), WAIT)) == []
