"""How answers look: plain objects and lists, or the Tables that `kubectl get` asks for.

Source: Kubernetes API concepts ("Receiving resources as Tables"); meta/v1 Table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lab.api.errors import Obj
from lab.api.resources import Resource
from lab.api.store import Listing


@dataclass(frozen=True, slots=True)
class View:
    """What the client asked for: `table` or not, and how much of the object goes with each row."""

    resource: Resource
    table: bool = False
    include: str = "Metadata"

    def one(self, obj: Obj, now: datetime) -> Obj:
        if not self.table:
            return self.resource.shown(obj)
        return self._table((obj,), {"resourceVersion": obj["metadata"]["resourceVersion"]}, now)

    def many(self, listing: Listing, now: datetime) -> Obj:
        meta: Obj = {"resourceVersion": str(listing.version)}
        if listing.token:
            meta |= {"continue": listing.token, "remainingItemCount": listing.remaining}
        if self.table:
            return self._table(listing.items, meta, now)
        kind, items = f"{self.resource.kind}List", [self.resource.shown(obj) for obj in listing.items]
        return {"kind": kind, "apiVersion": self.resource.api_version, "metadata": meta, "items": items}

    def bookmark(self, version: int, *, end_of_initial: bool = False) -> Obj:
        """An object that says only how far the watch has come."""
        meta: Obj = {"resourceVersion": str(version), "creationTimestamp": None}
        meta |= {"annotations": {"k8s.io/initial-events-end": "true"}} if end_of_initial else {}
        if self.table:
            return _head(meta, ()) | {"rows": []}
        return {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": meta}

    def _table(self, objects: Sequence[Obj], meta: Obj, now: datetime) -> Obj:
        columns = self.resource.columns
        rows = [{"cells": [column.cell(obj, now) for column in columns]} | self._included(obj) for obj in objects]
        return _head(meta, [column.definition() for column in columns]) | {"rows": rows}

    def _included(self, obj: Obj) -> Obj:
        if self.include == "None":
            return {}
        if self.include == "Object":
            return {"object": self.resource.shown(obj)}
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        return {"object": partial}


def view_of(resource: Resource, accept: str, include: str) -> View:
    """The first media type of an Accept header that we can make; JSON when it names none of them."""
    for media in accept.split(","):
        parts = {part.strip() for part in media.split(";")}
        if "application/json" in parts:
            table = "as=Table" in parts
            if table or not any(part.startswith("as=") for part in parts):
                return View(resource, table, include or "Metadata")
    return View(resource)


def _head(meta: Obj, columns: Iterable[Obj]) -> Obj:
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": list(columns)}
