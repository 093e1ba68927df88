"""python -m bench: run one case, or all of them, and say how Weft compares."""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType

from bench.bars import BARS, judge
from bench.cases import CASES
from bench.machine import this_machine
from bench.metric import Metric, from_json
from bench.report import Run, markdown, table
from daemon.memory import calm_collector

RESULTS = Path(__file__).with_name("results.md")
LOCK = Path("/run/weft-bench.lock")
_INSIDE = "WEFT_BENCH_ALL"  # set for the cases that `all` runs: it holds the lock
_GRACE_SECONDS = 60.0
ALL = "all"


class CaseTimeout(Exception):  # noqa: N818 - named as what went wrong
    """A case took longer than it may."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when everything asked for could be measured, whatever came out; 1 when not."""
    arguments = _parser().parse_args(argv)
    if os.geteuid() != 0:
        print("python -m bench: needs root, for namespaces and Open vSwitch", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended in either way, a case cleans up
    try:
        with alone():
            if arguments.case == ALL:
                return _all(arguments.results, arguments.date, as_json=arguments.json)
            return _one(arguments.case, as_json=arguments.json)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = "; ".join(f"{name}: {case.title}" for name, case in CASES.items())
    parser.add_argument("case", choices=(*CASES, ALL), metavar="CASE", help=f"{names}; all: every case, one by one")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each metric, one a line")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="with `all`: where to write the results (default: %(default)s)"
    )
    parser.add_argument(
        "--date",
        type=date.fromisoformat,
        default=datetime.now(UTC).date(),
        help="with `all`: the date of the results, YYYY-MM-DD (default: today)",
    )
    return parser


def _one(name: str, *, as_json: bool) -> int:
    calm_collector()  # as the daemons do whose code is measured here
    metrics: list[Metric] = []
    try:
        with limited(name, CASES[name].limit):
            for metric in CASES[name].run():
                metrics.append(metric)
                if as_json:
                    print(metric.to_json(), flush=True)
    except Exception as e:
        print(f"{name}: {type(e).__name__}: {e}", file=sys.stderr)
        return 1
    if not as_json:
        print(table(metrics))
    return 0


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other benchmark runs: two at once would measure each other, and use the same names."""
    if os.environ.get(_INSIDE):
        yield
        return
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another benchmark runs; waiting for its end ...", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def limited(name: str, seconds: float) -> Iterator[None]:
    """Raise CaseTimeout in this thread when the time is up; cleaning up is not cut short."""

    def ring(_signum: int, _frame: FrameType | None) -> None:
        raise CaseTimeout(f"{name} was given up after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _all(results: Path, day: date, *, as_json: bool) -> int:
    machine = this_machine()
    metrics: list[Metric] = []
    failed: list[tuple[str, str]] = []
    for name, case in CASES.items():
        print(f"{name}: {case.title} ...", file=sys.stderr, flush=True)
        lines, error = _child(name, case.limit + _GRACE_SECONDS)
        if as_json and lines:
            print("\n".join(lines), flush=True)
        metrics += map(from_json, lines)
        if error:
            print(error, file=sys.stderr)
            failed.append((name, error))
    run = Run(metrics, judge(metrics, BARS), failed)
    results.write_text(markdown(run, machine.lines(), day))
    if not as_json:
        print(table(metrics))
    for verdict in run.verdicts:
        print(f"{verdict.bar.case}: {verdict.bar.promise}: {verdict}", file=sys.stderr)
    return 1 if failed else 0


def _child(name: str, seconds: float) -> tuple[list[str], str]:
    """One case in a process of its own: memory and threads of one must not burden the next. Its metrics as lines of
    JSON, and what went wrong, "" if nothing did."""
    words = [sys.executable, "-m", "bench", name, "--json"]
    env = {**os.environ, _INSIDE: "1"}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            stdout, stderr = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            return [], f"killed after {seconds:g} s"
        except BaseException:
            child.terminate()
            child.wait()
            raise
    said = stderr.strip().splitlines()
    return stdout.splitlines(), "" if child.returncode == 0 else (said or [f"exit status {child.returncode}"])[-1]


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # os-ken's threads have no way to end
