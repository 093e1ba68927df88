"""What the chart renders to. After a change that is meant:

WEFT_UPDATE_GOLDEN=1 python -m pytest tests/e2e/chart/test_chart_golden.py
"""

from __future__ import annotations

import os

import pytest
from chart_fixture import CASES, CHART, GOLDEN, case_names, helm, template, without_chance


@pytest.mark.parametrize("case", case_names())
def test_the_chart_renders_to_what_it_should(case: str) -> None:
    text = without_chance(template(f"--values={CASES / case}.yaml"))
    golden = GOLDEN / f"{case}.yaml"
    if os.environ.get("WEFT_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), f"see the docstring of {__name__} if the change is meant"


def test_every_golden_file_is_compared() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == case_names()


@pytest.mark.parametrize("case", case_names())
def test_helm_finds_nothing_to_complain_of(case: str) -> None:
    done = helm("lint", "--strict", str(CHART), f"--values={CASES / case}.yaml")
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout
