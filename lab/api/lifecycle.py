"""How one object is born, changes and dies: the rules of metadata, as pure functions from object to object.

None of them stamps a resourceVersion, which only the store can give. Source: Kubernetes API conventions ("Metadata")
and k8s.io/apiserver/pkg/registry/rest.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.api.errors import Obj, bad_request, conflict, invalid
from lab.api.resources import Resource

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAME_RULE = "must consist of lower case letters, digits, '-' or '.', and start and end with a letter or digit"
_LONGEST_NAME = 253
# What a client cannot change: the API keeps its own values whatever an update says.
_KEPT = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
)


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new object gets from outside: an id nobody has, the time, and the namespace of the request."""

    uid: str
    now: datetime
    namespace: str


def timestamp(moment: datetime) -> str:
    """A meta/v1 Time: RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def born(resource: Resource, obj: Any, birth: Birth) -> Obj:
    """A posted object as it will be stored. Raises ApiError (400, 422) for what the API would refuse."""
    meta = _metadata(resource, obj)
    name = meta.get("name") or _generated(meta, birth.uid)
    _check_name(resource, name)
    own = {"name": name, "uid": birth.uid, "creationTimestamp": timestamp(birth.now), "generation": 1}
    meta = _without(meta, "deletionTimestamp", "deletionGracePeriodSeconds") | own
    meta |= _namespace(resource, meta, birth.namespace)
    new = resource.defaults(obj | {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta})
    if resource.first_status is not None:
        new = _without(new, "status") | ({"status": resource.first_status} if resource.first_status else {})
    return new


def updated(resource: Resource, old: Obj, obj: Any, *, keep_status: bool = True) -> Obj:
    """An object as it will be stored in place of `old`: what clients may not change stays, also its status."""
    meta = _metadata(resource, obj)
    _check_same(resource, old["metadata"], meta)
    meta = _without(meta, *_KEPT) | {key: old["metadata"][key] for key in _KEPT if key in old["metadata"]}
    new = obj | {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}
    if resource.status and keep_status:
        new = _without(new, "status") | ({"status": old["status"]} if "status" in old else {})
    new = resource.defaults(new)
    return _next_generation(new) if _intent(new) != _intent(old) else new


def with_status(resource: Resource, old: Obj, obj: Any) -> Obj:
    """`old` with the status of `obj`: the /status subresource changes nothing else."""
    _check_same(resource, old["metadata"], _metadata(resource, obj))
    return _without(old, "status") | ({"status": obj["status"]} if "status" in obj else {})


def grace_period(resource: Resource, obj: Obj, asked: int | None) -> int:
    """Seconds until an object may go: none, unless a node still has to stop the pod."""
    if not resource.graceful or asked == 0:
        return 0
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", 30)) if asked is None else asked


def marked(obj: Obj, grace: int, now: datetime) -> Obj:
    """An object on its way out. Deleting again can only bring its end nearer."""
    meta = obj["metadata"]
    if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds", 0) <= grace:
        return obj
    end = timestamp(now + timedelta(seconds=grace))
    meta = meta | {"deletionTimestamp": end, "deletionGracePeriodSeconds": grace}
    return _next_generation(obj | {"metadata": meta})


def is_finished(obj: Obj) -> bool:
    """Whether nothing holds a deleted object any more: no finalizer, and no node that has to stop it."""
    meta = obj["metadata"]
    waits = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds", 0)
    return "deletionTimestamp" in meta and not waits


def _metadata(resource: Resource, obj: Any) -> Obj:
    """The checked metadata of a posted object, in a copy that may be changed."""
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise bad_request(f"{resource.kind}: expected an object with metadata, got {str(obj)[:80]!r}")
    for field, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if obj.get(field, wanted) != wanted:
            raise bad_request(f"{field} in the data ({obj[field]}) does not match the expected {field} ({wanted})")
    meta = _without(obj["metadata"], "managedFields", "selfLink", "resourceVersion")
    for field in ("labels", "annotations"):
        if not _is_string_map(meta.get(field)):
            why = f"must be a map of strings to strings, got {meta[field]!r}"
            raise invalid(resource.kind, str(meta.get("name", "")), f"metadata.{field}", why)
    # An empty map or list is an absent one, as in the API server; clients write both and compare with what they read.
    return {key: value for key, value in meta.items() if value not in (None, {}, [])}


def _is_string_map(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(v, str) for v in value.values()))


def _generated(meta: Obj, uid: str) -> str:
    prefix = meta.get("generateName") or ""
    return f"{prefix}{uid.replace('-', '')[:5]}" if prefix else ""


def _check_name(resource: Resource, name: Any) -> None:
    if not name:
        raise invalid(resource.kind, "", "metadata.name", "name or generateName is required")
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise invalid(resource.kind, str(name), "metadata.name", f"Invalid value: {name!r}: {_NAME_RULE}")


def _namespace(resource: Resource, meta: Obj, asked: str) -> Obj:
    own = meta.pop("namespace", "") or asked
    if not resource.namespaced:
        return {}
    if asked and own != asked:
        raise bad_request(f"the namespace of the object ({own}) does not match that of the request ({asked})")
    if not own:
        raise bad_request(f"{resource.kind}: an empty namespace may not be set during creation")
    return {"namespace": own}


def _check_same(resource: Resource, old: Obj, new: Obj) -> None:
    for field in ("name", "namespace"):
        if new.get(field, old.get(field)) != old.get(field):
            raise bad_request(f"metadata.{field} cannot change: {old.get(field)!r} to {new[field]!r}")
    if new.get("uid", old["uid"]) != old["uid"]:
        why = f"Precondition failed: UID in precondition: {new['uid']}, UID in object meta: {old['uid']}"
        raise conflict(resource.title, old["name"], why)


def _intent(obj: Obj) -> Obj:
    return _without(obj, "metadata", "status", "apiVersion")


def _next_generation(obj: Obj) -> Obj:
    meta = obj["metadata"]
    return obj | {"metadata": meta | {"generation": meta.get("generation", 0) + 1}}


def _without(obj: Obj, *keys: str) -> Obj:
    return {key: value for key, value in obj.items() if key not in keys}
