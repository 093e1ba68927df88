"""CustomResourceDefinitions: from a posted definition to resources the API serves.

Schemas are not enforced: the lab takes any object of a registered kind. Source: apiextensions.k8s.io/v1.
"""

import re
from datetime import datetime
from typing import Any

from lab.api.errors import Obj, invalid
from lab.api.printers import AGE, DEFAULT_COLUMNS, NAME, Cell, Column, age
from lab.api.resources import Resource

_KIND = "CustomResourceDefinition"
_STEP = re.compile(
    r"""\.(?P<key>[A-Za-z0-9_-]+(?:\\\.[A-Za-z0-9_-]+)*)
                     |\[(?P<index>\d+|\*)\]
                     |\[\?\(@\.(?P<name>[\w.]+)\s*==\s*(?P<quote>["'])(?P<value>.*?)(?P=quote)\)\]""",
    re.VERBOSE,
)


def from_crd(crd: Obj) -> list[Resource]:
    """The served versions of a definition, storage version first. Raises ApiError 422 that names the bad field."""
    spec = checked(crd)["spec"]
    versions = sorted((v for v in spec["versions"] if v.get("served")), key=lambda v: not v.get("storage"))
    return [_resource(spec, version) for version in versions]


def checked(crd: Obj) -> Obj:
    """The definition itself, if it can be served. Raises ApiError 422 that names the field that prevents it."""
    spec, name = crd.get("spec") or {}, crd["metadata"]["name"]
    names = spec.get("names") or {}
    required = {"group": spec.get("group"), "names.plural": names.get("plural"), "names.kind": names.get("kind")}
    for field, value in required.items():
        if not isinstance(value, str) or not value:
            raise invalid(_KIND, name, f"spec.{field}", f"a non-empty string is required, got {value!r}")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        raise invalid(_KIND, name, "spec.scope", f'must be "Namespaced" or "Cluster", got {spec.get("scope")!r}')
    if name != f"{names['plural']}.{spec['group']}":
        raise invalid(_KIND, name, "metadata.name", f"must be {names['plural']}.{spec['group']}, got {name!r}")
    if not [v for v in spec.get("versions") or () if v.get("served") and v.get("name")]:
        raise invalid(_KIND, name, "spec.versions", "at least one named version must be served")
    return crd


def established(crd: Obj, now: str) -> Obj:
    """The definition with the status that tells clients its kind is being served (`kubectl wait` looks for it)."""
    met = {"status": "True", "lastTransitionTime": now, "message": ""}
    conditions = [
        {"type": "NamesAccepted", "reason": "NoConflicts"} | met,
        {"type": "Established", "reason": "InitialNamesAccepted"} | met,
    ]
    stored = [v["name"] for v in crd["spec"]["versions"] if v.get("storage")]
    status = {"conditions": conditions, "acceptedNames": crd["spec"]["names"], "storedVersions": stored}
    return crd | {"status": status}


def json_path(obj: Any, path: str) -> list[Any]:
    """What a printer column's jsonPath selects: `.a.b`, `[0]`, `[*]` and `[?(@.type=="Ready")]`, nothing more."""
    found = [obj]
    for step in _STEP.finditer(path):
        found = [value for one in found for value in _take(one, step)]
    return found


def _take(value: Any, step: re.Match[str]) -> list[Any]:
    if key := step["key"]:
        key = key.replace("\\.", ".")
        return [value[key]] if isinstance(value, dict) and value.get(key) is not None else []
    if not isinstance(value, list):
        return []
    if step["index"] == "*":
        return value
    if step["index"]:
        return value[int(step["index"]) :][:1]
    return [item for item in value if str(json_path(item, "." + step["name"])[:1]) == str([step["value"]])]


def _resource(spec: Obj, version: Obj) -> Resource:
    names, has_status = spec["names"], "status" in (version.get("subresources") or {})
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        status=has_status,
        first_status={} if has_status else None,
        columns=_columns(version),
        fields=frozenset(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
        singular=names.get("singular", ""),
    )


def _columns(version: Obj) -> tuple[Column, ...]:
    extra = version.get("additionalPrinterColumns")
    return (NAME, *(_column(entry) for entry in extra)) if extra else DEFAULT_COLUMNS


def _column(entry: Obj) -> Column:
    path, kind = entry["jsonPath"], entry.get("type", "string")
    if path == ".metadata.creationTimestamp":
        return Column(entry["name"], AGE.cell, wide=bool(entry.get("priority")), type="string")

    def cell(obj: Obj, now: datetime) -> Cell:
        found = json_path(obj, path)
        if kind == "date":
            return age(found[0], now) if found else ""
        return ",".join(str(v).lower() if isinstance(v, bool) else str(v) for v in found)

    return Column(entry["name"], cell, wide=bool(entry.get("priority")), type="string")
