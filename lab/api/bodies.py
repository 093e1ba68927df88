"""Request bodies: decoding them, and applying the four kinds of patch."""

from typing import Any

import msgspec
import yaml

from lab.api import protobuf
from lab.api.errors import Obj, bad_request, unsupported_media
from lab.api.patch import json_patch, merge_patch
from lab.api.paths import Target
from lab.api.resources import Resource
from lab.api.strategic import strategic_merge

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
_PLAIN = ("application/json", "application/yaml")


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a timestamp is a string, as it is in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def decode(content_type: str, body: bytes) -> Any:
    """The document in a body. Raises ApiError 415 for a format we do not read, 400 for one that is broken."""
    media = media_type(content_type) or "application/json"
    if media == protobuf.MEDIA:
        return protobuf.decode(body)
    if media not in _PLAIN + PATCHES:
        raise unsupported_media(media, ", ".join(_PLAIN))
    try:
        return load_yaml(body) if media.endswith("yaml") else msgspec.json.decode(body)
    except (msgspec.DecodeError, yaml.YAMLError) as e:
        raise bad_request(f"the request body is not valid {media}: {e}") from e


def load_yaml(text: bytes | str) -> Any:
    """One YAML document; JSON, which is YAML too, takes the fast way."""
    if text[:1] in (b"{", "{"):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass  # A YAML flow mapping may begin with a brace as well.
    return yaml.load(text, _Loader)


def media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def patched(resource: Resource, old: Obj, media: str, patch: Any) -> Obj:
    """The object after a patch. Raises ApiError 400, 415 or 422."""
    if media == JSON_PATCH:
        return json_patch(old, patch)
    if not isinstance(patch, dict):
        raise bad_request(f"a patch of type {media} is an object, got {str(patch)[:80]!r}")
    if media == MERGE_PATCH:
        result: Obj = merge_patch(old, patch)
        return result
    if media == STRATEGIC_PATCH:
        return strategic_merge(old, patch, resource.list_keys)
    raise unsupported_media(media, ", ".join(PATCHES))


def addressed(obj: Any, target: Target) -> Obj:
    """The object of an update with the name and namespace of its URL. Raises ApiError 400 when it has others."""
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise bad_request(f"expected an object with metadata in the request body, got {str(obj)[:80]!r}")
    meta = obj["metadata"]
    for field, wanted in (("name", target.name), ("namespace", target.namespace)):
        if (meta.get(field) or wanted) != wanted:
            message = f"the {field} of the object ({meta[field]}) does not match the {field} on the URL ({wanted})"
            raise bad_request(message)
    place = {"namespace": target.namespace} if target.namespace else {}
    return obj | {"metadata": meta | {"name": target.name} | place}
