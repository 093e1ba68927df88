"""What a URL asks for: its path as a target, its query string as options.

Source: Kubernetes API concepts ("Resource URIs") and the ListOptions, DeleteOptions and PatchOptions of meta/v1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.api.errors import Obj, bad_request, no_such_path
from lab.api.resources import Resource
from lab.api.selectors import Query, parse_fields, parse_labels
from lab.api.store import DeleteOptions, Page


@dataclass(frozen=True, slots=True)
class Target:
    """A path below /api or /apis. No plural: the group version itself; no name: the collection."""

    group: str
    version: str
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a watch starts and ends. `since` None: begin with everything there is; timeout in seconds."""

    since: int | None
    bookmarks: bool
    announce_end: bool  # of the initial objects, by a bookmark (sendInitialEvents)
    timeout: float


def parse_path(path: str) -> Target:
    """Raises ApiError 404 for a path that no Kubernetes API has."""
    match path.strip("/").split("/"):
        case ["api", version, *rest]:
            return _target("", version, rest)
        case ["apis", group, version, *rest]:
            return _target(group, version, rest)
    raise no_such_path()


def _target(group: str, version: str, rest: list[str]) -> Target:
    match rest:
        case []:
            return Target(group, version)
        # /namespaces/a/status is about the namespace, /namespaces/a/pods about what is in it.
        case ["namespaces", name, ("status" | "finalize") as subresource]:
            return Target(group, version, "namespaces", "", name, subresource)
        case ["namespaces", namespace, plural, *more] if len(more) <= 2:
            return Target(group, version, plural, namespace, *more)
        case [plural, *more] if len(more) <= 2:
            return Target(group, version, plural, "", *more)
    raise no_such_path()


def query_of(params: Mapping[str, str], resource: Resource, target: Target) -> Query:
    """The selectors of a list or watch. Raises ApiError 400."""
    labels = parse_labels(params.get("labelSelector", ""))
    fields = params.get("fieldSelector", "")
    # A watch of one named object (kubectl wait, old clients) is a watch of the collection for that name.
    fields = ",".join(filter(None, (fields, f"metadata.name={target.name}" if target.name else "")))
    return Query(target.namespace, labels, parse_fields(fields, resource.fields))


def page_of(params: Mapping[str, str]) -> Page:
    version, match = _number(params, "resourceVersion"), params.get("resourceVersionMatch", "")
    if match not in ("", "Exact", "NotOlderThan"):
        raise bad_request(f"resourceVersionMatch={match!r}: use Exact or NotOlderThan")
    exactly = version if match == "Exact" else None
    return Page(_number(params, "limit") or 0, params.get("continue", ""), exactly, version or 0)


def watch_of(params: Mapping[str, str], longest: float) -> WatchOptions:
    """`longest`: seconds after which a watch ends that did not say when."""
    initial, since = is_true(params, "sendInitialEvents"), _number(params, "resourceVersion")
    timeout = min(_number(params, "timeoutSeconds") or longest, longest)
    begin = None if initial or not since else since
    return WatchOptions(begin, is_true(params, "allowWatchBookmarks"), initial, timeout)


def delete_options(params: Mapping[str, str], body: Any) -> DeleteOptions:
    """From the DeleteOptions in the body, or in its absence from the query string."""
    body = body if isinstance(body, dict) else {}
    conditions: Obj = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", _number(params, "gracePeriodSeconds"))
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        raise bad_request(f"gracePeriodSeconds={grace!r}: a number of seconds, 0 or more, is required")
    dry = bool(body.get("dryRun")) or "dryRun" in params
    return DeleteOptions(grace, conditions.get("uid"), conditions.get("resourceVersion"), dry)


def is_true(params: Mapping[str, str], name: str) -> bool:
    """Clients write booleans as 1, true or, in Python, True."""
    return params.get(name, "").lower() in ("1", "true")


def _number(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name, "")
    if text and not text.isdecimal():
        raise bad_request(f"{name}={text!r}: a whole number, 0 or more, is required")
    return int(text) if text else None
