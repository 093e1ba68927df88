"""The chart's values: each is explained, held to the schema, used, and in the docs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import values_page
from cli.values_page import Value, allowed, documented, is_group, render, schema_of

CHART = values_page.VALUES.parent
TEXT = values_page.VALUES.read_text()
TREE = yaml.safe_load(TEXT)
SCHEMA = json.loads(values_page.SCHEMA.read_text())
VALUES = documented(TEXT)
LEAVES = [each for each in VALUES if not is_group(each, VALUES)]

SMALL = """\
# Not about a key.

# What forwards,
# and how.
mode: fast  # a remark
group:
  plain: 1
  # How many.
  count: 0
  # Some.
  items:
    - name: a
"""


def keys(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a tree of values, down to those that the docs explain as one."""
    for name, value in tree.items():
        here = (*path, name)
        yield here
        if isinstance(value, dict) and here not in [each.path for each in LEAVES]:
            yield from keys(value, here)


def schemas(
    node: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every part of the schema that is a value's, with the value's path."""
    yield path, node
    for name, below in node.get("properties", {}).items():
        if name != "global" and (*path, name) not in [each.path for each in LEAVES]:
            yield from schemas(schema_of(SCHEMA, (*path, name)), (*path, name))
        elif name != "global":
            yield (*path, name), below


def test_the_chart_has_the_version_of_the_code() -> None:
    version = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version


def test_every_value_is_explained_right_above_it() -> None:
    assert set(keys(TREE)) == {each.path for each in VALUES}


def test_every_value_is_in_the_schema_and_every_value_of_the_schema_has_a_default() -> None:
    assert {path for path, _ in schemas(SCHEMA) if path} == {each.path for each in VALUES}


def test_no_part_of_the_schema_lets_an_unknown_key_pass() -> None:
    parts = [part for _, part in schemas(SCHEMA)] + [*SCHEMA["definitions"].values()]
    parts += [part["items"] for part in parts if isinstance(part.get("items"), dict)]
    objects = [part for part in parts if part.get("type") == "object"]
    assert len(objects) > 20
    for part in objects:
        open_to = part.get("additionalProperties", True)
        assert open_to is False or ("properties" not in part and isinstance(open_to, dict))


@pytest.mark.parametrize("value", LEAVES, ids=lambda each: each.key)
def test_every_value_is_used(value: Value) -> None:
    """By its name, or as a part of its group; but for those that leave no choice."""
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    group = ".".join(value.path[:-1])
    by_group = bool(group) and f".{group} " in templates
    assert by_group or f".{value.path[-1]}" in templates or len(schema_of(SCHEMA, value.path).get("enum", "..")) == 1


def test_the_page_is_that_of_the_chart() -> None:
    assert values_page.PAGE.read_text() == render(TEXT, SCHEMA)


@pytest.mark.parametrize("name", ["install", "upgrade", "uninstall"])
def test_docs_speak_of_values_that_there_are(name: str) -> None:
    text = (values_page.PAGE.with_name(f"{name}.md")).read_text()
    given = {
        part.partition("=")[0]
        for word in text.replace("`", " ").split()
        if word.startswith("--set") and "=" in word
        for part in [word.partition("=")[2] or word]
    }
    known = {each.key for each in VALUES}
    assert given <= known, sorted(given - known)


# The generator.


def test_a_comment_right_above_a_key_is_its_own() -> None:
    assert [(each.key, each.comment, each.default) for each in documented(SMALL)] == [
        ("mode", "What forwards, and how.", "fast"),
        ("group.count", "How many.", 0),
        ("group.items", "Some.", [{"name": "a"}]),
    ]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"enum": ["a", ""]}, 'one of `a`, `""`'),
        ({"enum": ["a"]}, "`a`"),
        ({"enum": ["::"]}, '`"::"`'),
        ({"type": "integer", "minimum": 1}, "a whole number, at least 1"),
        ({"type": "number"}, "a number"),
        ({"type": "boolean"}, "`true` or `false`"),
        ({"type": "string"}, "text"),
        ({"type": "string", "pattern": "^/"}, "text that matches `^/`"),
        ({"anyOf": [{"const": 0}, {"type": "integer", "maximum": 9}]}, "`0` or a whole number, at most 9"),
        ({"$ref": "#/definitions/some"}, "a list"),
        ({"type": "object"}, "a map"),
    ],
)
def test_what_is_allowed_is_said_in_words(node: Mapping[str, Any], words: str) -> None:
    assert allowed({"definitions": {"some": {"type": "array"}}}, node) == words


def test_a_stale_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["values_page", "--check"])
    values_page.main()
    monkeypatch.setattr(values_page, "PAGE", tmp_path / "values.md")
    with pytest.raises(SystemExit, match="is stale"):
        values_page.main()
