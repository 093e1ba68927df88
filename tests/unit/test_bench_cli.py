"""The command line of `python -m bench`."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from bench import __main__ as cli
from bench.cases import CASES


def test_an_unknown_case_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["cni-ad"])
    said = capsys.readouterr().err
    assert "cni-ad" in said
    assert all(name in said for name in CASES)


def test_a_date_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["all", "--date", "yesterday"])
    assert "yesterday" in capsys.readouterr().err


def test_help_says_what_every_case_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = re.sub(r"\s+", " ", capsys.readouterr().out.replace("-\n", "-"))
    assert all(case.title.split(",")[0][:12] in said for case in CASES.values())


def test_a_case_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(cli.CaseTimeout, match=r"x was given up after 0.01 s"), cli.limited("x", 0.01):
        signal.pause()


def test_the_limit_ends_with_the_case() -> None:
    with cli.limited("x", 30):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_results_are_written_beside_the_code() -> None:
    assert Path(cli.__file__).parent / "results.md" == cli.RESULTS
