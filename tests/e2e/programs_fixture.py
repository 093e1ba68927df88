"""The programs of a real cluster: where they are, and a reason to skip when one is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("WEFT_E2E_BIN") or ROOT / "build" / "e2e" / "bin")

# What a program is called elsewhere: etcd's Go module names its command "server".
_ALIASES = {"etcd": ("etcd", "server")}


def program(name: str) -> Path:
    """The program of this name, out of BIN or the PATH. Skips the test when there is none."""
    for alias in _ALIASES.get(name, (name,)):
        if os.access(BIN / alias, os.X_OK):
            return BIN / alias
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is neither in {BIN} (WEFT_E2E_BIN) nor on the PATH")
    return Path(found)
