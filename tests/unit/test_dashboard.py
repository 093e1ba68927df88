"""The dashboard asks for metrics and labels that there are, explains itself, and is the one in docs/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

import controller.metrics
import node_agent.metrics
from cli.dashboard import PAGE, dashboard, render

# What Prometheus adds when it asks a daemon, and what a histogram's buckets have.
ADDED = {"instance", "le"}
UNITS = {"short", "s", "ops", "reqps", "pps"}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_IN_QUERY = re.compile(r"\bweft_\w+")


def metrics() -> dict[str, set[str]]:
    """Every name that the daemons serve, with its labels."""
    found: dict[str, set[str]] = {}
    for registry in (controller.metrics.Metrics(), node_agent.metrics.Metrics()):
        for metric in vars(registry).values():
            if isinstance(metric, MetricWrapperBase):
                (family,) = metric.describe()
                suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
                    family.type, ("",)
                )
                found |= {f"{family.name}{suffix}": set(metric._labelnames) for suffix in suffixes}
    return found


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in dashboard()["panels"] if panel["type"] != "row")


def queries() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize(("title", "expr"), queries())
def test_a_query_asks_for_metrics_and_labels_that_there_are(title: str, expr: str) -> None:
    known, asked = metrics(), _IN_QUERY.findall(expr)
    assert asked
    assert set(asked) <= known.keys()
    labels = {label for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(", ")}
    labels |= set(re.findall(r"(\w+)=\"", expr))
    assert labels <= ADDED | set.intersection(*(known[name] for name in asked))


@pytest.mark.parametrize(("title", "expr"), queries())
def test_counters_are_asked_for_their_growth_and_buckets_for_quantiles(title: str, expr: str) -> None:
    for name in _IN_QUERY.findall(expr):
        if name.endswith(("_total", "_count", "_bucket")):
            assert re.search(rf"(rate|increase)\({name}(\{{[^}}]*\}})?\[", expr)
        assert name.endswith("_bucket") == ("histogram_quantile(" in expr)


def test_legends_name_labels_that_are_kept() -> None:
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
            plain = "by (" not in target["expr"] and "max(" not in target["expr"]
            name = "".join(_IN_QUERY.findall(target["expr"]))
            labels = metrics().get(name, set()) | {"instance"} if plain else kept
            assert wanted <= labels, panel["title"]


def test_every_metric_is_on_it() -> None:
    """`_sum` and `_count` belong to histograms that are shown by their buckets."""
    asked = {name for _, expr in queries() for name in _IN_QUERY.findall(expr)}
    assert {name for name in metrics() if not name.endswith(("_sum", "_count"))} - asked == set()


def test_every_panel_says_what_it_shows() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))


def test_queries_of_a_panel_have_names_of_their_own() -> None:
    for panel in panels():
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names))
        assert len(names) == 1 or all(target["legendFormat"] for target in panel["targets"])


def test_the_file_is_up_to_date() -> None:
    assert PAGE.read_text() == render()
    assert json.loads(render()) == dashboard()
