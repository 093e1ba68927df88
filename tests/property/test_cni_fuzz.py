"""What `make fuzz` has kept, and some thousand inputs of the same kind, keep the same laws (C17)."""

import os
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.frame import Request, encode_request
from fuzz import frame, netconf, result
from fuzz.laws import Violation, demand_error
from fuzz.mutate import changed_bytes
from fuzz.targets import CORPUS, RELAY, ROOT, TARGETS, Target, corpus

LIMIT = 100  # seconds, for what takes a few
IN_PROCESS: dict[str, Target] = {"frame": frame, "netconf": netconf, "result": result}
RANDOM = st.randoms(use_true_random=False)


def test_every_target_has_kept_inputs_and_not_too_many() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    for name in TARGETS:
        assert 3 <= len(corpus(name)) <= 1000
        assert sum(path.stat().st_size for path in corpus(name)) < 1 << 20


@pytest.mark.parametrize("name", IN_PROCESS)
def test_the_kept_inputs_keep_the_law(name: str) -> None:
    with IN_PROCESS[name].opened() as check:
        for path in corpus(name):
            check(path.read_bytes())


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - IN_PROCESS.keys()))
def test_the_kept_inputs_keep_the_law_in_a_process_of_their_own(name: str) -> None:
    """The relay is under AddressSanitizer and UBSan."""
    if name != RELAY and os.geteuid() != 0:
        pytest.skip("the agent answers only root")
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "replay", name],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{len(corpus(name))} inputs\n"), done.stderr


@pytest.mark.parametrize("name", IN_PROCESS)
@settings(max_examples=1500)
@given(RANDOM, st.data())
def test_inputs_like_the_kept_ones_keep_the_law(name: str, random: Random, data: st.DataObject) -> None:
    """Wrong types, huge numbers, deep nesting, keys twice, lone surrogates, NUL, no UTF-8, BOM, 1e999."""
    target, made = IN_PROCESS[name], data.draw(st.sampled_from(SEEDS[name]))
    for _ in range(data.draw(st.integers(1, 6))):
        made = target.mutate(made, random, lambda part: changed_bytes(part, random))
    with target.opened() as check:
        check(made)


SEEDS = {name: [path.read_bytes() for path in corpus(name)] for name in IN_PROCESS}


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"[]",
        b'{"cniVersion":"1.1.0","code":7,"msg":"m"}',
        b'{"cniVersion":"1.1.0","code":7,"msg":"","details":""}',
        b'{"cniVersion":"9.9.9","code":7,"msg":"m","details":""}',
        b'{"cniVersion":"1.1.0","code":199,"msg":"m","details":""}',
        b'{"cniVersion":"1.1.0","code":7,"msg":"' + b"m" * 20_000 + b'","details":""}',
    ],
)
def test_what_is_no_error_of_cni_breaks_the_law(printed: bytes) -> None:
    with pytest.raises(Violation):
        demand_error(printed, [7])


def test_a_parser_that_lets_anything_escape_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_request(Request({"CNI_COMMAND": "ADD"}, b"{}"))
    netconf.check(data)
    monkeypatch.setattr(netconf, "REFUSALS", ())
    with pytest.raises(Violation, match="is none of"):
        netconf.check(data)
