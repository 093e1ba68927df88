"""Label and field selectors, each with an object it is true of or not."""

from __future__ import annotations

import pytest

from lab.api.errors import ApiError
from lab.api.selectors import Query, parse_fields, parse_labels

POD = {
    "metadata": {"name": "a", "namespace": "demo", "labels": {"app": "web", "tier": "front", "empty": ""}},
    "spec": {"nodeName": "n1", "hostNetwork": True},
    "status": {"phase": "Running"},
}
LABELS = [
    ("", True),
    ("app=web", True),
    ("app==web", True),
    ("app = web", True),
    ("app=db", False),
    ("app!=db", True),
    ("app!=web", False),
    ("absent!=x", True),
    ("app", True),
    ("absent", False),
    ("!absent", True),
    ("!app", False),
    ("app in (db,web)", True),
    ("app in (db, web ),tier=front", True),
    ("app in (db)", False),
    ("app notin (db,api)", True),
    ("app notin (web)", False),
    ("absent notin (x)", True),
    ("absent in (x)", False),
    ("empty=", True),
    ("app=web,tier=back", False),
    ("kubernetes.io/metadata.name=x", False),
]
FIELDS = [
    ("metadata.name=a", True),
    ("metadata.name=b", False),
    ("metadata.namespace=demo", True),
    ("spec.nodeName=n1,status.phase=Running", True),
    ("spec.nodeName=n1,status.phase!=Running", False),
    ("status.phase!=Succeeded,status.phase!=Failed", True),
    ("status.podIP=", True),
    ("spec.hostNetwork=true", True),
]
SELECTABLE = ("spec.nodeName", "status.phase", "status.podIP", "spec.hostNetwork")


@pytest.mark.parametrize(("selector", "expected"), LABELS)
def test_labels(selector: str, expected: bool) -> None:
    assert Query(labels=parse_labels(selector)).matches(POD) is expected


@pytest.mark.parametrize(("selector", "expected"), FIELDS)
def test_fields(selector: str, expected: bool) -> None:
    assert Query(fields=parse_fields(selector, SELECTABLE)).matches(POD) is expected


@pytest.mark.parametrize("selector", ["app=web=db", "app in web", "app in (a", "=x", "a b", "-a=b", "a,,b", "app>1"])
def test_labels_that_make_no_sense_are_refused_with_the_clause(selector: str) -> None:
    with pytest.raises(ApiError, match="unable to parse requirement") as refusal:
        parse_labels(selector)
    assert refusal.value.code == 400


@pytest.mark.parametrize(("selector", "words"), [("spec.color=red", "not supported: spec.color"), ("x", "key=value")])
def test_fields_that_make_no_sense_are_refused(selector: str, words: str) -> None:
    with pytest.raises(ApiError, match=words) as refusal:
        parse_fields(selector, SELECTABLE)
    assert refusal.value.code == 400


def test_an_object_without_labels_has_none() -> None:
    bare = {"metadata": {"name": "a"}}
    assert Query(labels=parse_labels("!app")).matches(bare)
    assert not Query(namespace="demo").matches(bare)
