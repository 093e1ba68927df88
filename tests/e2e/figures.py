"""Figures that the end-to-end tests measure, for whoever runs them: printed, and kept in build/e2e/figures.json."""

from __future__ import annotations

import json
from typing import Any

from cluster.layout import ROOT

FILE = ROOT / "build" / "e2e" / "figures.json"


def record(what: str, **figures: Any) -> None:
    """Keep figures under a name, in place of earlier ones."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    kept[what] = figures
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"\n{what}: {json.dumps(figures)}")
