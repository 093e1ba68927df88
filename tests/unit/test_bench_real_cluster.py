"""What is taken over from the end-to-end tests, and what is promised of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.bars import BARS, judge
from bench.cases import CASES
from bench.real_cluster import ROOT, TESTS, metrics

FIGURES: dict[str, Any] = {
    "from helm install to all nodes Ready": {"seconds": 5.0},
    "fifty pods at once": {
        "scheduled_to_network_ready": {"p50": 4.6, "p99": 7.0},
        "scheduled_to_ready": {"p50": 6.6, "p99": 8.1},
        "cni_add": {"p50": 0.74, "p99": 1.3},
    },
    "upgrade of controllers and agents": {"sent": 4000, "lost": 0},
    "rollback of controllers and agents": {"sent": 3000, "lost": 2},
}


def test_figures_are_taken_over_and_judged() -> None:
    verdicts = {
        v.bar.promise: v for v in judge(metrics(FIGURES), [bar for bar in BARS if bar.case == "real-cluster"])
    }
    assert [(v.value, v.met) for v in verdicts.values()] == [(5.0, True), (7000.0, False), (2, False)]
    assert (
        "real-cluster-cni-add" in verdicts["50 pods at once: p99 from scheduled to network ready at most 5 s"].bar.why
    )


def test_a_figure_that_is_missing_is_none_that_is_made_up() -> None:
    with pytest.raises(KeyError, match="rollback"):
        list(metrics({key: value for key, value in FIGURES.items() if "rollback" not in key}))


def test_the_tests_that_write_them_down_are_run() -> None:
    assert "real-cluster" in CASES
    written = "".join((ROOT / name).read_text() for name in (*TESTS, "tests/e2e/weft_fixture.py"))
    assert [key for key in FIGURES if f'"{key}"' not in written] == []
    assert all(Path(ROOT / name).is_file() for name in TESTS)
