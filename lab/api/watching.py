"""Watches over HTTP: a stream of JSON lines that waits for changes without polling.

A watcher keeps only a position in the history. It is woken after a change and reads what is new from there, so a
slow one costs no memory, and one that falls out of the history is told 410 and lists again.
Source: Kubernetes API concepts ("Efficient detection of changes", "Watch bookmarks", "Streaming lists").
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from lab.api.errors import ApiError, Obj
from lab.api.handle import LabApi
from lab.api.paths import WatchOptions
from lab.api.rendering import View
from lab.api.selectors import Query

# How often a quiet watch says how far it has come, so that a client that returns finds its place in the history.
BOOKMARK_SECONDS = 30.0
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What is watched, how it is shown, and from when until when."""

    view: View
    query: Query
    options: WatchOptions


class Watchers:
    """The watches of one server, so that it can end them all and stop without waiting for their clients."""

    def __init__(self, bookmark_every: float = BOOKMARK_SECONDS) -> None:
        self.bookmark_every = bookmark_every
        self.closed = False
        self._woken: set[asyncio.Event] = set()

    def close(self) -> None:
        """Ends every watch. To be called in the event loop's thread."""
        self.closed = True
        for woken in self._woken:
            woken.set()

    @contextmanager
    def joined(self, woken: asyncio.Event) -> Iterator[None]:
        self._woken.add(woken)
        try:
            yield
        finally:
            self._woken.discard(woken)


async def stream(api: LabApi, request: WatchRequest, watchers: Watchers) -> AsyncIterator[bytes]:
    """The lines of one watch. What cannot go on ends with an ERROR line, as the API server does it."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(woken.set)

    with watchers.joined(woken), api.subscribed(request.view.resource, wake):
        try:
            async for lines in _lines(api, request, woken, watchers):
                yield lines
        except ApiError as e:
            yield _line("ERROR", e.status())


async def _lines(
    api: LabApi, request: WatchRequest, woken: asyncio.Event, watchers: Watchers
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    options, end = request.options, loop.time() + request.options.timeout
    cursor = options.since
    if cursor is None:
        first, cursor = _initial(api, request)
        yield first
    while not watchers.closed:
        # Cleared before looking: a change after that sets it again, so none is missed.
        woken.clear()
        events, cursor = api.events(request.view.resource, cursor)
        seen = [seen for event in events if (seen := event.seen_by(request.query))]
        if seen:
            yield b"".join(_line(change, request.view.one(obj, api.clock())) for change, obj in seen)
        left = end - loop.time()
        if left <= 0:
            break
        if not await _within(woken, min(left, watchers.bookmark_every)) and options.bookmarks:
            yield _line("BOOKMARK", request.view.bookmark(cursor))


def _initial(api: LabApi, request: WatchRequest) -> tuple[bytes, int]:
    """Everything there is, and the version from which the watch goes on."""
    listing = api.list(request.view.resource, request.query)
    now = api.clock()
    lines = [_line("ADDED", request.view.one(obj, now)) for obj in listing.items]
    if request.options.announce_end:
        lines.append(_line("BOOKMARK", request.view.bookmark(listing.version, end_of_initial=True)))
    return b"".join(lines), listing.version


async def _within(woken: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _line(change: str, obj: Obj) -> bytes:
    return _encode({"type": change, "object": obj}) + b"\n"
