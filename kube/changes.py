"""What a reflector tells: the changes of one kind, as values, for code without threads or sockets.

"Change" and not "event": an Event is a kind of its own in Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass

from kube.objects import Object


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of `kind`, as of now: whatever is neither here nor in `refused` exists no more.

    `refused` holds the keys of objects that exist but cannot be read. What was known of them before should be
    kept: an unreadable object is no reason to take away what works.
    """

    kind: str
    objects: tuple[Object, ...]
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Applied:
    """`object` was created, or changed to this."""

    object: Object

    @property
    def kind(self) -> str:
        return type(self.object).__name__


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object of this `key` (`name` or `namespace/name`) is gone, or no longer matches the selector."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An object cannot be read; `message` says which field and why. What was known of it before stands."""

    kind: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Connected:
    """From here on changes arrive as they happen."""

    kind: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Changes no longer arrive; what was told before may be stale. A retry is under way."""

    kind: str
    reason: str


Change = Listed | Applied | Deleted | Refused | Connected | Disconnected
