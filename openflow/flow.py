"""A flow: one row of one table, with the feature and the owner it belongs to."""

from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

from openflow.actions import Action, Conjunction, Ct, Goto
from openflow.errors import SpecError
from openflow.match import Match, Term, match
from openflow.tables import Table, spec_of

MAGIC = 0x5F
"""First byte of the cookie of every flow that is Weft's."""

_LAST_PRIORITY = 0xFFFF

OWNER_BITS = 48
"""The cookie's low bits: a digest of the owner's name."""


class Feature(IntEnum):
    """Which part of Weft made a flow; second byte of the cookie."""

    BASE = 1
    POD = 2
    NODE = 3
    POLICY = 4


_BEGINNINGS = {feature: MAGIC << 56 | feature.value << OWNER_BITS for feature in Feature}


def cookie(feature: Feature, owner: str) -> int:
    """64 bits: magic, feature, and 48 bits of the owner's BLAKE2b digest (`pod/<ns>/<name>`, `node/<name>`,
    `policy/<ns>/<name>#ingress/0`)."""
    digest = blake2b(owner.encode(), digest_size=OWNER_BITS // 8).digest()
    return _BEGINNINGS[feature] | int.from_bytes(digest, "big")


def is_ours(flow_cookie: int) -> bool:
    return flow_cookie >> 56 == MAGIC


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow entry. No actions means drop. `table` may be any number, for flows read from a switch."""

    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int


def flow(
    table: Table, priority: int, terms: tuple[Term | Match, ...], actions: tuple[Action, ...] = (), *, cookie: int
) -> Flow:
    """A flow that obeys the pipeline. Raises SpecError where it does not: a field that the table may not match,
    a goto or a conntrack table that does not lead onward, a goto that is not last, a conjunction among other actions,
    a priority beyond 16 bits."""
    if not 0 <= priority <= _LAST_PRIORITY:
        raise SpecError(f"{table.title}: priority {priority} is not in 0..{_LAST_PRIORITY}")
    made = Flow(table, priority, match(*terms), actions, cookie)
    _check_match(table, made.match)
    _check_actions(table, actions)
    return made


def _check_match(table: Table, terms: Match) -> None:
    allowed = spec_of(table).matches
    for term in terms:
        if term.field not in allowed:
            raise SpecError(f"{table.title} may not match {term.field.name}")


def _check_actions(table: Table, actions: tuple[Action, ...]) -> None:
    conjunctions = sum(isinstance(action, Conjunction) for action in actions)
    if conjunctions and conjunctions != len(actions):
        raise SpecError(f"{table.title}: a flow that is part of a conjunction can do nothing else")
    for place, action in enumerate(actions):
        target = action.table if isinstance(action, Goto | Ct) else None
        if target is not None and target <= table:
            raise SpecError(f"{table.title}: {target.title} lies behind, a packet only moves onward")
        if isinstance(action, Goto) and place != len(actions) - 1:
            raise SpecError(f"{table.title}: goto must be the last action")
