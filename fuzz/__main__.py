"""`python -m fuzz run [--runs N] [TARGET...]` fuzzes; `python -m fuzz replay TARGET [FILE...]` runs kept inputs."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz import campaign
from fuzz.laws import Violation
from fuzz.targets import RELAY, ROOT, TARGETS, corpus, target

_HEADER = f"{'target':<10}{'inputs':>10}{'seconds':>9}{'edges':>7}{'features':>10}{'new inputs kept':>17}"


def main(argv: Sequence[str]) -> int:
    asked = _arguments().parse_args(argv)
    if asked.do == "run":
        return run(asked.targets or [*TARGETS], asked.runs)
    return replay(asked.target, asked.files or corpus(asked.target))


def run(names: Sequence[str], runs: int) -> int:
    """Targets side by side, one a core, and one line for each. Fails when an input broke a law, saying how to see it
    again."""
    campaign.build()
    print(_HEADER, flush=True)
    outcomes = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for made in pool.map(lambda name: campaign.run(name, runs), names):
            outcomes.append(made)
            print(_line(made), flush=True)
    return 0 if all(made.inputs for made in outcomes) else 1


def _line(made: campaign.Outcome) -> str:
    if not made.inputs:
        return f"{made.name:<10}  {_failure(made)}"
    counts = f"{made.inputs:>10}{made.seconds:>9.0f}{made.edges:>7}{made.features:>10}{made.kept:>17}"
    return f"{made.name:<10}{counts}"


def _failure(made: campaign.Outcome) -> str:
    if made.crash is None:
        return f"did not run to its end: see {made.log}"
    shown, name = made.crash.relative_to(ROOT), made.name
    # With the compiler that found it: others' sanitizers look for other things.
    again = "build/fuzz-relay" if name == RELAY else f"{sys.executable} -m fuzz replay {name}"
    return (
        f"FAILED: {shown} breaks the law (log: {made.log.relative_to(ROOT)})\n"
        f"  to see it again:  {again} {shown}\n"
        f"  once it is fixed: mv {shown} fuzz/corpus/{name}/found-<what it was>"
    )


def replay(name: str, files: Sequence[Path]) -> int:
    """Every file through the law of its target, without a fuzzer. Stops at the first that breaks it."""
    if name == RELAY:
        subprocess.run(["make", "-s", "-C", str(ROOT / "fuzz"), "relay-replay"], check=True)
        return subprocess.run([ROOT / "build" / "fuzz-relay-replay", *files], check=False).returncode
    with target(name).opened() as check:
        for path in files:
            try:
                check(path.read_bytes())
            except Violation as broken:
                print(f"{path}: promised, and not so: {broken}")
                return 1
            except Exception:
                print(f"{path}: not one of the errors that are documented:")
                raise
    print(f"{len(files)} inputs")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    does = parser.add_subparsers(dest="do", required=True)
    run_parser = does.add_parser("run", help="fuzz targets (needs atheris, and clang for the relay)")
    run_parser.add_argument("--runs", type=int, default=1_000_000, help="inputs for each target (default: 1000000)")
    run_parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    replay_parser = does.add_parser("replay", help="run inputs through the law of a target")
    replay_parser.add_argument("target", choices=TARGETS)
    replay_parser.add_argument("files", nargs="*", type=Path, help="default: all that are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
