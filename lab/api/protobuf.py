"""Objects that kubectl sends as protobuf: since 1.32 `kubectl create namespace` and its like speak nothing else.

Answers stay JSON, which those clients accept. Only the kinds that `kubectl create KIND` makes are known, with the
fields it sets; other fields are skipped. Sources: the protobuf wire format; runtime.Unknown (the envelope) and the
generated.proto of k8s.io/api/core/v1 and k8s.io/apimachinery/pkg/apis/meta/v1 (field numbers).
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.api.errors import Obj, bad_request, unsupported_media

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10

Decoder = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """`decode` turns the wire's integer or bytes into a value; `many`: list it, or merge it if it is a map entry."""

    name: str
    decode: Decoder
    many: type | None = None


_Message = Mapping[int, _Field]


def decode(body: bytes) -> Obj:
    """The object in an envelope. Raises ApiError 400 for broken bytes, 415 for a kind that is not known here."""
    if not body.startswith(_MAGIC):
        raise bad_request("the request body is no Kubernetes protobuf: it does not begin with 'k8s'")
    try:
        envelope = _message(body[len(_MAGIC) :], _ENVELOPE)
        head = envelope.get("head", {})
        schema = _KINDS.get((head.get("apiVersion"), head.get("kind")))
        if schema is None:
            raise unsupported_media(f"{MEDIA} of {head}", "application/json, application/yaml")
        return {**head, "metadata": {}, **_message(envelope.get("raw", b""), schema)}
    except (IndexError, UnicodeDecodeError) as e:
        raise bad_request(f"the request body is broken protobuf: {e}") from e


def _message(data: bytes, schema: _Message) -> Obj:
    found: Obj = {}
    for number, raw in _fields(data):
        field = schema.get(number)
        if field is None:
            continue
        value = field.decode(raw)
        if field.many is dict:
            found.setdefault(field.name, {})[value.get("key", "")] = value.get("value", "")
        elif field.many is list:
            found.setdefault(field.name, []).append(value)
        elif value not in ("", 0, {}):
            # The encoder writes empty values too; in JSON they are left out.
            found[field.name] = value
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if wire == _BYTES:
            size, at = _varint(data, at)
        if size < 0 or at + size > len(data):
            raise IndexError(f"field {tag >> 3} of wire type {wire} does not fit at byte {at} of {len(data)}")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        byte = data[at + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise IndexError(f"the number at byte {at} does not end")


def _string(raw: Any) -> str:
    return _as_bytes(raw).decode()


def _base64(raw: Any) -> str:
    return b64encode(_as_bytes(raw)).decode()


def _number(raw: Any) -> int:
    if not isinstance(raw, int):
        raise IndexError("a number was expected")
    return raw


def _as_bytes(raw: Any) -> bytes:
    if not isinstance(raw, bytes):
        raise IndexError("text was expected")
    return raw


def _nested(schema: _Message) -> Decoder:
    return lambda raw: _message(_as_bytes(raw), schema)


def _map(name: str, value: Decoder = _string) -> _Field:
    return _Field(name, _nested({1: _Field("key", _string), 2: _Field("value", value)}), dict)


def _int_or_string(raw: Any) -> int | str:
    schema = {1: _Field("type", _number), 2: _Field("int", _number), 3: _Field("string", _string)}
    found = _message(_as_bytes(raw), schema)
    return str(found.get("string", "")) if found.get("type") else int(found.get("int", 0))


_ENVELOPE: _Message = {
    1: _Field("head", _nested({1: _Field("apiVersion", _string), 2: _Field("kind", _string)})),
    2: _Field("raw", _as_bytes),
}
_META: _Message = {
    1: _Field("name", _string),
    2: _Field("generateName", _string),
    3: _Field("namespace", _string),
    11: _map("labels"),
    12: _map("annotations"),
}
_PORT: _Message = {
    1: _Field("name", _string),
    2: _Field("protocol", _string),
    3: _Field("port", _number),
    4: _Field("targetPort", _int_or_string),
    5: _Field("nodePort", _number),
}
_SERVICE: _Message = {
    1: _Field("ports", _nested(_PORT), list),
    2: _map("selector"),
    3: _Field("clusterIP", _string),
    4: _Field("type", _string),
    10: _Field("externalName", _string),
}
_METADATA = _Field("metadata", _nested(_META))
_KINDS: Mapping[tuple[str | None, str | None], _Message] = {
    ("v1", "Namespace"): {1: _METADATA},
    ("v1", "ConfigMap"): {1: _METADATA, 2: _map("data"), 3: _map("binaryData", _base64)},
    ("v1", "Service"): {1: _METADATA, 2: _Field("spec", _nested(_SERVICE))},
}
