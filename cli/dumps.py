"""Reads the flows of several nodes, side by side."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from cli.errors import CliError
from cli.switch import records
from cli.view import NodeView, Silent
from openflow.codec import Record

_AT_A_TIME = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dumps(Generic[T]):
    """What was made of the flows of the nodes whose switches answered, and the nodes whose switches did not."""

    answers: tuple[tuple[NodeView, T], ...]
    silent: tuple[Silent, ...]


def dumps(views: Iterable[NodeView], made: Callable[[NodeView, tuple[Record, ...]], T]) -> Dumps[T]:
    """Read the flows of these nodes, and make something of each node's."""

    def dump(view: NodeView) -> T | Silent:
        try:
            return made(view, records(view.place.management))
        except CliError as e:
            return Silent(view.node, str(e))

    held = tuple(views)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = list(zip(held, pool.map(dump, held), strict=True))
    return Dumps(
        tuple((view, answer) for view, answer in answers if not isinstance(answer, Silent)),
        tuple(answer for _, answer in answers if isinstance(answer, Silent)),
    )
