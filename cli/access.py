"""How a node is asked what only it can tell: the one seam between commands and nodes.

A lab's node, and the one that weftctl runs on, are asked in their network namespace; a cluster's in its agent's pod
(`cli.cluster`). What a node's switch, database and agent tell over sockets is read from their `Place`, which for a
cluster's node is made to look like a local one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from cli.errors import CliError

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_AT_A_TIME = 16


class Access(Protocol):
    """A node that can be asked."""

    def ask(self, question: str, argument: bytes) -> bytes:
        """The node's answer to one of `nodeside.QUESTIONS`. CliError: it does not answer, and why."""


@dataclass(frozen=True, slots=True)
class Here:
    """The network namespace at this path, None for the one that weftctl itself runs in."""

    netns: Path | None = None

    def ask(self, question: str, argument: bytes) -> bytes:
        from cli import nodeside
        from lab.netns import run_in
        from node_agent.netns import NotANamespace

        def work() -> bytes:
            return nodeside.answer(question, argument)

        try:
            return work() if self.netns is None else run_in(self.netns, work)
        except (OSError, NotANamespace, ValueError) as e:
            raise CliError(f"cannot look at the node{f' of {self.netns}' if self.netns else ''}: {e}") from e


def ask(access: Access, question: str, argument: object, answer: type[T]) -> T:
    """Ask, and read the answer. Raises CliError."""
    said = access.ask(question, msgspec.json.encode(argument))
    try:
        return msgspec.json.decode(said, type=answer)
    except msgspec.DecodeError as e:
        raise CliError(f"the node's answer cannot be read; is its agent of another release? ({e})") from e


def side_by_side(work: Callable[[V], T], items: Mapping[K, V]) -> Mapping[K, T | str]:
    """What `work` makes of each, or the words of its CliError."""

    def one(item: V) -> T | str:
        try:
            return work(item)
        except CliError as e:
            return str(e)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return dict(zip(items, pool.map(one, items.values()), strict=True))
