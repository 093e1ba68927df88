"""What a network plugin owes its callers, by number: each is named by a test, as `_c17_` or `_r5_` in its name.

C is of the CNI specification, its Go skeleton and its conventions; R is of containerd, CRI-O, Multus and the kubelet.
N, of NetworkPolicy, is in `tests/integration/test_netpol_scenarios.py`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

REQUIREMENTS: Mapping[str, str] = {
    "c1": "VERSION needs nothing but CNI_COMMAND",
    "c2": "versions 0.1.0 to 1.1.0, and none is 0.1.0",
    "c3": "another version is error 1",
    "c4": "a version that does not parse is error 6 where versions are compared",
    "c5": "a result has the version and the shape of the configuration",
    "c6": "CHECK, GC and STATUS before their versions are error 1",
    "c7": "every missing variable is named, empty is missing",
    "c8": "an unknown command is error 4, none is told what this is",
    "c9": "container ids",
    "c10": "interface names",
    "c11": "network names",
    "c12": "JSON and stdin that cannot be read",
    "c13": "what cannot be honoured is refused by key and value",
    "c14": "reserved and well-known keys",
    "c15": "the node's own namespace is error 8",
    "c16": "stdout is for results and errors alone",
    "c17": "an error is JSON on stdout, with a status that is not 0",
    "c18": "error codes",
    "c19": "an interface that exists is an error, and untouched",
    "c20": "the result lists both ends, and indexes are right",
    "c21": "behind other plugins, their results are kept and extended",
    "c22": "several interfaces of a container, by network, container and interface name",
    "c23": "an ADD that fails leaves nothing",
    "c24": "an ADD that is killed is cleared by its DEL",
    "c25": "calls side by side share no address, number or answer",
    "c26": "DEL succeeds twice and whatever is missing, and frees all",
    "c27": "DEL while the agent is away",
    "c28": "DEL although the configuration has changed",
    "c29": "CHECK needs prevResult",
    "c30": "CHECK tells what is wrong in the container, and lets later plugins have changed things",
    "c31": "CHECK tells what is wrong where the runtime cannot see",
    "c32": "CHECK passes right after ADD",
    "c33": "GC removes what is not listed, of this network",
    "c34": "GC knows both spellings of its key",
    "c35": "GC with null lists nothing; without the key it removes nothing",
    "c36": "GC goes on after errors, tells them all, and waits for ADDs",
    "c37": "nothing depends on GC",
    "c38": "STATUS is silent when ADD can work, else 50 or 51",
    "c39": "STATUS only looks, and ADD does not need it",
    "c40": "STATUS and delegates",
    "c41": "calling delegates",
    "c42": "undoing delegates",
    "c43": "results of IPAM plugins",
    "c44": "capabilities of the conventions",
    "c45": "keys of capabilities in any letter case",
    "c46": "args.cni beats CNI_ARGS",
    "c47": "CNI_ARGS in any order, with keys that are unknown",
    "c48": "what a runtime does: order, cache, GC",
    "r1": "CNI_ARGS of Kubernetes",
    "r2": "the first configuration file counts",
    "r3": "files appear by rename",
    "r4": "the runtime's cache",
    "r5": "eth0 carries an address, IPv4 first; the loopback plugin runs beside",
    "r6": "what follows a failed ADD, and words that containerd takes for success",
    "r7": "deadlines of CRI-O",
    "r8": "the kubelet's probes",
    "r9": "a list for old and new libcni",
}


def test_every_requirement_is_named_by_a_test() -> None:
    named = set(numbers())
    assert [f"{number}: {says}" for number, says in REQUIREMENTS.items() if number not in named] == []


def test_no_test_names_a_requirement_that_is_none() -> None:
    assert sorted(set(numbers()) - REQUIREMENTS.keys()) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("test_c3_this", ["c3"]),
        ("test_c33_c34_both", ["c33", "c34"]),
        ("test_that_and_r9_inside", ["r9"]),
        ("test_ec2_and_arc4", []),
        ("test_c12", []),
    ],
)
def test_a_number_is_a_word_before_what_is_shown(name: str, found: list[str]) -> None:
    assert in_name(name) == found


def numbers() -> Iterator[str]:
    """The numbers in the names of all tests."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield from in_name(node.name)


def in_name(name: str) -> list[str]:
    return re.findall(r"(?<=_)[cr]\d+(?=_)", name)
