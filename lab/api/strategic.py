"""Strategic merge patch: merge patch that merges lists of objects by a key, as kubectl sends for built-in kinds.

The merge keys come from the resource (`Resource.merge_keys`): a mapping from the dotted path of a list to the field
that identifies its elements, or to "" for a list of scalars that is merged as a set. A path that is not in the
mapping is replaced as a whole. Source: Kubernetes "Strategic Merge Patch" (sig-api-machinery), patchMergeKey tags.
"""

from collections.abc import Mapping
from typing import Any

from lab.api.errors import Obj, bad_request

MergeKeys = Mapping[str, str]

_ORDER = "$setElementOrder/"
_DROP = "$deleteFromPrimitiveList/"


def strategic_merge(target: Obj, patch: Obj, keys: MergeKeys) -> Obj:
    """The patched object. Raises ApiError 400 for an unknown directive or a list element without its merge key.

    Server-side apply uses it too, reduced to a merge: what the applied object states is set, nothing else is
    touched. There is no field ownership, so no conflicts, and a field left out of a later apply stays as it was.
    """
    return _merge_map(target, patch, keys, "")


def _merge_map(target: Obj, patch: Obj, keys: MergeKeys, path: str) -> Obj:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: _clean(value) for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(
            f"unknown directive $patch: {directive!r} at {path or 'the top'}: use replace, delete or merge"
        )
    result = _retain(target, patch)
    for field, value in patch.items():
        if not field.startswith("$"):
            _merge_field(result, field, value, (keys, path))
    _follow_list_directives(result, patch, keys, path)
    return result


def _merge_field(result: Obj, field: str, value: Any, schema: tuple[MergeKeys, str]) -> None:
    keys, path = schema
    here = f"{path}.{field}" if path else field
    old = result.get(field)
    if value is None:
        result.pop(field, None)
    elif isinstance(value, dict):
        result[field] = _merge_map(old if isinstance(old, dict) else {}, value, keys, here)
        if not result[field] and value.get("$patch") == "delete":
            del result[field]
    elif isinstance(value, list) and here in keys:
        result[field] = _merge_list(old if isinstance(old, list) else [], value, keys, here)
    else:
        result[field] = _clean(value)


def _merge_list(old: list[Any], patch: list[Any], keys: MergeKeys, path: str) -> list[Any]:
    key = keys[path]
    if not key:
        return old + [value for value in patch if value not in old]
    if any(isinstance(item, dict) and item == {"$patch": "replace"} for item in patch):
        return [_clean(item) for item in patch if item != {"$patch": "replace"}]
    result = list(old)
    for item in patch:
        _merge_element(result, item, keys, path)
    return result


def _merge_element(result: list[Any], item: Any, keys: MergeKeys, path: str) -> None:
    key = keys[path]
    if not isinstance(item, dict) or key not in item:
        raise bad_request(f"{path}: each element of this list needs its merge key {key!r}, got {item!r}")
    at = next((i for i, have in enumerate(result) if have.get(key) == item[key]), None)
    if item.get("$patch") == "delete":
        result[:] = [have for have in result if have.get(key) != item[key]]
    elif at is None:
        result.append(_merge_map({}, item, keys, path))
    else:
        result[at] = _merge_map(result[at], item, keys, path)


def _retain(target: Obj, patch: Obj) -> Obj:
    """$retainKeys names the only fields that may survive, for unions such as a volume's source."""
    kept = patch.get("$retainKeys")
    return dict(target) if kept is None else {k: v for k, v in target.items() if k in kept}


def _follow_list_directives(result: Obj, patch: Obj, keys: MergeKeys, path: str) -> None:
    for name, value in patch.items():
        field = name.partition("/")[2]
        if name.startswith(_DROP) and isinstance(result.get(field), list):
            result[field] = [have for have in result[field] if have not in value]
    for name, value in patch.items():
        field = name.partition("/")[2]
        if name.startswith(_ORDER) and isinstance(result.get(field), list):
            result[field] = _ordered(result[field], value, keys.get(f"{path}.{field}" if path else field, ""))


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Elements in the order the client asked for; those it does not know keep theirs, at the end."""
    wanted = [entry.get(key) if key and isinstance(entry, dict) else entry for entry in order]

    def rank(item: Any) -> int:
        identity = item.get(key) if key and isinstance(item, dict) else item
        return wanted.index(identity) if identity in wanted else len(wanted)

    return sorted(items, key=rank)


def _clean(value: Any) -> Any:
    """A patch value as data: no directives, and no nulls inside maps."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if v is not None and not k.startswith("$")}
    return [_clean(item) for item in value] if isinstance(value, list) else value
