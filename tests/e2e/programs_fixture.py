"""The programs of a real cluster."""

from __future__ import annotations

from pathlib import Path

from cluster import tools
from cluster.layout import ROOT

__all__ = ["ROOT", "program"]


def program(name: str) -> Path:
    """The program of this name, compiled if need be."""
    return tools.programs() / name
