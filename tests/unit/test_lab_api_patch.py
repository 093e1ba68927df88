"""JSON patch (with the examples of RFC 6902) and merge patch (with those of RFC 7396)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.api.errors import ApiError
from lab.api.patch import json_patch, merge_patch

JSON: list[tuple[Any, list[Any], Any]] = [
    ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
    ({"a": 1}, [{"op": "add", "path": "/a", "value": 2}], {"a": 2}),
    ({"l": [1, 3]}, [{"op": "add", "path": "/l/1", "value": 2}], {"l": [1, 2, 3]}),
    ({"l": [1]}, [{"op": "add", "path": "/l/-", "value": 2}], {"l": [1, 2]}),
    ({"l": []}, [{"op": "add", "path": "/l/0", "value": None}], {"l": [None]}),
    ({"a": 1, "b": 2}, [{"op": "remove", "path": "/b"}], {"a": 1}),
    ({"l": [1, 2, 3]}, [{"op": "remove", "path": "/l/1"}], {"l": [1, 3]}),
    ({"l": [1, 2]}, [{"op": "replace", "path": "/l/0", "value": {"x": 1}}], {"l": [{"x": 1}, 2]}),
    ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
    ({"l": [1, 2, 3]}, [{"op": "move", "from": "/l/0", "path": "/l/2"}], {"l": [2, 3, 1]}),
    ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    ({"a": None}, [{"op": "test", "path": "/a", "value": None}], {"a": None}),
    ({"m~n": 1, "x/y": 2}, [{"op": "remove", "path": "/m~0n"}, {"op": "remove", "path": "/x~1y"}], {}),
    ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 1}}], {"b": 1}),
]
BAD_JSON: list[tuple[Any, int, str]] = [
    ({"op": "add"}, 400, "a list of operations"),
    (["x"], 400, "operation 0"),
    ([{"op": "add", "path": "/x"}], 400, "needs a 'value'"),
    ([{"op": "frob", "path": "/a"}], 400, "unknown op 'frob'"),
    ([{"op": "add", "path": "a", "value": 1}], 400, "not a JSON pointer"),
    ([{"op": "move", "path": "/a"}], 400, "not a JSON pointer"),
    ([{"op": "remove", "path": "/none"}], 422, "nothing at /none"),
    ([{"op": "replace", "path": "/none", "value": 1}], 422, "nothing at /none"),
    ([{"op": "add", "path": "/x/y", "value": 1}], 422, "nothing at /x"),
    ([{"op": "add", "path": "/a/y", "value": 1}], 422, "neither an object nor a list"),
    ([{"op": "add", "path": "/l/3", "value": 1}], 422, "no such element"),
    ([{"op": "remove", "path": "/l/-"}], 422, "no such element"),
    ([{"op": "test", "path": "/a", "value": 2}], 422, "found 1, wanted 2"),
    ([{"op": "remove", "path": ""}], 422, "not an object"),
]
MERGE: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "foo"}, None, None),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), JSON)
def test_json_patch(target: Any, patch: Any, expected: Any) -> None:
    before = deepcopy(target)
    assert json_patch(target, patch) == expected
    assert target == before


@pytest.mark.parametrize(("patch", "code", "words"), BAD_JSON)
def test_json_patches_that_do_not_fit_are_refused_with_the_place(patch: Any, code: int, words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        json_patch({"a": 1, "l": [1, 2]}, patch)
    assert refusal.value.code == code
    assert words in refusal.value.message


@pytest.mark.parametrize(("target", "patch", "expected"), MERGE)
def test_merge_patch(target: Any, patch: Any, expected: Any) -> None:
    before = deepcopy(target)
    assert merge_patch(target, patch) == expected
    assert target == before


_LEAVES = st.integers(0, 2) | st.text("ab", max_size=1)
_DOCUMENTS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), _LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(_DOCUMENTS, _DOCUMENTS)
def test_law_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
