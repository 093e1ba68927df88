"""Whatever JSON an API server sends, a parser gives an object or a ParseError, never anything else."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube import wire
from kube.errors import ParseError
from kube.objects import parse_namespace, parse_node, parse_pod

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12) | st.ip_addresses().map(str)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *("metadata", "spec", "status", "name", "namespace", "labels", "annotations", "resourceVersion", "podCIDRs"),
    *("podCIDR", "addresses", "type", "address", "containers", "ports", "containerPort", "podIPs", "ip", "podIP"),
    *("creationTimestamp", "initContainers", "hostNetwork", "nodeName", "phase"),
)


def shaped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)


objects = st.recursive(trees, shaped, max_leaves=25)

# A busy machine is no failure.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@calm
@given(objects, st.sampled_from([parse_namespace, parse_node, parse_pod]))
def test_parsed_or_refused(tree: Any, parse: Any) -> None:
    raw = msgspec.json.encode(tree)
    try:
        parsed = parse(raw)
    except ParseError as error:
        str(error)
        return
    assert parsed.meta.key == wire.identify(raw)[0]


@calm
@given(st.binary(max_size=60), st.sampled_from([parse_namespace, parse_node, parse_pod]))
def test_bytes_are_parsed_or_refused(raw: bytes, parse: Any) -> None:
    try:
        parse(raw)
    except ParseError as error:
        str(error)
    wire.identify(raw)
