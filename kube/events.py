"""Kubernetes Events: how Weft tells an operator, in `kubectl describe`, what is wrong with an object.

Pure: who sends one decides how often. Source: core/v1 Event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kube.objects import Meta

_MESSAGE_MAX = 1024  # bytes; the API server refuses longer messages
_NAME_MAX = 235  # leaves room for the suffix within the 253 characters of a name


@dataclass(frozen=True, slots=True)
class About:
    """The object that an Event is about."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    api_version: str = "v1"

    @classmethod
    def of(cls, kind: str, meta: Meta) -> About:
        """An object of a core/v1 kind."""
        return cls(kind, meta.name, meta.namespace, meta.uid)


@dataclass(frozen=True, slots=True)
class Notice:
    """What to say: `reason` is one CamelCase word for machines, `message` a sentence for people."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Warning"


def event(about: About, notice: Notice, component: str, now: datetime) -> Mapping[str, Any]:
    """The body of an Event, for `ApiClient.create_event`. `component` is who says it; `now` is timezone-aware.

    An Event about a cluster-scoped object lives in the namespace `default`, as `kubectl describe` expects. Its
    name ends in the time, as client-go's does, so two Events about one object do not collide.
    """
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "name": about.name,
        "namespace": about.namespace,
        "uid": about.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about.name[:_NAME_MAX]}.{int(now.timestamp() * 1e6):x}",
            "namespace": about.namespace or "default",
        },
        "involvedObject": {key: value for key, value in involved.items() if value},
        "reason": notice.reason,
        "message": _cut(notice.message),
        "type": notice.type,
        "source": {"component": component},
        "reportingComponent": component,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def _cut(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= _MESSAGE_MAX:
        return message
    return encoded[: _MESSAGE_MAX - 3].decode(errors="ignore") + "…"
