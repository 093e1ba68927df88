"""Manifests as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.client import ManifestError, load_manifests


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pods.yaml"
    path.write_text(text)
    return path


def test_documents_come_in_order_and_empty_ones_are_skipped(tmp_path: Path) -> None:
    text = (
        "---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: B\nmetadata: {name: b}\n"
    )
    assert [obj["kind"] for obj in load_manifests(_file(tmp_path, text))] == ["A", "B"]


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    text = '{"kind": "List", "items": [{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}]}'
    assert [obj["kind"] for obj in load_manifests(_file(tmp_path, text))] == ["A"]


@pytest.mark.parametrize("text", ["just words", "kind: Pod\n", "- 1\n", "a: [\n"])
def test_anything_else_is_refused_with_the_files_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError, match=r"pods\.yaml"):
        load_manifests(_file(tmp_path, text))


def test_the_demo_has_pods_in_two_namespaces() -> None:
    objects = load_manifests(Path(__file__).parents[2] / "examples" / "demo.yaml")
    pods = [obj for obj in objects if obj["kind"] == "Pod"]
    assert len(pods) == 6
    assert {pod["metadata"]["namespace"] for pod in pods} == {
        obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace"
    }
