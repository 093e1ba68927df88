"""Leases as values: what is read, what is refused, and what a holder writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from kube.errors import ParseError
from kube.lease import LeaseKey, Term, micro_time, parse_lease

NOON = datetime(2024, 5, 6, 12, 0, 0, 123456, tzinfo=UTC)


def lease(**spec: Any) -> bytes:
    meta = {"name": "weft-controller", "namespace": "weft-system", "resourceVersion": "7"}
    return msgspec.json.encode({"kind": "Lease", "metadata": meta, "spec": spec})


def test_a_lease_is_read() -> None:
    read = parse_lease(
        lease(
            holderIdentity="one", leaseDurationSeconds=15, leaseTransitions=3,
            acquireTime="2024-05-06T12:00:00.123456Z", renewTime="2024-05-06T14:00:00.123456+02:00", strategy="x",
        )
    )  # fmt: skip
    assert read.term == Term("one", 15, NOON, NOON, 3)
    assert (read.meta.key, read.meta.resource_version) == ("weft-system/weft-controller", "7")


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None}])
def test_a_lease_that_says_nothing_is_nobodys(spec: dict[str, Any]) -> None:
    assert parse_lease(lease(**spec)).term == Term()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"leaseDurationSeconds": -1}, "spec.leaseDurationSeconds is -1"),
        ({"leaseTransitions": -2}, "spec.leaseTransitions is -2"),
        ({"leaseDurationSeconds": "15"}, "spec.leaseDurationSeconds is '15'"),
        ({"renewTime": "noon"}, "spec.renewTime is 'noon'"),
        ({"holderIdentity": 5}, "spec.holderIdentity is 5"),
    ],
)
def test_what_cannot_be_read_is_named(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_lease(lease(**spec))
    assert f"Lease weft-system/weft-controller: {words}" in str(caught.value)


def test_what_a_holder_writes_can_be_read_again_and_is_bound_to_a_version() -> None:
    term = Term("one", 15, NOON, NOON + timedelta(seconds=2), 4)
    body = term.body({"weft.dev/openflow": "ssl:192.0.2.1:6653"}, "7")
    assert body["metadata"] == {"annotations": {"weft.dev/openflow": "ssl:192.0.2.1:6653"}, "resourceVersion": "7"}
    assert parse_lease(lease(**body["spec"])).term == term
    assert Term().body({})["metadata"] == {}


def test_times_are_written_with_microseconds_in_utc() -> None:
    """The API refuses another number of digits."""
    assert micro_time(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00.000000Z"
    assert micro_time(NOON.astimezone(timezone(timedelta(hours=2)))) == "2024-05-06T12:00:00.123456Z"


def test_a_lease_is_named_by_namespace_and_name() -> None:
    key = LeaseKey.parse("weft-system/weft-controller")
    assert (key.namespace, key.name, str(key)) == ("weft-system", "weft-controller", "weft-system/weft-controller")


@pytest.mark.parametrize("text", ["", "weft-controller", "/x", "a/", "a/b/c", "A/b", "a/b_c", " a/b", "a/-b"])
def test_what_names_no_lease_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="give NAMESPACE/NAME, such as") as caught:
        LeaseKey.parse(text)
    assert repr(text) in str(caught.value)
