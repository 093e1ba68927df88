"""Runs targets under their fuzzers, keeps the inputs that reach something new, and says what was reached."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.targets import BUILD, CORPUS, RELAY, ROOT

MAX_INPUT_BYTES = 8192
INPUT_SECONDS = 20  # until an input counts as a hang
MEMORY_MIB = 2048
_OPTIONS = (
    *(f"-max_len={MAX_INPUT_BYTES}", "-len_control=0", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}"),
    *("-reload=0", "-verbosity=1"),
)
_DONE = re.compile(rb"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+)", re.MULTILINE)
_CRASH = re.compile(rb"Test unit written to (.*-(?:crash|leak|oom|timeout)-[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fuzzer did. `edges` and `features` are libFuzzer's `cov` and `ft`: places in the code that were reached,
    and with them how often in one input. `crash` is the input that broke the law, if one did."""

    name: str
    inputs: int
    seconds: float
    edges: int
    features: int
    kept: int
    crash: Path | None
    log: Path


def run(name: str, runs: int) -> Outcome:
    """At least `runs` inputs for a target, or those until a law is broken. What is new is kept if none is."""
    found, log = BUILD / "found" / name, BUILD / f"{name}.log"
    found.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as out:
        command = [*_fuzzer(name), f"-runs={runs}", f"-artifact_prefix={BUILD}/{name}-", *_OPTIONS, str(found)]
        done = subprocess.run([*command, str(CORPUS / name)], cwd=ROOT, stdout=out, stderr=out, check=False)
    seconds = time.monotonic() - started
    counted = _DONE.search(said := log.read_bytes())
    if done.returncode or counted is None:
        crash = _CRASH.search(said)
        return Outcome(name, 0, seconds, 0, 0, 0, Path(crash[1].decode()) if crash else None, log)
    inputs, edges, features = map(int, counted.groups())
    return Outcome(name, inputs, seconds, edges, features, _keep(name, found), None, log)


def build() -> None:
    """The relay's fuzzer. Raises CalledProcessError."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "fuzz"), "relay"], check=True)


def _fuzzer(name: str) -> Sequence[str]:
    if name == RELAY:
        return (str(ROOT / "build" / "fuzz-relay"), f"-dict={ROOT}/fuzz/relay.dict")
    return (sys.executable, "-m", "fuzz.engine", name)


def _keep(name: str, found: Path) -> int:
    """Copies to the kept inputs those of the found that reach something they do not; returns how many."""
    kept = CORPUS / name
    before = len(list(kept.iterdir()))
    command = [*_fuzzer(name), "-merge=1", *_OPTIONS, str(kept), str(found)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return len(list(kept.iterdir())) - before
