"""Whose annotations an ADD is told, and what when they are not known."""

import json

import pytest

from cni.errors import CniError, ErrorCode
from cni.requested import PodArgs
from kube.changes import Applied, Deleted, Listed
from kube.client import ApiClient
from kube.endpoint import from_url
from kube.objects import MIRROR, parse_pod
from node_agent.pods import PodBook

ANNOTATIONS = {"weft.dev/ips": "10.1.0.5"}


def pod(name="web", uid="u1", node="node1", **annotations):
    meta = {"name": name, "namespace": "test", "uid": uid, "annotations": {**ANNOTATIONS, **annotations}}
    return parse_pod(json.dumps({"metadata": meta, "spec": {"nodeName": node}}).encode())


@pytest.fixture
def book():
    """Without an API server: what it does not know, it can only fail to ask for."""
    return PodBook(ApiClient(from_url("http://127.0.0.1:1")), "node1")


def asked(book, name="web", uid="u1"):
    return dict(book.annotations(PodArgs("test", name, uid)))


def refused(book, **args):
    with pytest.raises(CniError) as caught:
        asked(book, **args)
    assert caught.value.code is ErrorCode.TRY_AGAIN_LATER
    return caught.value.msg


def test_a_pod_that_was_told_of_is_not_asked_for(book):
    book.apply(Listed("Pod", (pod(),)))
    assert asked(book) == ANNOTATIONS
    book.apply(Applied(pod(other="x")))
    assert asked(book) == {**ANNOTATIONS, "other": "x"}
    assert asked(book, uid="") == {**ANNOTATIONS, "other": "x"}


def test_one_that_is_gone_or_was_made_again_is(book):
    book.apply(Listed("Pod", (pod(), pod("b"))))
    book.apply(Deleted("Pod", "test/web"))
    assert "Pod test/web: its annotations are not known" in refused(book)
    assert "Pod test/b: its annotations are not known" in refused(book, name="b", uid="u2")
    book.apply(Listed("Pod", ()))
    assert "Pod test/b: its annotations are not known" in refused(book, name="b")


def test_one_that_cannot_be_read_any_more_is_what_it_was(book):
    book.apply(Listed("Pod", (pod(),)))
    book.apply(Listed("Pod", (), frozenset({"test/web"})))
    assert asked(book) == ANNOTATIONS


def test_the_runtime_knows_a_static_pod_by_another_uid(book):
    mirror = {MIRROR: "of-the-file"}
    book.apply(Applied(pod(uid="of-the-mirror", **mirror)))
    assert asked(book, uid="of-the-file") == {**ANNOTATIONS, **mirror}


def test_a_pod_of_this_node_is_not_doubted(book):
    book.apply(Listed("Pod", (pod(), pod("other", node="node2"), pod("new", node=""))))
    assert book.doubt(PodArgs("test", "web", "u1")) == book.doubt(PodArgs("test", "web", "")) == ""
    assert book.doubt(PodArgs("test", "other", "")) == "Pod test/other is bound to node node2, not to this one"
    assert book.doubt(PodArgs("test", "new", "")) == "Pod test/new is bound to no node, not to this one"


def test_what_the_api_does_not_say_is_not_doubted(book):
    assert book.doubt(PodArgs("test", "web", "u1")) == ""
