"""The targets by name, and their kept inputs."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Protocol, cast

from fuzz.mutate import Check, Mutate

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
BUILD = ROOT / "build" / "fuzz"
"""Where fuzzers leave what they find: inputs under `found`, logs, and inputs that break a law."""

RELAY = "relay"  # in C: fuzz/relay.c

TARGETS: Mapping[str, str] = {
    "frame": "request frames, in any pieces",
    "netconf": "requests as commands",
    "result": "results of earlier plugins",
    "server": "the agent's socket, from bytes to the answer",
    RELAY: "the CNI executable, its system calls included",
}
"""Every target, and what it is fed with."""


class Target(Protocol):
    """What a module of a target has."""

    def opened(self) -> AbstractContextManager[Check]:
        """The law that every input has to keep."""

    def mutate(self, data: bytes, random: Random, plain: Mutate) -> bytes:
        """Another input; `plain` is a change of bytes."""


def target(name: str) -> Target:
    """A target that is written in Python. It is imported only now, so that atheris can instrument what it imports."""
    return cast("Target", import_module(f"fuzz.{name}"))


def corpus(name: str) -> list[Path]:
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())
