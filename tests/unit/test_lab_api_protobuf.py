"""The objects kubectl 1.32 sends as protobuf; and that no bytes whatever do more than be refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab_api_fixture import ask, new_api

from lab.api.errors import ApiError
from lab.api.protobuf import MEDIA, decode


def varint(number: int) -> bytes:
    head = b""
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])


def text(number: int, value: bytes | str) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return varint(number << 3 | 2) + varint(len(data)) + data


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def entry(number: int, key: str, value: bytes | str) -> bytes:
    return text(number, text(1, key) + text(2, value))


def envelope(kind: str, raw: bytes, version: str = "v1") -> bytes:
    return b"k8s\x00" + text(1, text(1, version) + text(2, kind)) + text(2, raw) + text(3, "") + text(4, "")


# Encoders of Go structs write empty strings too, and fields that are not of interest (8: creationTimestamp).
META = text(1, text(1, "a") + text(2, "") + text(3, "demo") + text(8, b"") + entry(11, "app", "web"))


def test_a_namespace() -> None:
    found = decode(envelope("Namespace", META + text(2, b"") + text(3, text(1, ""))))
    meta = {"name": "a", "namespace": "demo", "labels": {"app": "web"}}
    assert found == {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def test_a_config_map() -> None:
    raw = META + entry(2, "x", "1") + entry(2, "empty", "") + entry(3, "blob", b"\xff")
    found = decode(envelope("ConfigMap", raw))
    assert (found["data"], found["binaryData"]) == ({"x": "1", "empty": ""}, {"blob": "/w=="})


def test_a_service() -> None:
    number = text(1, "n") + text(2, "TCP") + integer(3, 80) + text(4, integer(1, 0) + integer(2, 8080) + text(3, ""))
    name = integer(3, 300) + text(4, integer(1, 1) + integer(2, 0) + text(3, "http")) + integer(5, 0)
    spec = text(1, number) + text(1, name) + entry(2, "app", "web") + text(3, "") + text(4, "ClusterIP")
    found = decode(envelope("Service", META + text(2, spec)))["spec"]
    assert found == {
        "ports": [
            {"name": "n", "protocol": "TCP", "port": 80, "targetPort": 8080},
            {"port": 300, "targetPort": "http"},
        ],
        "selector": {"app": "web"},
        "type": "ClusterIP",
    }


def test_fields_of_every_wire_type_are_skipped() -> None:
    others = varint(99 << 3 | 1) + bytes(8) + varint(99 << 3 | 5) + bytes(4) + integer(99, 1 << 60) + text(99, b"x")
    assert decode(envelope("Namespace", others + META))["metadata"]["name"] == "a"


BROKEN = [
    ("no envelope", b"{}", 400, "does not begin with 'k8s'"),
    ("nothing in it", b"k8s\x00", 415, "unknown format"),
    ("another kind", envelope("Secret", META), 415, "Secret"),
    ("another version", envelope("Namespace", META, "v2"), 415, "v2"),
    ("cut short", envelope("Namespace", META)[:-20], 400, "does not fit"),
    ("a length beyond the end", envelope("Namespace", text(1, b"x")[:-1]), 400, "does not fit"),
    ("a number without end", envelope("Namespace", b"\xff" * 11), 400, "does not end"),
    ("a group, which proto3 has not", envelope("Namespace", varint(1 << 3 | 3)), 400, "wire type 3"),
    ("text that is none", envelope("Namespace", text(1, text(1, b"\xff"))), 400, "broken protobuf"),
    ("a number for text", envelope("Namespace", text(1, integer(1, 5))), 400, "text was expected"),
    ("text for a number", envelope("Service", text(2, text(1, text(3, "x")))), 400, "a number was expected"),
]


@pytest.mark.parametrize(("case", "body", "code", "words"), BROKEN, ids=[case for case, *_ in BROKEN])
def test_broken_bytes_are_refused(case: str, body: bytes, code: int, words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        decode(body)
    assert refusal.value.code == code, case
    assert words in refusal.value.message


@given(st.binary(max_size=60), st.sampled_from(["Namespace", "ConfigMap", "Service"]))
def test_law_any_bytes_are_an_object_or_refused(raw: bytes, kind: str) -> None:
    for body in (b"k8s\x00" + raw, envelope(kind, raw)):
        with suppress(ApiError):
            assert decode(body)["apiVersion"] == "v1"


def test_over_http_the_answer_is_json() -> None:
    api = new_api()
    made = ask(api, "POST /api/v1/namespaces", envelope("Namespace", text(1, text(1, "a"))), media=MEDIA)
    assert (made.code, made.json["status"]) == (201, {"phase": "Active"})
