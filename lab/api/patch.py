"""JSON patch and JSON merge patch, as pure functions from one document to the next.

Nothing passed in is changed: parts of the old document may be shared by the new one, so neither may be mutated.
Sources: RFC 6901 (pointers), RFC 6902 (JSON patch), RFC 7396 (merge patch).
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from lab.api.errors import ApiError, Obj, bad_request

_MISSING: Any = object()


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null deletes a key, maps merge, everything else (lists too) replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Obj, operations: Any) -> Obj:
    """RFC 6902. Raises ApiError 400 for a malformed patch and 422 for one that does not fit the document."""
    if not isinstance(operations, list):
        raise bad_request('a JSON patch is a list of operations, as in [{"op": "add", ...}]')
    document: Any = deepcopy(target)
    for index, operation in enumerate(operations):
        document = _operate(document, operation, f"operation {index}")
    if not isinstance(document, dict):
        raise _unprocessable("the patched document is not an object")
    return document


def _operate(document: Any, operation: Any, where: str) -> Any:
    if not isinstance(operation, dict) or "path" not in operation:
        raise bad_request(f"JSON patch {where}: expected an object with 'op' and 'path', got {operation!r}")
    path = _pointer(operation["path"], where)
    match operation.get("op"):
        case "add":
            return _add(document, path, deepcopy(_value(operation, where)))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            _lookup(document, path)
            return _replace(document, path, deepcopy(_value(operation, where)))
        case "move":
            document, moved = _remove(document, _source(operation, where))
            return _add(document, path, moved)
        case "copy":
            return _add(document, path, deepcopy(_lookup(document, _source(operation, where))))
        case "test":
            _test(document, path, _value(operation, where))
            return document
        case op:
            raise bad_request(f"JSON patch {where}: unknown op {op!r}")


def _test(document: Any, path: Sequence[str], wanted: Any) -> None:
    if (found := _lookup(document, path)) != wanted:
        raise _unprocessable(f"testing path {_text(path)} failed: found {found!r}, wanted {wanted!r}")


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _lookup(document, path[:-1])
    if isinstance(parent, list):
        at = len(parent) if path[-1] == "-" else _index(path, len(parent) + 1)
        parent.insert(at, value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _unprocessable(f"{_text(path[:-1])} is neither an object nor a list")
    return document


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _lookup(document, path[:-1])
    parent[_index(path, len(parent)) if isinstance(parent, list) else path[-1]] = value
    return document


def _remove(document: Any, path: Sequence[str]) -> tuple[Any, Any]:
    removed = _lookup(document, path)
    if not path:
        return None, removed
    parent = _lookup(document, path[:-1])
    del parent[_index(path, len(parent)) if isinstance(parent, list) else path[-1]]
    return document, removed


def _lookup(document: Any, path: Sequence[str]) -> Any:
    for depth, part in enumerate(path):
        here = path[: depth + 1]
        if isinstance(document, list):
            document = document[_index(here, len(document))]
        else:
            document = document.get(part, _MISSING) if isinstance(document, dict) else _MISSING
        if document is _MISSING:
            raise _unprocessable(f"the document has nothing at {_text(here)}")
    return document


def _index(path: Sequence[str], length: int) -> int:
    if not path[-1].isdecimal() or int(path[-1]) >= length:
        raise _unprocessable(f"{_text(path)}: no such element in a list of {length}")
    return int(path[-1])


def _pointer(text: Any, where: str) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise bad_request(f"JSON patch {where}: {text!r} is not a JSON pointer (it starts with '/')")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _source(operation: Obj, where: str) -> list[str]:
    return _pointer(operation.get("from"), where)


def _value(operation: Obj, where: str) -> Any:
    if "value" not in operation:
        raise bad_request(f"JSON patch {where}: op {operation.get('op')!r} needs a 'value'")
    return operation["value"]


def _text(path: Sequence[str]) -> str:
    return "/" + "/".join(path)


def _unprocessable(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")
