"""Grafana's dashboard of Weft's metrics, docs/dashboards/weft.json: `python -m cli.dashboard [--check]`.

The panels are in `cli.panels`; their places, ids and queries' names follow from their order. A test holds every query
to the metrics and labels that the daemons have, and every metric to a panel. Source: Grafana, "JSON model".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.panels import SECTIONS, Panel

PAGE = Path(__file__).resolve().parent.parent / "docs" / "dashboards" / "weft.json"
_WIDTH = 24
"""Columns of Grafana's grid."""
_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_DATASOURCE = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}

Json = dict[str, Any]


def dashboard() -> Json:
    """The dashboard as Grafana imports it."""
    return {
        "title": "Weft",
        "uid": "weft",
        "description": "The network of a cluster: pods that come and go, switches and flows, policies.",
        "tags": ["weft", "kubernetes", "network"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}]
        },
        "panels": [*_panels()],
    }


def _panels() -> Iterator[Json]:
    number, top = 0, 0
    for section in SECTIONS:
        number += 1
        yield {
            "id": number, "type": "row", "title": section.title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
        }  # fmt: skip
        left, top = 0, top + 1
        for panel in section.panels:
            if left + panel.width > _WIDTH:
                left, top = 0, top + _height(panel)
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": _height(panel)})
            left += panel.width
        top += _height(section.panels[-1])


def _height(panel: Panel) -> int:
    return _HEIGHT // 2 if panel.kind == "stat" else _HEIGHT


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": " ".join(panel.description.split()),
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query.expr, "legendFormat": query.legend}
            for at, query in enumerate(panel.queries)
        ],
    }


def render() -> str:
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Print the dashboard; with --check, exit 1 unless the file is the same."""
    if "--check" not in sys.argv[1:]:
        print(render(), end="")
    elif not PAGE.exists() or PAGE.read_text() != render():
        raise SystemExit(f"{PAGE} is stale: run `python -m cli.dashboard > docs/dashboards/weft.json`")


if __name__ == "__main__":
    main()
